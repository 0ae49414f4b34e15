"""Clocks that tests move: one to call, and an event loop with virtual time, which waits for no timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["ManualClock", "in_virtual_time"]

T = TypeVar("T")


class ManualClock:
    """A clock that stands still.

    Attributes:
        now: The time in seconds; the test sets it.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class _Loop(asyncio.SelectorEventLoop):
    """Event loop whose clock jumps to the next timer when nothing is ready; it ignores threads."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready:
            self._loop.jump(timeout)
        return ready


def in_virtual_time(test: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, and return its result."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(test)
