"""Limits of what one account changes in rooms: joins and invitations by their number, all by their bytes."""

from collections.abc import Iterator
from contextlib import contextmanager

from qscp.errors import ErrorCode
from qscpd.chat.quotas import ROW_BYTES, AccountUse
from qscpd.chat.router import Router
from qscpd.domain.allowance import Allowance
from qscpd.domain.moderation import is_protective
from qscpd.domain.rooms import DeniedError, RoomChange


class RoomLimiter:
    """Counts the changes of rooms that accounts request, against their quotas.

    Args:
        router: Has the quotas and the configuration.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._quotas = router.quotas

    @property
    def most_owned(self) -> int:
        """How many rooms an account can have created and own."""
        return self._router.config.limits.rooms_per_account

    @contextmanager
    def counted(self, account: int, change: RoomChange) -> Iterator[None]:
        """Count a change while it is made; one that fails is given back.

        What gets people away from an abuser is always allowed.

        Args:
            account: The account that requests it.
            change: The change.

        Raises:
            DeniedError: The account has used up a quota.
        """
        use = self._quotas.of(account)
        if use.stored.wait_s and not is_protective(change):
            raise DeniedError(ErrorCode.QUOTA_EXCEEDED, retry_after_s=use.stored.wait_s)
        counter = _counter(use, change.action)
        if counter is not None and (wait_s := counter.take()):
            raise DeniedError(ErrorCode.RATE_LIMITED, limit=round(counter.limit), retry_after_s=wait_s)
        try:
            yield
        except Exception:
            if counter is not None:
                counter.give_back()
            raise
        use.stored.used += ROW_BYTES + len(change.text.encode())


def _counter(use: AccountUse, action: str) -> Allowance | None:
    """Return what an action is counted against; None if it is not counted."""
    match action:
        case "join" | "create":
            return use.joins
        case "invite":
            return use.invitations
        case _:
            return None
