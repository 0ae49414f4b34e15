"""Writer of a standard stream that can be stuck, such as a pipe that nobody reads or a stopped terminal."""

import asyncio
import collections
import contextlib
import os
import threading
from typing import Final, TextIO

from qscp_client.streams import discard

_STUCK_S: Final = 0.2
"""How long a stream may take before it counts as stuck."""

_WAITING_LIMIT: Final = 8 * 1024 * 1024
"""Bytes that wait for a stuck stream; with more, the writer waits, too."""


class StreamWriter:
    """Writes text in its order, in a thread.

    The thread is a daemon and writes the descriptor itself: it can stay blocked in a write when the program
    ends, and holds no lock of the stream then.

    Args:
        stream: Its encoding and descriptor are used.

    Attributes:
        error: Why something could not be written; what follows is lost. None if there is no error.
        is_stuck: Whether the stream took too long, and has not taken everything since.
    """

    def __init__(self, stream: TextIO) -> None:
        self.error: OSError | None = None
        self.is_stuck = False
        self._stream = stream
        self._changed = threading.Condition()
        self._waiting: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._thread: threading.Thread | None = None
        self._drained: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def write(self, text: str) -> None:
        """Write a text, or let it wait while the stream is stuck."""
        written = text.encode(self._stream.encoding or "utf-8", "backslashreplace")
        with self._changed:
            if self.error is not None or not written:
                return
            self._waiting.append(written)
            self._size += len(written)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="output", daemon=True)
                self._thread.start()
            if not self.is_stuck:
                self.is_stuck = not self._changed.wait_for(lambda: not self._size, _STUCK_S)
            self._changed.wait_for(lambda: self._size <= _WAITING_LIMIT)

    async def drain(self) -> None:
        """Wait until everything is written, or can't be."""
        drained = asyncio.Event()
        with self._changed:
            if not self._size:
                return
            self._drained = asyncio.get_running_loop(), drained
        await drained.wait()

    def _run(self) -> None:
        while self.error is None:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                first = self._waiting[0]
            error = self._write(first)
            with self._changed:
                self._taken(len(first), error)

    def _write(self, written: bytes) -> OSError | None:
        rest = memoryview(written)
        try:
            while rest:
                rest = rest[os.write(self._stream.fileno(), rest) :]
        except OSError as error:
            discard(self._stream)
            return error
        return None

    def _taken(self, size: int, error: OSError | None) -> None:
        """Note that the first text was taken, or that nothing can be written any more."""
        self.error = error
        self._waiting.popleft()
        self._size -= size
        if error is not None:
            self._waiting.clear()
            self._size = 0
        if not self._size:
            self.is_stuck = False
            if self._drained is not None:
                loop, drained = self._drained
                with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
                    loop.call_soon_threadsafe(drained.set)
        self._changed.notify_all()
