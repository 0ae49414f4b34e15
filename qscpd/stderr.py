"""Standard error, written by a thread of its own: bounded, and never waited for by the daemon.

A reader can stop reading: a log shipper that hangs, a container's log driver, Ctrl-S at a terminal. Then
lines wait up to a limit, and later ones are dropped and counted. The `QueueListener` of the standard library
waits at its end without a limit, and its handlers lose what a non-blocking descriptor does not take at once.
"""

import collections
import dataclasses
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Final

_STDERR: Final = 2

_LIMIT: Final = 1024 * 1024
"""Bytes of lines that wait: minutes of a busy daemon, and little beside its memory."""

_AT_ONCE: Final = 64 * 1024
"""Bytes of one write: the usual size of a pipe."""

_RETRY_S: Final = 0.01
"""Pause before a descriptor that took nothing is tried again."""

PATIENCE_S: Final = 1.0
"""Seconds for which the end of a process waits until its last lines are written."""

NOT_READ: Final = "standard error was not read"
"""Reason for dropped lines when too many wait."""


@dataclasses.dataclass(slots=True)
class _Gap:
    """Place in the queue where lines were dropped."""

    lines: int = 0


class StderrWriter:
    """Writer of lines, in order, on a thread; safe for use by several threads, also after a fork.

    Args:
        describe: Returns the line that stands for dropped ones, from their number and the reason.
        fd: Descriptor to write to. It stays open.
        limit: Bytes that can wait.

    Attributes:
        dropped: Number of lines that were dropped so far.
    """

    def __init__(
        self, describe: Callable[[int, str], bytes], *, fd: int = _STDERR, limit: int = _LIMIT
    ) -> None:
        self._describe = describe
        self._fd = fd
        self._limit = limit
        self.dropped = 0
        self._lost = 0
        """Lines whose loss is still to be written."""
        self._reason = ""
        self._is_mid_line = False
        self._start()
        os.register_at_fork(after_in_child=self._start)

    def _start(self) -> None:
        """Begin with an empty queue; in the child of a fork the thread and the lines are the parent's."""
        self._changed = threading.Condition()
        self._queue: collections.deque[bytes | _Gap] = collections.deque()
        self._size = 0
        self._gap: _Gap | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="qscpd-stderr", daemon=True)
        self._thread.start()

    def put(self, lines: bytes) -> None:
        """Queue whole lines, or count them as dropped. Never waits.

        After a gap, half of the queue has to be written before lines are queued again. Otherwise a slow
        reader would get a notice for every line.
        """
        with self._changed:
            if self._gap is not None and self._size <= self._limit // 2:
                self._gap = None
            if self._gap is None and self._size + len(lines) > self._limit:
                self._gap = _Gap()
                self._queue.append(self._gap)
            if self._gap is not None:
                count = lines.count(b"\n")
                self._gap.lines += count
                self.dropped += count
                return
            self._queue.append(lines)
            self._size += len(lines)
            self._changed.notify()

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Write what is queued, for a limited time. Call it last: nothing writes later lines."""
        with self._changed:
            if self._is_closed:
                return  # waited already
            self._is_closed = True
            self._changed.notify()
        self._thread.join(patience_s)

    # --- on the thread

    def _run(self) -> None:
        while batch := self._take():
            self._write(batch)

    def _take(self) -> bytes:
        """Wait for lines, and remove them from the queue; return nothing at the end."""
        taken = bytearray()
        with self._changed:
            while not self._queue and not self._is_closed:
                self._changed.wait()
            while self._queue and len(taken) < _AT_ONCE:
                match self._queue.popleft():
                    case _Gap(lines) as gap:
                        self._gap = None if gap is self._gap else self._gap
                        taken += self._describe(lines, NOT_READ)
                    case line:
                        self._size -= len(line)
                        taken += line
        return bytes(taken)

    def _write(self, batch: bytes) -> None:
        """Write lines; if that fails, count those that were not written whole."""
        notice = b"\n" * self._is_mid_line
        if self._lost:
            notice += self._describe(self._lost, self._reason)
        data = notice + batch
        written = 0
        try:
            while written < len(data):
                written += self._write_some(data[written : written + _AT_ONCE])
        except OSError as error:
            self._reason = error.strerror or str(error)
            lost = batch[max(written - len(notice), 0) :].count(b"\n")
            self._lost = lost if written >= len(notice) else self._lost + lost
            self.dropped += lost
            if written:
                self._is_mid_line = data[written - 1 : written] != b"\n"
        else:
            self._lost = 0
            self._is_mid_line = False

    def _write_some(self, data: bytes) -> int:
        """Return how many bytes the descriptor has taken; wait while it takes none."""
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # another program has made it non-blocking
                poller = select.poll()
                poller.register(self._fd, select.POLLOUT)
                poller.poll()
                time.sleep(_RETRY_S)  # where the system calls it ready and it is not


def takes_output(fd: int = _STDERR, patience_s: float = PATIENCE_S) -> bool:
    """Wait for a limited time until a descriptor takes a sentence, or refuses it with an error.

    A pipe that poll(2) calls ready takes at least `PIPE_BUF`, which is 4096 bytes (pipe(7)).
    """
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(patience_s * 1000))
