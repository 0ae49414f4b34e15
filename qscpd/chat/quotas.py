"""Quotas of accounts: what they store in a day, and how often they join rooms and invite.

What an account has used is kept in memory, over all of its sessions, and for as long as some of it is not
regained. A restart of the daemon gives every account its whole quota again.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from qscpd.config import LimitsConfig
from qscpd.domain.allowance import DAY_S, HOUR_S, Allowance

ROW_BYTES: Final = 100
"""Bytes charged for each message, event, refusal and change of a room, besides its text: its place, its
time, its id and the id's index need about as many."""

_SETTLE_EVERY_S: Final = 10.0
"""Between two rounds over all accounts; a new configuration counts from the next one on."""


class AccountUse:
    """What one account has used of its quotas.

    Attributes:
        stored: Bytes stored; the limit is per day.
        joins: Rooms joined and created; per hour.
        invitations: Invitations sent; per day.
    """

    __slots__ = ("invitations", "joins", "stored")

    def __init__(self) -> None:
        self.stored = Allowance(DAY_S)
        self.joins = Allowance(HOUR_S)
        self.invitations = Allowance(DAY_S)

    @property
    def is_none(self) -> bool:
        """Whether everything is regained."""
        return not (self.stored.used or self.joins.used or self.invitations.used)


class Quotas:
    """What each account has used.

    Args:
        limits: Returns the limits of the present configuration.
        is_here: Returns whether an account has sessions, which know what it has used.
    """

    def __init__(self, limits: Callable[[], LimitsConfig], is_here: Callable[[int], bool]) -> None:
        self._limits = limits
        self._is_here = is_here
        self._loop = asyncio.get_running_loop()
        self._used: dict[int, AccountUse] = {}
        """By account; of those that have sessions or not regained everything."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._used)

    def of(self, account: int) -> AccountUse:
        """Return what an account has used, as of now."""
        use = self._used.get(account)
        if use is None:
            use = self._used[account] = AccountUse()
        self._settle(use, self._limits())
        if self._timer is None:
            self._timer = self._loop.call_later(_SETTLE_EVERY_S, self._settle_all)
        return use

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle_all(self) -> None:
        """Settle all accounts, and forget those that have neither sessions nor used anything."""
        limits = self._limits()
        for account, use in list(self._used.items()):
            self._settle(use, limits)
            if use.is_none and not self._is_here(account):
                del self._used[account]
        self._timer = self._loop.call_later(_SETTLE_EVERY_S, self._settle_all) if self._used else None

    def _settle(self, use: AccountUse, limits: LimitsConfig) -> None:
        now_s = self._loop.time()
        use.stored.settle(limits.stored_per_day_bytes, now_s)
        use.joins.settle(limits.joins_per_hour, now_s)
        use.invitations.settle(limits.invitations_per_day, now_s)
