"""Who may do what in a room, and what a room is afterwards: pure functions of what the store has.

The table of permissions is `qscp.rooms.PERMISSIONS`. The store calls `decide` inside the transaction that
writes what comes out, so nothing can change between the check and the deed.

What always holds of an active room: it has an owner.
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from qscp.errors import ERROR_CODES, ErrorCode
from qscp.limits import ROOMS_LIMIT, SLOW_LIMIT_S
from qscp.rooms import PERMISSIONS, RANKS, HistoryFrom, RoomKind, RoomRole

__all__ = [
    "FOREVER_MS",
    "NO_MEMBERSHIP",
    "Decision",
    "DeniedError",
    "Membership",
    "RoomChange",
    "RoomRow",
    "RoomState",
    "decide",
    "may_see",
    "refusal",
    "successor",
]

FOREVER_MS: Final = 2**53 - 1
"""The end of what does not end by itself: the largest number that every JSON library can hold."""

_UNTIL_ARCHIVED: Final = frozenset({"leave", "log", "members", "unarchive", "delete"})
"""What may still be done in an archived room."""


class RoomState(enum.StrEnum):
    """Where a room is in its life."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    DELETED = "deleted"


class RoomRow(NamedTuple):
    """A room as it is kept."""

    id: int
    """The conversation; never used again."""
    name: str
    """With its `#`."""
    kind: RoomKind
    history: HistoryFrom
    topic: str
    slow_s: int
    """Seconds that a member has to wait between two messages."""
    state: RoomState
    created_ms: int
    first_seq: int
    last_seq: int
    members: int
    owners: int


class Membership(NamedTuple):
    """What somebody is in a room, a member or not."""

    role: RoomRole | None = None
    since: int = 1
    """The first seq that they may see, in a room that does not show its full history."""
    invited_by: int | None = None
    """Account id of who invited them, while they have not come; 0 for the operator."""
    muted_until_ms: int = 0
    banned_until_ms: int = 0


NO_MEMBERSHIP: Final = Membership()
"""Somebody whom the room has never heard of."""


