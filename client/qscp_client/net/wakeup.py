"""When it makes sense to connect again at once: somebody is there, or this computer slept."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Waking"]

_JUMP_S: Final = 10.0
"""The clocks part by more than this when the computer slept, or when its clock was set."""


class Waking:
    """Notices keys, and that the wall clock went on while the monotonic one stood still.

    Args:
        wall: Seconds since 1970.
        monotonic: Seconds of a clock that stands still while the computer sleeps, on most systems.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._apart = wall() - monotonic()
        self._touched = asyncio.Event()

    def forget(self) -> None:
        """Begin anew: what was pressed so far does not count."""
        self._touched.clear()

    def touch(self) -> None:
        """Somebody pressed a key."""
        self._touched.set()

    def slept(self) -> bool:
        """Whether the computer slept since the last call."""
        before, self._apart = self._apart, self._wall() - self._monotonic()
        return self._apart - before > _JUMP_S

    async def wait(self, seconds: float) -> bool:
        """Wait for a key or a wake-up; return whether there was one, since `forget`, in that time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._touched.wait()
        return self._touched.is_set() or self.slept()
