"""Queue of sessions whose output waits for the end of the loop's tick.

All frames that a peer gets in a tick leave together, as one TLS record (if they fit) and one system call.
"""

import asyncio
from typing import Protocol


class Flushable(Protocol):
    """Something with queued output."""

    def flush(self) -> None:
        """Write what is queued."""


class FlushQueue:
    """Sessions with queued output; each is flushed once, at the end of the tick."""

    __slots__ = ("_loop", "_scheduled", "_sessions")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sessions: set[Flushable] = set()
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: Flushable) -> None:
        """Flush a session at the end of this tick."""
        self._sessions.add(session)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def discard(self, session: Flushable) -> None:
        """Forget a session: its link is gone."""
        self._sessions.discard(session)

    def flush(self) -> None:
        """Flush every session in the queue now."""
        self._scheduled = False
        sessions, self._sessions = self._sessions, set()
        for session in sessions:
            session.flush()
