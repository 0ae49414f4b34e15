"""Reasons to reconnect at once: a key was pressed, or the computer woke up."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

_JUMP_S: Final = 10.0
"""The clocks drift apart by more than this when the computer slept, or its clock was set."""


class Wakeup:
    """Detects pressed keys, and that the wall clock advanced while the monotonic one stood still.

    Args:
        wall: Seconds since 1970.
        monotonic: Seconds of a clock that stands still while the computer sleeps, on most systems.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._drift = wall() - monotonic()
        self._pressed = asyncio.Event()

    def reset(self) -> None:
        """Ignore the keys that were pressed so far."""
        self._pressed.clear()

    def press(self) -> None:
        """Note that a key was pressed."""
        self._pressed.set()

    def slept(self) -> bool:
        """Return whether the computer slept since the last call."""
        before, self._drift = self._drift, self._wall() - self._monotonic()
        return self._drift - before > _JUMP_S

    async def wait(self, seconds: float) -> bool:
        """Wait for a key or a wake-up; return whether there was one since `reset`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._pressed.wait()
        return self._pressed.is_set() or self.slept()