class RoomChange(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody wants to do in a room."""

    action: str
    """As in a `room` frame; or `join`, `leave`, or `delete`, which only the operator can."""
    room: str
    """Its name, with the `#`."""
    actor: int | None
    """Account id; None for the operator of the server, who may do everything."""
    target: int | None = None
    """Account id of whom it is done to."""
    role: RoomRole | None = None
    text: str = ""
    seconds: int | None = None
    kind: RoomKind | None = None
    history: HistoryFrom | None = None


class Decision(NamedTuple):
    """What comes out of a change that is allowed."""

    room: RoomRow
    """As it is now; `members` and `owners` are counted by the store."""
    memberships: Mapping[int, Membership]
    """Those that are another now, by account id."""
    until_ms: int | None = None
    """When it ends by itself, for the log."""


class DeniedError(Exception):
    """Somebody may not do what they want to do in a room, or it makes no sense; nothing was changed."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        """The code's sentence."""
        return ERROR_CODES[self.code].sentence


class _Case(NamedTuple):
    """All that a decision depends on."""

    change: RoomChange
    room: RoomRow
    actor: Membership
    target: Membership
    rooms: int
    """How many rooms the actor is in."""
    now_ms: int

    @property
    def operator(self) -> bool:
        return self.change.actor is None

    def alone(self, membership: Membership) -> Decision:
        """Only the target's membership changes."""
        assert self.change.target is not None  # noqa: S101 - actions with a target have one, as ROOM_FIELDS says
        return Decision(self.room, {self.change.target: membership})


def decide(
    change: RoomChange, room: RoomRow, actor: Membership, target: Membership, *, rooms: int, now_ms: int
) -> Decision:
    """Decide whether a change may be made, and what it makes of the room.

    Args:
        change: What somebody wants.
        room: As it is.
        actor: The membership of who wants it; for the operator, any.
        target: The membership of whom it is about.
        rooms: How many rooms the actor is in.
        now_ms: Milliseconds since 1970-01-01 UTC.

    Raises:
        DeniedError: With the code to answer.
    """
    case = _Case(change, room, actor, target, rooms, now_ms)
    if not case.operator:
        _check_actor(case)
    if room.state is RoomState.ARCHIVED and change.action not in _UNTIL_ARCHIVED:
        raise DeniedError(ErrorCode.ROOM_ARCHIVED)
    return _DEEDS[change.action](case)


def may_see(room: RoomRow, membership: Membership) -> bool:
    """Whether somebody may know that there is this room."""
    if room.state is RoomState.DELETED:
        return False
    return (
        room.kind is not RoomKind.CLOSED or membership.role is not None or membership.invited_by is not None
    )


def refusal(room: RoomRow, membership: Membership, now_ms: int, *, reacts: bool = False) -> ErrorCode | None:
    """Why somebody may not write, edit, redact or react in a room now; None if they may.

    Args:
        room: As it is.
        membership: Theirs.
        now_ms: Milliseconds since 1970-01-01 UTC.
        reacts: Whether it is about anything else than a new message, which needs less in announcement rooms.
    """
    if membership.role is None:
        return ErrorCode.NOT_A_MEMBER if may_see(room, membership) else ErrorCode.UNKNOWN_ROOM
    if room.state is not RoomState.ACTIVE:
        return ErrorCode.ROOM_ARCHIVED
    if membership.muted_until_ms > now_ms:
        return ErrorCode.MUTED
    what = "react" if reacts else "announce" if room.kind is RoomKind.ANNOUNCEMENT else "write"
    return None if RANKS[membership.role] >= RANKS[PERMISSIONS[what]] else ErrorCode.NOT_ALLOWED


def successor(members: Iterable[tuple[int, Membership]]) -> int | None:
    """Who becomes owner when the account of the last one is deleted: of the highest, who came first."""
    ranked = sorted(members, key=lambda each: (-RANKS[each[1].role], each[1].since, each[0]))
    return ranked[0][0] if ranked else None


def _check_actor(case: _Case) -> None:
    action, actor = case.change.action, case.actor
    if not may_see(case.room, actor) or action == "delete":
        raise DeniedError(ErrorCode.UNKNOWN_ROOM)
    if action == "join" or (action == "leave" and actor.invited_by is not None):
        return
    if actor.role is None:
        raise DeniedError(ErrorCode.NOT_A_MEMBER)
    needed = PERMISSIONS.get(action)
    if needed is not None and RANKS[actor.role] < RANKS[needed]:
        raise DeniedError(ErrorCode.NOT_ALLOWED)


def _check_above(case: _Case) -> None:
    """An owner is above everybody; others only above those with a lower role."""
    if case.operator or case.actor.role is RoomRole.OWNER:
        return
    if RANKS[case.actor.role] <= RANKS[case.target.role]:
        raise DeniedError(ErrorCode.NOT_ALLOWED)


def _check_not_last_owner(case: _Case, membership: Membership) -> None:
    room = case.room
    if room.state is RoomState.ARCHIVED:
        # It needs no owner; but it counts against how many rooms the last one in it may be in.
        last = membership.role is not None and room.members == 1
    else:
        last = membership.role is RoomRole.OWNER and room.owners == 1
    if last:
        raise DeniedError(ErrorCode.LAST_OWNER)


def _join(case: _Case) -> Decision:
    actor, room = case.actor, case.room
    if actor.role is not None:
        raise DeniedError(ErrorCode.ALREADY_MEMBER)
    if actor.banned_until_ms > case.now_ms:
        raise DeniedError(ErrorCode.BANNED)
    if case.rooms >= ROOMS_LIMIT:
        raise DeniedError(ErrorCode.TOO_MANY_ROOMS)
    assert case.change.actor is not None  # noqa: S101 - the operator has no account to join with
    joined = actor._replace(role=RoomRole.MEMBER, since=room.last_seq + 1, invited_by=None, banned_until_ms=0)
    return Decision(room, {case.change.actor: joined})


def _leave(case: _Case) -> Decision:
    _check_not_last_owner(case, case.actor)
    assert case.change.actor is not None  # noqa: S101 - the operator is in no room
    return Decision(case.room, {case.change.actor: _gone(case.actor)})


def _topic(case: _Case) -> Decision:
    return Decision(case.room._replace(topic=case.change.text), {})


def _set(case: _Case) -> Decision:
    change, room = case.change, case.room
    slow_s = room.slow_s if change.seconds is None else change.seconds
    if slow_s > SLOW_LIMIT_S:
        raise DeniedError(ErrorCode.BAD_FIELD)
    return Decision(
        room._replace(kind=change.kind or room.kind, history=change.history or room.history, slow_s=slow_s),
        {},
    )


def _invite(case: _Case) -> Decision:
    if case.target.role is not None:
        raise DeniedError(ErrorCode.ALREADY_MEMBER)
    if case.target.banned_until_ms > case.now_ms:
        raise DeniedError(ErrorCode.BANNED)
    return case.alone(case.target._replace(invited_by=case.change.actor or 0))


def _remove(case: _Case) -> Decision:
    if case.target.role is None and case.target.invited_by is None:
        raise DeniedError(ErrorCode.USER_NOT_MEMBER)
    _check_above(case)
    _check_not_last_owner(case, case.target)
    return case.alone(_gone(case.target))


def _ban(case: _Case) -> Decision:
    _check_above(case)
    _check_not_last_owner(case, case.target)
    until = _until(case)
    return case.alone(_gone(case.target)._replace(banned_until_ms=until))._replace(until_ms=until)


def _unban(case: _Case) -> Decision:
    return case.alone(case.target._replace(banned_until_ms=0))


def _mute(case: _Case) -> Decision:
    _check_member(case)
    _check_above(case)
    until = _until(case)
    return case.alone(case.target._replace(muted_until_ms=until))._replace(until_ms=until)


def _unmute(case: _Case) -> Decision:
    _check_member(case)
    _check_above(case)
    return case.alone(case.target._replace(muted_until_ms=0))


def _role(case: _Case) -> Decision:
    _check_member(case)
    if case.change.role is not RoomRole.OWNER:
        _check_not_last_owner(case, case.target)
    return case.alone(case.target._replace(role=case.change.role))


def _archive(case: _Case) -> Decision:
    return Decision(case.room._replace(state=RoomState.ARCHIVED), {})


def _unarchive(case: _Case) -> Decision:
    if case.room.state is RoomState.ACTIVE:
        raise DeniedError(ErrorCode.NOT_ALLOWED)
    if not case.room.owners:
        raise DeniedError(ErrorCode.LAST_OWNER)
    return Decision(case.room._replace(state=RoomState.ACTIVE), {})


def _delete(case: _Case) -> Decision:
    return Decision(case.room._replace(state=RoomState.DELETED), {})


def _check_member(case: _Case) -> None:
    if case.target.role is None:
        raise DeniedError(ErrorCode.USER_NOT_MEMBER)


def _gone(membership: Membership) -> Membership:
    """No member any more, and not invited; mutes and bans outlive leaving."""
    return membership._replace(role=None, invited_by=None, since=1)


def _until(case: _Case) -> int:
    seconds = case.change.seconds
    return FOREVER_MS if seconds is None else min(case.now_ms + seconds * 1000, FOREVER_MS)


_DEEDS: Final[Mapping[str, Callable[[_Case], Decision]]] = {
    "join": _join,
    "leave": _leave,
    "topic": _topic,
    "set": _set,
    "invite": _invite,
    "remove": _remove,
    "ban": _ban,
    "unban": _unban,
    "mute": _mute,
    "unmute": _unmute,
    "role": _role,
    "archive": _archive,
    "unarchive": _unarchive,
    "delete": _delete,
}
