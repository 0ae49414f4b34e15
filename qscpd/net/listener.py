"""Listening sockets of the daemon, and their links."""

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from qscpd.config import Config
from qscpd.fairness import Lanes
from qscpd.net.acceptor import Acceptor
from qscpd.net.admission import Admission
from qscpd.net.binding import bind_all
from qscpd.net.bound_addresses import BoundAddresses
from qscpd.net.link import Link, LinkSession
from qscpd.net.peer_log import PeerLog

_HANDSHAKES_S: Final = 0.002
"""Time for handshakes before it is the sessions' turn; one takes 0.5 to 1 ms."""

_SHARE: Final = 4
"""Handshakes get one of so many parts of the loop's time: more than passwords can be checked for."""

_FULL: Final = ("max_connections", "descriptors")
"""Reasons of refusals that have to do with no address: one line a second."""

_TIMEOUTS: Final = ("handshake_timeout", "login_timeout")

_log = structlog.stdlib.get_logger("qscpd.net.listener")


class Listener:
    """Acceptor of connections, and owner of their links.

    Args:
        config: The daemon's configuration.
        context: The TLS context of new connections.
        open_session: Makes the session of a link.
        admission: Decides which connections are accepted.
        peer_log: Where refusals and errors of peers are logged.

    Attributes:
        config: The daemon's configuration.
        context: The TLS context of new connections.
        peer_log: Where refusals and errors of peers are logged.
        links: All links that are not gone yet.
        bound: Addresses that it listens on; none before `bind`.
    """

    def __init__(
        self,
        config: Config,
        context: ssl.SSLContext,
        open_session: Callable[[Link], LinkSession],
        admission: Admission,
        peer_log: PeerLog,
    ) -> None:
        self.config = config
        self.context = context
        self.peer_log = peer_log
        self.links: set[Link] = set()
        self._open_session = open_session
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self.bound = BoundAddresses()
        self._acceptor: Acceptor | None = None
        self._opening: set[asyncio.Task[None]] = set()
        """Accepted connections on their way to a link."""
        self._gone = asyncio.Event()
        self._pending_handshakes: Lanes[Link] = Lanes()
        """Links with unprocessed input of a handshake, by network and address."""
        self._handshakes_due = False
        """Whether handshakes are about to be continued."""
        self._refused: Counter[str] = Counter()
        """Connections refused since the last tick because of no address, by reason."""

    # --- new connections

    def accept_socket(self, accepted: socket.socket, remote: str) -> None:
        """Make a link of an accepted connection, or close it."""
        visitor = self._admission.admit(remote)
        if isinstance(visitor, str):
            accepted.close()
            self._refuse(remote, visitor)
            return
        link = Link(self, self._loop, visitor)
        visitor.evict = partial(self._evict, link)
        task = self._loop.create_task(self._open(link, accepted))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: "asyncio.Task[None]") -> None:
        self._opening.discard(task)
        self._gone.set()

    async def _open(self, link: Link, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: link, accepted)
        except OSError:  # The peer is gone already.
            accepted.close()
            self.forget(link)

    def _refuse(self, remote: str, reason: str) -> None:
        if reason in _FULL:
            self._refused[reason] += 1
        else:
            self.peer_log.write(_log, "link.refused", remote, level=logging.WARNING, reason=reason)

    def _evict(self, link: Link) -> None:
        self._refuse(link.visitor.remote, "evicted")
        if link in self.links:  # else `admit` refuses it
            link.abort("evicted")

    def admit(self, link: Link) -> bool:
        """Register a new link, or return False if it was evicted or the daemon is stopping."""
        if self._acceptor is None or not link.visitor.waiting:
            return False
        self.links.add(link)
        return True

    def authenticated(self, link: Link) -> None:
        """Count a link no longer among those that are not logged in."""
        self._admission.stop_waiting(link.visitor)

    def schedule_handshake(self, link: Link) -> None:
        """Queue a link whose handshake can continue."""
        share = link.visitor.share
        lane = self._admission.lane(link.visitor)
        self._pending_handshakes[lane].push(link, share.network, share.address)
        if not self._handshakes_due:
            self._handshakes_due = True
            self._loop.call_soon(self._run_handshakes)

    def _run_handshakes(self) -> None:
        """Continue handshakes within the time budget; then it is the sessions' turn.

        A flood of handshakes would take half of the loop's time otherwise, budget or not.
        """
        begun = time.monotonic()
        try:
            while self._pending_handshakes and time.monotonic() < begun + _HANDSHAKES_S:
                self._pending_handshakes.pop().proceed()
        finally:  # A bug in one handshake must not stop those of the others.
            self._handshakes_due = bool(self._pending_handshakes)
            if self._handshakes_due:
                rest_s = (_SHARE - 1) * (time.monotonic() - begun)
                self._loop.call_later(rest_s, self._run_handshakes)

    def open_session(self, link: Link) -> LinkSession:
        """Create the session of a link after its handshake."""
        return self._open_session(link)

    def bind(self) -> None:
        """Bind all configured addresses; the kernel queues connections until `accept`.

        Raises:
            QscpdError: As `bind_all`.
        """
        self.bound = bind_all(self.config.server.listen)

    def accept(self) -> None:
        """Start accepting connections."""
        self.bound.report()
        self._acceptor = Acceptor(self.bound.sockets, self.accept_socket)
        self._acceptor.start()

    def stop_accepting(self) -> None:
        """Close the sockets; links stay open."""
        if self._acceptor is not None:
            self._acceptor.stop()
            self._acceptor = None
        self.bound.close()

    def tick(self) -> None:
        """Check the deadlines of all links; called once a second."""
        for reason, links in self._refused.items():
            _log.warning("link.refused", reason=reason, links=links)
        self._refused.clear()
        if self._acceptor is not None:
            self._acceptor.tick()
            self.bound.tick()
        now = self._loop.time()
        for link in list(self.links):
            link.tick(now)

    async def all_gone(self) -> None:
        """Wait until no link is left."""
        while self.links or self._opening:
            self._gone.clear()
            await self._gone.wait()

    def forget(self, link: Link) -> None:
        """Remove a link that is gone."""
        self.links.discard(link)
        self._admission.left(
            link.visitor,
            timeout=link.reason in _TIMEOUTS,
            ours=self._acceptor is None or link.reason == "internal",
        )
        self._gone.set()

    def abort_all(self, reason: str) -> None:
        """Abort all links."""
        for link in list(self.links):
            link.abort(reason)

    def abort_handshakes(self, reason: str) -> None:
        """Abort all links whose handshake is not done."""
        for link in list(self.links):
            if not link.tls.established:
                link.abort(reason)
