"""When the store's housekeeping runs, and what the log says of it; it belongs to the store's thread."""

import logging
import time
from typing import Final

import structlog

from qscpd.domain.model import Keep
from qscpd.errors import StoreError
from qscpd.outage import Outage
from qscpd.store.base import Housekeeping
from qscpd.store.clock_watch import ClockWatch

_QUIET_S: Final = 0.02
"""Idle time after which housekeeping begins."""

_BUSY_S: Final = 0.05
"""Interval of housekeeping under load: with it, 2,000 messages a second are indexed."""

_FULL_S: Final = 1.0
"""Interval of housekeeping, which can make space, on a full disk: clients send again after a second."""

_IDLE_S: Final = 60.0
"""Interval of housekeeping when none is left: messages grow old."""

CALM_S: Final = 10.0
"""Time without a failure after which a full disk is over; before, small messages find room now and then."""

_log = structlog.stdlib.get_logger("qscpd.store")


class Housekeeper:
    """Does the store's housekeeping, a small step at a time.

    Args:
        housekeeping: The store's.
        keep: How much of each conversation is kept.

    Attributes:
        clock: Watches the wall clock.
    """

    def __init__(self, housekeeping: Housekeeping, keep: Keep) -> None:
        self.clock = ClockWatch()
        self._housekeeping = housekeeping
        self._keep = keep
        self._next = time.monotonic()
        self._failing = Outage(_log, "store.housekeeping_failed", "steps", calm_s=CALM_S)

    @property
    def is_due(self) -> bool:
        """Whether a step is due, also if messages wait."""
        return time.monotonic() >= self._next

    @property
    def pause_s(self) -> float:
        """Seconds without work after which a step is done."""
        return max(_QUIET_S, self._next - time.monotonic())

    def stored(self) -> None:
        """Note that messages were stored, which are to be indexed."""
        self._next = min(self._next, time.monotonic() + _BUSY_S)

    def refused(self) -> None:
        """Note that the disk is full: housekeeping can make space."""
        self._next = min(self._next, time.monotonic() + _FULL_S)

    def step(self, *, quiet: bool) -> None:
        """Do a step.

        Args:
            quiet: Whether nothing else waits, so that the next step can follow at once.
        """
        more = failed = False
        try:
            self.clock.check(self._housekeeping)
            more = self._housekeeping.step(self._keep)
        except StoreError as error:
            # Nothing was promised; a disk that is full now may have room later.
            failed = True
            self._failing.failed(str(error), level=logging.WARNING)
        else:
            self._failing.works()
        busy_s = _FULL_S if failed else _BUSY_S
        idle_s = 0.0 if more else _IDLE_S
        self._next = time.monotonic() + (idle_s if quiet else busy_s)

    def close(self) -> None:
        """End the lines of the log that belong together."""
        self._failing.close()
