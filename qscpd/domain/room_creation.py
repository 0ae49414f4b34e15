"""Creating a room: who owns it, and what it is at first. Pure."""

from qscp.errors import ErrorCode
from qscp.limits import ROOMS_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.rooms import Decision, DeniedError, Membership, RoomChange, RoomRow, RoomState


def create_room(
    change: RoomChange, existing: RoomRow | None, *, rooms: int, owned: int, now_ms: int
) -> Decision:
    """Return a new room and its owner: the actor, or for the operator the target.

    Args:
        change: The requested action, `create`.
        existing: The room that has the name already.
        rooms: Number of rooms that the owner is a member of.
        owned: Number of rooms that the owner has created and owns.
        now_ms: Milliseconds since 1970-01-01 UTC.

    Returns:
        A room with the id 0, for the store numbers it.

    Raises:
        DeniedError: The name is taken, or the owner has too many rooms.
    """
    owner = founder(change)
    if owner is None:
        raise DeniedError(ErrorCode.UNKNOWN_USER)
    if existing is not None:
        raise DeniedError(ErrorCode.ROOM_EXISTS)
    if rooms >= ROOMS_LIMIT:
        raise DeniedError(ErrorCode.TOO_MANY_ROOMS, limit=ROOMS_LIMIT)
    if change.actor is not None and change.most_owned is not None and owned >= change.most_owned:
        raise DeniedError(ErrorCode.TOO_MANY_OWNED, limit=change.most_owned)
    room = RoomRow(
        id=0,
        name=change.room,
        kind=change.kind or RoomKind.OPEN,
        history=change.history or HistoryFrom.JOINING,
        topic=change.text,
        slow_s=0,
        state=RoomState.ACTIVE,
        created_ms=now_ms,
        first_seq=1,
        last_seq=0,
        members=1,
        owners=1,
    )
    return Decision(room, {owner: Membership(role=RoomRole.OWNER)})


def founder(change: RoomChange) -> int | None:
    """Return the account that owns the room which a change creates."""
    return change.actor if change.actor is not None else change.target
