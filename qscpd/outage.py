"""Faults that last, as two lines of the log instead of one for each event."""

import logging
import time
from collections.abc import Callable
from typing import Final

import structlog

_CAUSES: Final = 8
"""Most causes of one outage that get a line of their own."""

CALM_S: Final = 10.0
"""Time without a failure after which a fault of a disk is over: a full one takes some writes, too."""


class Outage:
    """A fault that lasts: a line of the log when it begins, and one with its extent when it is over.

    Each further cause gets a line too. Belongs to one thread.

    Args:
        log: The log.
        event: Event of the first line, such as `sessionlog.failed`; the last is `<event>.over`.
        counted: Field of both lines with the number of what failed.
        calm_s: Seconds without a failure after which it is over, because a disk that is nearly full fails
            and works by turns.
        clock: Seconds that never go back.

    Attributes:
        lasts: Whether it has begun and is not over; `works` needs to be called only then.
    """

    __slots__ = (
        "_began",
        "_calm_s",
        "_causes",
        "_clock",
        "_count",
        "_counted",
        "_event",
        "_last",
        "_log",
        "lasts",
    )

    def __init__(
        self,
        log: structlog.stdlib.BoundLogger,
        event: str,
        counted: str,
        *,
        calm_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._event = event
        self._counted = counted
        self._calm_s = calm_s
        self._clock = clock
        self._causes: set[str] = set()
        self._began = self._last = 0.0
        self._count = 0
        self.lasts = False

    def failed(self, cause: str, count: int = 1, level: int = logging.ERROR, **fields: object) -> None:
        """Record a failure.

        Args:
            cause: What failed, for the log.
            count: How much failed.
            level: Level of the line, if there is one.
            fields: Further fields of the line.
        """
        self._last = self._clock()
        if not self.lasts:
            self.lasts, self._began, self._count = True, self._last, 0
        self._count += count
        if cause not in self._causes and len(self._causes) < _CAUSES:
            self._causes.add(cause)
            self._log.log(level, self._event, **fields, reason=cause, **{self._counted: count})

    def works(self) -> None:
        """Record that it works; it is over if it did for long enough."""
        if self.lasts and self._clock() - self._last >= self._calm_s:
            self.close()

    def close(self) -> None:
        """End it now, with its last line."""
        if self.lasts:
            seconds = round(self._clock() - self._began, 3)
            self._log.warning(f"{self._event}.over", **{self._counted: self._count}, seconds=seconds)
            self.lasts = False
            self._causes.clear()
