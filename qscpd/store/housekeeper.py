"""When the store's housekeeping runs, and what the log says of it; it belongs to the store's thread."""

import logging
import time
from typing import Final

import structlog

from qscpd.domain.model import Keep
from qscpd.errors import StoreError
from qscpd.outage import CALM_S, Outage
from qscpd.store.base import Housekeeping
from qscpd.store.clock_watch import ClockWatch

_QUIET_S: Final = 0.02
"""Idle time after which housekeeping begins."""

_PAUSE_S: Final = 0.002
"""Idle time between two steps when there are more, so that whoever waits for Python's lock gets it."""

_BUSY_S: Final = 0.05
"""Interval of housekeeping under load: with it, 20,000 messages a second are folded. More wait for a step."""

_FULL_S: Final = 1.0
"""Interval of housekeeping, which can make space, on a full disk: clients send again after a second."""

_IDLE_S: Final = 30.0
"""Interval of housekeeping when none is left: messages grow old, and are folded after half a minute."""

_log = structlog.stdlib.get_logger("qscpd.store")


class Housekeeper:
    """Does the store's housekeeping, a small step at a time.

    Args:
        housekeeping: The store's.
        keep: How much of each conversation is kept.

    Attributes:
        clock: Watches the wall clock.
        stored: Whether anything was stored that no whole round of steps has seen; set by the writer.
        due_s: When the next step is due while nothing is stored, by `time.monotonic`.
        busy_due_s: When it is due while messages come, which are to be folded.
        quiet_s: Idle time before the next step.
    """

    def __init__(self, housekeeping: Housekeeping, keep: Keep) -> None:
        self.clock = ClockWatch()
        self._housekeeping = housekeeping
        self._keep = keep
        self.stored = False
        self.quiet_s = _QUIET_S
        self.due_s = self.busy_due_s = time.monotonic()
        self._failing = Outage(_log, "store.housekeeping_failed", "steps", calm_s=CALM_S)

    def bring_forward(self) -> None:
        """Do the next step soon: the disk is full, and housekeeping can make space."""
        self.due_s = min(self.due_s, time.monotonic() + _FULL_S)

    def step(self, *, quiet: bool) -> None:
        """Do a step.

        Args:
            quiet: Whether nothing else waits. What was stored during the round that ends gets a further one.
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
        now = time.monotonic()
        if quiet and not more and not failed:
            more, self.stored = self.stored, False
        self.due_s = now + (0.0 if more else _IDLE_S)
        self.quiet_s = _PAUSE_S if more else _QUIET_S
        self.busy_due_s = now + (_FULL_S if failed else _BUSY_S)

    def close(self) -> None:
        """End the lines of the log that belong together."""
        self._failing.close()
