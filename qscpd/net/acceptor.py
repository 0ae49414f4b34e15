"""Accepting of connections: a bounded number in a turn, also when there are no file descriptors."""

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from qscpd.outage import CALM_S, Outage

BACKLOG: Final = 1024
"""Connections that the kernel queues for us; limited by net.core.somaxconn."""

_AT_ONCE: Final = 32
"""Connections that are accepted in a turn of the loop, if they are refused: about a millisecond."""

_TURN_S: Final = 0.001
"""Time after which a turn is over; a connection that is not refused takes some 0.1 ms."""

_SHARE: Final = 8
"""Accepting gets one of so many parts of the loop's time when more connections come than fit in a turn."""

_PAUSE_S: Final = 0.2
"""Pause after an error; without it, the loop would spin on a connection that can't be accepted."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of accept(2) that last, and leave the connection in the kernel's queue."""

_log = structlog.stdlib.get_logger("qscpd.net.acceptor")


class Acceptor:
    """Accepts connections of listening sockets.

    The loop's own server would accept everything at once, before anything can be refused, and uvloop
    closes connections for which there is no descriptor without a word.

    Args:
        sockets: Listening sockets; the caller keeps and closes them.
        on_connection: Called with each connection's socket and the address of its peer.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], on_connection: Callable[[socket.socket, str], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._on_connection = on_connection
        self._outage = Outage(_log, "link.accept_failed", "failures", calm_s=CALM_S)
        self._paused: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept connections from now on."""
        self._paused = None
        for each in self._sockets:
            each.setblocking(False)
            self._loop.add_reader(each, self._accept, each)

    def stop(self) -> None:
        """Accept nothing more."""
        if self._paused is not None:
            self._paused.cancel()
        self._stop_reading()
        self._outage.close()

    def tick(self) -> None:
        """Note that a fault is over; called once a second."""
        self._outage.works()

    def _stop_reading(self) -> None:
        for each in self._sockets:
            self._loop.remove_reader(each)

    def _accept(self, listening: socket.socket) -> None:
        begun = time.monotonic()
        for _ in range(_AT_ONCE):
            if time.monotonic() > begun + _TURN_S:
                break
            try:
                accepted, peer = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._outage.failed(error.strerror or str(error))
                    self._pause(_PAUSE_S)
                    return
                continue  # The peer is gone already (accept(2), "Error handling").
            accepted.setblocking(False)
            self._on_connection(accepted, peer[0])
        self._pause((_SHARE - 1) * (time.monotonic() - begun))

    def _pause(self, seconds: float) -> None:
        """Accept nothing for a while, on any socket."""
        self._stop_reading()
        if self._paused is not None:
            self._paused.cancel()
        self._paused = self._loop.call_later(seconds, self.start)
