"""Queue of sessions whose output waits for the end of the loop's tick.

All frames that a peer gets in a tick leave together, as one TLS record (if they fit) and one system call.
"""

import asyncio
from time import thread_time
from typing import Final, Protocol

_TURN_S: Final = 2e-3
"""Time for flushing in one iteration of the loop."""

_SESSIONS: Final = 16
"""Sessions between two looks at the clock: some 150 µs, or 5 ms if each has much."""

_GONE: Final = object()


class Flushable(Protocol):
    """Something with queued output."""

    def flush(self) -> None:
        """Write what is queued."""


class FlushQueue:
    """Sessions with queued output; each is flushed once, at the end of the tick.

    Flushing stops after `_TURN_S`. The sessions that are left come first in the next iteration of the loop.
    So long output of many sessions does not stop the input of others.
    """

    __slots__ = ("_loop", "_scheduled", "_sessions")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[Flushable, None] = {}
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: Flushable) -> None:
        """Flush a session at the end of this tick."""
        self._sessions[session] = None
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._take_turn)

    def discard(self, session: Flushable) -> None:
        """Forget a session: its link is gone."""
        self._sessions.pop(session, None)

    def flush(self) -> None:
        """Flush every session in the queue now."""
        sessions, self._sessions = self._sessions, {}
        waiting = iter(sessions)
        try:
            for session in waiting:
                session.flush()
        finally:  # A bug in one flush must not stop the output of the others.
            for session in waiting:
                self.add(session)

    def _take_turn(self) -> None:
        """Flush sessions, for a limited time."""
        self._scheduled = False
        if len(self._sessions) <= _SESSIONS:
            self.flush()
            return
        # The thread's own time: what other programs take meanwhile is no reason to stop.
        until = thread_time() + _TURN_S
        sessions = list(self._sessions)
        try:
            for at in range(0, len(sessions), _SESSIONS):
                for session in sessions[at : at + _SESSIONS]:
                    if self._sessions.pop(session, _GONE) is None:
                        session.flush()
                if thread_time() >= until:
                    break
        finally:
            if self._sessions and not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._take_turn)
