"""Turns: sessions with more input than one turn handles take the next ones in rotation.

A peer can send frames faster than they are handled. So a session handles a bounded number of them and
a bounded number of bytes, and what is left waits behind the input of all others.
"""

import asyncio
import time
from collections import deque
from typing import Final, Protocol

TURN_FRAMES: Final = 64
"""Frames handled in a turn: some 0.1 ms of `pong`, 0.5 ms of messages."""

_TURNS_S: Final = 0.002
"""Time for turns in one iteration of the loop; new input of others is read between two iterations."""


class TurnTaker(Protocol):
    """Something with input that waits."""

    def take_turn(self) -> None:
        """Handle some of it; add itself to the queue again if more is left."""


class TurnQueue:
    """Sessions whose input waits for their turn, in order."""

    __slots__ = ("_loop", "_scheduled", "_waiting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[TurnTaker] = deque()
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, session: TurnTaker) -> None:
        """Queue a session behind the others; it must not be in the queue."""
        self._waiting.append(session)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.run)

    def run(self) -> None:
        """Let sessions take turns, for a limited time."""
        until = time.monotonic() + _TURNS_S
        try:
            while self._waiting:
                self._waiting.popleft().take_turn()
                if time.monotonic() >= until:
                    break
        finally:  # A bug in one turn must not stop those of the others.
            self._scheduled = bool(self._waiting)
            if self._scheduled:
                self._loop.call_soon(self.run)
