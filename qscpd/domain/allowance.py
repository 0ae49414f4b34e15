"""Allowances: how much of a limit an account has used, where the limit is regained evenly. Pure."""

import math
from typing import Final

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S


class Allowance:
    """What is used of a limit: a bucket that leaks its whole content within a period.

    Args:
        period_s: Seconds in which all of it is regained.

    Attributes:
        used: What is used; it is right as of the last `settle`, and too much later.
        limit: The limit as of the last `settle`.
    """

    __slots__ = ("_period_s", "_settled_s", "limit", "used")

    def __init__(self, period_s: float = DAY_S) -> None:
        self._period_s = period_s
        self.used = 0.0
        self.limit = math.inf
        self._settled_s = -math.inf

    def settle(self, limit: float, now_s: float) -> None:
        """Take the present limit, and regain what the time since the last call gives back.

        Nobody owes more than the limit once more, however much was used at once.

        Args:
            limit: The limit; above 0.
            now_s: The time, by a clock that never goes back.
        """
        self.limit = limit
        regained = (now_s - self._settled_s) * limit / self._period_s
        self.used = max(0.0, min(self.used, 2 * limit) - regained)
        self._settled_s = now_s

    @property
    def wait_s(self) -> float:
        """Seconds until less than the limit is used; 0 if it is so now."""
        return max(0.0, (self.used - self.limit) * self._period_s / self.limit)

    def take(self) -> float:
        """Use one more, if it fits; return the seconds until it would, or 0."""
        wait_s = max(0.0, (self.used + 1 - self.limit) * self._period_s / self.limit)
        if not wait_s:
            self.used += 1
        return wait_s

    def give_back(self) -> None:
        """Undo a `take`: what it was for did not happen."""
        self.used = max(0.0, self.used - 1)
