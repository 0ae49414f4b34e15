"""What is written in a room, on its way to the store.

Telling a thousand sessions of one message costs nearly as much as telling them of eight: a record and a
system call each; and a commit for one costs as much as one for eight. So a room has one batch on its way
at a time. While that is committed and told, and for as long again as the telling took, what is written
gathers, and is the next batch. A busy room never takes more than half of the loop's time from everybody
else; in a quiet one, a message waits for nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from qscpd.sessions.session import Session
from qscpd.store.writer import PendingChat

__all__ = ["RoomQueue"]

_REST_S: Final = 12e-6
"""Rest for each session that was told: what telling it costs (docs/performance.md)."""

_SHORTEST_S: Final = 0.5e-3
"""A shorter rest is none: the loop's timers are no finer than a millisecond."""


class RoomQueue:
    """The way into one room.

    Args:
        store: Hands something to the store at the end of the tick.
    """

    __slots__ = ("_busy", "_coming", "_loop", "_store", "_timer", "_waiting")

    def __init__(self, store: Callable[[PendingChat[Session]], None]) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._waiting: list[PendingChat[Session]] = []
        self._coming = 0
        """Messages that the store did not answer yet."""
        self._busy = False
        """Whether a batch is on its way, or the room rests."""
        self._timer: asyncio.TimerHandle | None = None

    def write(self, item: PendingChat[Session]) -> None:
        """Somebody writes in the room."""
        self._waiting.append(item)
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self.hurry)  # with all that comes in this tick

    def hurry(self) -> None:
        """Let everything go to the store now."""
        waiting, self._waiting = self._waiting, []
        self._coming += len(waiting)
        for item in waiting:
            self._store(item)

    def answered(self, count: int, told: int) -> None:
        """The store came back with messages for the room, and its members were told.

        Args:
            count: How many messages, whatever became of them.
            told: How many sessions were told of them.
        """
        self._coming -= count
        if self._coming:
            return
        rest_s = told * _REST_S
        if rest_s < _SHORTEST_S:
            self._rested()
        elif self._timer is None:
            self._timer = self._loop.call_later(rest_s, self._rested)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rested(self) -> None:
        self.close()
        self._busy = bool(self._waiting)
        self.hurry()
