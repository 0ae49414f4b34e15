"""Rules of blocking: what an account that is blocked, or that blocks, can't send to the other one. Pure."""

from collections.abc import Set as AbstractSet

from qscp.errors import ErrorCode
from qscp.limits import BLOCKS_LIMIT


def contact_refusal(sender: int, blockers: AbstractSet[int]) -> ErrorCode | None:
    """Return why an account can't reach the other one of a pair; None if it can.

    Args:
        sender: The account.
        blockers: Those of the two that block the other one.
    """
    if not blockers:
        return None
    # A user who blocks as well is not notified of the other block.
    return ErrorCode.USER_BLOCKED if sender in blockers else ErrorCode.NOT_ACCEPTED


def block_refusal(account: int, blocked: int, known: AbstractSet[int], *, exists: bool) -> ErrorCode | None:
    """Return why an account can't block another one; None if it can.

    Args:
        account: The account.
        blocked: The other one.
        known: What it blocks so far.
        exists: Whether it exists; it can have been deleted since it asked.
    """
    if account == blocked:
        return ErrorCode.RECIPIENT_IS_SELF
    if not exists:
        return ErrorCode.UNKNOWN_USER
    if blocked in known:
        return ErrorCode.UNCHANGED
    return ErrorCode.TOO_MANY_BLOCKS if len(known) >= BLOCKS_LIMIT else None
