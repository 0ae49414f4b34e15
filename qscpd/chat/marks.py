"""Positions and skips of sessions on their way to the store, counted until they are processed.

A message has an answer, and these have none. So the queue itself asks the writer when it has processed
them. The first position waits for `_WINDOW_S`, so that those of all sessions share a transaction, and a
peer gets several in one write. Then they are handed over in batches, one at a time, until none is left.
Those that come meanwhile wait: of each session, conversation and kind only the highest, as the store would
keep no other. So nothing grows with the number of frames, and the writer never gets more positions than a
small transaction has.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Final

from qscpd.domain.model import Mark, PositionKind
from qscpd.sessions.session import Session
from qscpd.store.writer import StoreWriter

_BATCH: Final = 128
"""Positions with the writer at a time: some 2 ms of a transaction."""

_SHARE: Final = 16
"""Positions of one session in a batch, as long as others wait."""

_WINDOW_S: Final = 0.1
"""How long a position waits for others at most. With the client's own pause, a sender still sees that a
message is delivered well within a second."""

_Key = tuple[int, PositionKind]


class MarkQueue:
    """The positions that wait, and the counts of what the writer has.

    Args:
        writer: The writer.
        hand_over: Called when the writer has processed what it was given.

    Attributes:
        active: Whether any item waits, or has gone to the writer and is not processed yet.
    """

    def __init__(self, writer: StoreWriter[Session], hand_over: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._hand_over = hand_over
        self._waiting: dict[Session, dict[_Key, Mark]] = {}
        self._size = 0
        """Positions that wait."""
        self._window: asyncio.Handle | None = None
        """Ends the window; None if it is over, or nothing waits."""
        self._counts: Counter[Session] = Counter()
        """Items that the writer got since it was last asked."""
        self._asked: Counter[Session] = Counter()
        """Items that it got before."""
        self._asking: asyncio.Task[None] | None = None
        self.active = False

    def __len__(self) -> int:
        return self._size

    def add(self, session: Session, mark: Mark) -> None:
        """Queue a position, unless a higher one of the same session waits."""
        self.active = True
        waiting = self._waiting.setdefault(session, {})
        key = (mark.conversation, mark.kind)
        before = waiting.get(key)
        if before is not None:
            if before.seq < mark.seq:
                waiting[key] = mark
            return
        waiting[key] = mark
        session.inbound.pending += 1
        self._size += 1
        if self._size == 1:
            self._window = self._loop.call_later(_WINDOW_S, self.end_window)
        elif self._size == _BATCH and self._window is not None:  # a full batch need not wait
            self._window.cancel()
            self._window = self._loop.call_soon(self.end_window)

    def count(self, session: Session) -> None:
        """Count an item that has gone to the writer otherwise."""
        self.active = True
        session.inbound.pending += 1
        self._counts[session] += 1

    def end_window(self) -> None:
        """Let the positions that wait go to the writer now."""
        if self._window is not None:
            self._cancel_window()
            self._hand_over()

    def take_batch(self) -> list[Mark]:
        """Remove and return the next positions for the writer; none in their window, or while it has some."""
        batch: list[Mark] = []
        if self._window is not None or self._asking is not None:
            return batch
        while self._waiting and len(batch) < _BATCH:
            session = next(iter(self._waiting))
            share = _SHARE if len(self._waiting) > 1 else _BATCH
            batch += self._take(session, min(share, _BATCH - len(batch)))
        return batch

    def take_all(self, session: Session | None = None) -> list[Mark]:
        """Remove and return all positions of a session, or of all sessions, whatever the writer has."""
        sessions = list(self._waiting) if session is None else [session]
        return [mark for each in sessions for mark in self._take(each, len(self._waiting.get(each, ())))]

    def ask(self) -> None:
        """Have the sessions' counts go down when the writer has processed what it was given."""
        if self._counts and self._asking is None:
            self._asked, self._counts = self._counts, Counter()
            self._asking = self._loop.create_task(self._writer.drained())
            self._asking.add_done_callback(self._processed)

    def close(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        self._size = 0
        self._cancel_window()
        self._counts.clear()
        self._asked.clear()
        if self._asking is not None:
            self._asking.cancel()

    def _take(self, session: Session, most: int) -> list[Mark]:
        """Remove and return positions of a session; it goes behind the others if some are left."""
        waiting = self._waiting.pop(session, {})
        keys = list(islice(waiting, most))
        taken = [waiting.pop(key) for key in keys]
        if waiting:
            self._waiting[session] = waiting
        if taken:
            self._counts[session] += len(taken)
            self._size -= len(taken)
            if not self._size:
                self._cancel_window()
        return taken

    def _cancel_window(self) -> None:
        if self._window is not None:
            self._window.cancel()
            self._window = None

    def _processed(self, asking: asyncio.Task[None]) -> None:
        self._asking = None
        if asking.cancelled() or asking.exception() is not None:
            return  # The store is closed or has failed: every session ends.
        asked, self._asked = self._asked, Counter()
        for session, count in asked.items():
            session.processed(count)
        self.active = bool(self._waiting or self._counts)
        if self.active:
            self._hand_over()
