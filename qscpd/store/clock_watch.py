"""Notices in the log when the wall clock loses or gains trust."""

from datetime import UTC, datetime

import structlog

from qscpd.domain.clock import ClockDoubt
from qscpd.store.base import Housekeeping

_log = structlog.stdlib.get_logger("qscpd.store")


class ClockWatch:
    """Logs one line when the wall clock stops being confirmed, and one when it is again.

    Attributes:
        doubt: What was wrong with the wall clock at the last check; None if it was confirmed.
    """

    def __init__(self) -> None:
        self.doubt: ClockDoubt | None = None

    def check(self, housekeeping: Housekeeping) -> ClockDoubt | None:
        """Check the wall clock, and return what is wrong with it; None if it is confirmed.

        Args:
            housekeeping: The store's; to be called in the store's thread.
        """
        before, self.doubt = self.doubt, housekeeping.clock_doubt()
        if self.doubt is not None and before is None:
            _log.warning(
                "clock.unconfirmed",
                wall=_utc(self.doubt.wall_ms),
                expected=_utc(self.doubt.expected_ms),
                ahead_s=round((self.doubt.wall_ms - self.doubt.expected_ms) / 1000),
                paused="removal of old messages and of old message ids",
                hint="if the wall clock is right, run `qscpd confirmclock` or wait a day; otherwise set it",
            )
        elif self.doubt is None and before is not None:
            _log.info("clock.confirmed", resumed="removal of old messages and of old message ids")
        return self.doubt


def _utc(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
