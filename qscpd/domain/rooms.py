"""Room rules: who may do what in a room, and what the room is afterwards. Pure.

The table of permissions is `qscp.rooms.PERMISSIONS`. A store calls `decide` inside the transaction that
writes the decision, so nothing can change between the check and the action.

Invariant: an active room has an owner.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from qscp.errors import ERROR_CODES, ErrorCode
from qscp.limits import DECLINED_S, INVITATIONS_LIMIT, INVITER_LIMIT, ROOMS_LIMIT, SLOW_LIMIT_S
from qscp.rooms import PERMISSIONS, RANKS, HistoryFrom, RoomKind, RoomRole

FOREVER_MS: Final = 2**53 - 1
"""The end of a mute or ban without an end: the largest integer that every JSON library can hold."""

_IN_ARCHIVED: Final = frozenset({"leave", "log", "members", "unarchive", "delete"})
"""Actions that an archived room still allows."""


class RoomState(enum.StrEnum):
    """State in the life of a room."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    DELETED = "deleted"


class RoomRow(NamedTuple):
    """A room as it is stored."""

    id: int
    """The conversation; never used again."""
    name: str
    """With its `#`."""
    kind: RoomKind
    history: HistoryFrom
    topic: str
    slow_s: int
    """Seconds that a member waits between two messages; 0: slow mode is off."""
    state: RoomState
    created_ms: int
    first_seq: int
    last_seq: int
    members: int
    owners: int


class Membership(NamedTuple):
    """An account's relation to a room, as a member or not."""

    role: RoomRole | None = None
    since: int = 1
    """The first seq that the member can see, in a room that does not show its full history."""
    invited_by: int | None = None
    """Account id of the inviter while the invitation is open; 0 for the operator."""
    muted_until_ms: int = 0
    banned_until_ms: int = 0
    declined_until_ms: int = 0
    """Until when the account can't be invited again, because it declined an invitation."""


NO_MEMBERSHIP: Final = Membership()
"""Default membership of an account without a row."""


class RoomChange(msgspec.Struct, frozen=True, kw_only=True):
    """A requested action in a room."""

    action: str
    """As in a `room` frame; or `join`, `leave`, or `delete`, which only the operator can."""
    room: str
    """Its name, with the `#`."""
    actor: int | None
    """Account id; None for the operator of the server, who has every permission."""
    target: int | None = None
    """Account id of the user that the action is about."""
    role: RoomRole | None = None
    text: str = ""
    seconds: int | None = None
    kind: RoomKind | None = None
    history: HistoryFrom | None = None
    most_owned: int | None = None
    """Rooms that a user can have created and own, of `limits.rooms_per_account`; None: any number."""


class Decision(NamedTuple):
    """Result of an allowed change."""

    room: RoomRow
    """The room afterwards; `members` and `owners` are counted by the store."""
    memberships: Mapping[int, Membership]
    """Changed memberships by account id."""
    until_ms: int | None = None
    """When the mute or ban ends, for the log."""


class DeniedError(Exception):
    """The action in a room is not allowed, or makes no sense; nothing was changed.

    Attributes:
        code: Why.
        limit: The number that was reached, if it is one.
        retry_after_s: Seconds until it would be allowed, if known.
    """

    def __init__(
        self, code: ErrorCode, *, limit: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.limit = limit
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        """The code's sentence, with the limit."""
        sentence = ERROR_CODES[self.code].sentence
        return sentence if self.limit is None else f"{sentence} The limit is {self.limit}."


class _Case(NamedTuple):
    """Everything a decision depends on."""

    change: RoomChange
    room: RoomRow
    actor: Membership
    target: Membership
    rooms: int
    """Number of rooms that the actor is a member of."""
    inviters: Sequence[int]
    """Inviters of the target's open invitations, to any room."""
    now_ms: int

    def target_becomes(self, membership: Membership) -> Decision:
        """Return the decision that changes the target's membership and nothing else."""
        if self.change.target is None:
            raise DeniedError(ErrorCode.UNKNOWN_USER)
        return Decision(self.room, {self.change.target: membership})


def decide(
    change: RoomChange,
    room: RoomRow,
    actor: Membership,
    target: Membership,
    *,
    rooms: int,
    inviters: Sequence[int] = (),
    now_ms: int,
) -> Decision:
    """Return what a change makes of a room; `qscpd.domain.room_creation` decides about creating one.

    Args:
        change: The requested action.
        room: The room before.
        actor: The actor's membership; ignored for the operator.
        target: The target's membership.
        rooms: Number of rooms that the actor is a member of; only a `join` needs it.
        inviters: Inviters of the target's open invitations, to any room; only an `invite` needs them.
        now_ms: Milliseconds since 1970-01-01 UTC.

    Raises:
        DeniedError: The change is not allowed; it has the code of the answer.
    """
    case = _Case(change, room, actor, target, rooms, inviters, now_ms)
    if case.change.actor is not None:
        _check_actor(case)
    if room.state is RoomState.ARCHIVED and change.action not in _IN_ARCHIVED:
        raise DeniedError(ErrorCode.ROOM_ARCHIVED)
    return _ACTIONS[change.action](case)


def may_see(room: RoomRow, membership: Membership) -> bool:
    """Return whether an account is allowed to know that the room exists."""
    return room.state is not RoomState.DELETED and not is_hidden(room.kind, membership)


def is_hidden(kind: RoomKind, membership: Membership) -> bool:
    """Return whether a room of a kind hides from an account that it exists."""
    return kind is RoomKind.CLOSED and membership.role is None and membership.invited_by is None


def refusal(room: RoomRow, membership: Membership, now_ms: int, *, reacts: bool = False) -> ErrorCode | None:
    """Return why an account can't write, edit, redact or react in a room now; None if it can.

    Args:
        room: The room.
        membership: The account's.
        now_ms: Milliseconds since 1970-01-01 UTC.
        reacts: For an edit, redaction or reaction, which needs a lower role in announcement rooms.
    """
    if membership.role is None:
        return ErrorCode.NOT_A_MEMBER if may_see(room, membership) else ErrorCode.UNKNOWN_ROOM
    if room.state is not RoomState.ACTIVE:
        return ErrorCode.ROOM_ARCHIVED
    if membership.muted_until_ms > now_ms:
        return ErrorCode.MUTED
    what = "react" if reacts else "announce" if room.kind is RoomKind.ANNOUNCEMENT else "write"
    return None if RANKS[membership.role] >= RANKS[PERMISSIONS[what]] else ErrorCode.NOT_ALLOWED


def action_refusal(room: RoomRow, membership: Membership, action: str) -> ErrorCode | None:
    """Return why an account's role does not allow an action in a room; None if it does."""
    if membership.role is None:
        return ErrorCode.NOT_A_MEMBER if may_see(room, membership) else ErrorCode.UNKNOWN_ROOM
    if room.state is RoomState.DELETED:
        return ErrorCode.UNKNOWN_ROOM
    needed = PERMISSIONS.get(action)
    return ErrorCode.NOT_ALLOWED if needed is not None and RANKS[membership.role] < RANKS[needed] else None


def first_visible(room: RoomRow, membership: Membership) -> int:
    """Return the first seq that a member is allowed to see, pruned or not."""
    return membership.since if room.history is HistoryFrom.JOINING else 1


def _check_actor(case: _Case) -> None:
    action, actor = case.change.action, case.actor
    code = ErrorCode.UNKNOWN_ROOM if action == "delete" else action_refusal(case.room, actor, action)
    enters = action == "join" or (action == "leave" and actor.invited_by is not None)
    if code is not None and not (enters and code is ErrorCode.NOT_A_MEMBER):
        raise DeniedError(code)


def _check_above(case: _Case) -> None:
    """Check that the actor outranks the target: owners outrank everyone, others only lower roles."""
    if case.change.actor is None or case.actor.role is RoomRole.OWNER:
        return
    if RANKS[case.actor.role] <= RANKS[case.target.role]:
        raise DeniedError(ErrorCode.NOT_ALLOWED)


def _check_not_last_owner(case: _Case, membership: Membership) -> None:
    room = case.room
    if room.state is RoomState.ARCHIVED:
        # It needs no owner; but it counts towards the limit of rooms of its last member.
        last = membership.role is not None and room.members == 1
    else:
        last = membership.role is RoomRole.OWNER and room.owners == 1
    if last:
        raise DeniedError(ErrorCode.LAST_OWNER)


def _join(case: _Case) -> Decision:
    actor, room = case.actor, case.room
    if actor.role is not None:
        raise DeniedError(ErrorCode.ALREADY_MEMBER)
    if (wait_ms := actor.banned_until_ms - case.now_ms) > 0:
        ends = actor.banned_until_ms < FOREVER_MS
        raise DeniedError(ErrorCode.BANNED, retry_after_s=wait_ms / 1000 if ends else None)
    if case.rooms >= ROOMS_LIMIT:
        raise DeniedError(ErrorCode.TOO_MANY_ROOMS, limit=ROOMS_LIMIT)
    if case.change.actor is None:  # the operator has no account to join with
        raise DeniedError(ErrorCode.NOT_ALLOWED)
    joined = Membership(RoomRole.MEMBER, room.last_seq + 1, muted_until_ms=actor.muted_until_ms)
    return Decision(room, {case.change.actor: joined})


def _leave(case: _Case) -> Decision:
    _check_not_last_owner(case, case.actor)
    if case.change.actor is None:  # the operator is in no room
        raise DeniedError(ErrorCode.NOT_ALLOWED)
    left = _without_role(case.actor)
    if case.actor.invited_by is not None:
        left = left._replace(declined_until_ms=case.now_ms + DECLINED_S * 1000)
    return Decision(case.room, {case.change.actor: left})


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
    if case.change.actor is not None:
        _check_invitable(case, case.change.actor)
    return case.target_becomes(case.target._replace(invited_by=case.change.actor or 0))


def _check_invitable(case: _Case, inviter: int) -> None:
    """Check that an invitation neither repeats a declined one nor is one of too many."""
    wait_ms = case.target.declined_until_ms - case.now_ms
    if wait_ms > 0:
        raise DeniedError(ErrorCode.DECLINED, retry_after_s=wait_ms / 1000)
    if case.target.invited_by is not None:
        return
    if len(case.inviters) >= INVITATIONS_LIMIT or case.inviters.count(inviter) >= INVITER_LIMIT:
        raise DeniedError(ErrorCode.TOO_MANY_INVITATIONS)


def _remove(case: _Case) -> Decision:
    if case.target.role is None and case.target.invited_by is None:
        raise DeniedError(ErrorCode.USER_NOT_MEMBER)
    _check_above(case)
    _check_not_last_owner(case, case.target)
    return case.target_becomes(_without_role(case.target))


def _ban(case: _Case) -> Decision:
    _check_above(case)
    _check_not_last_owner(case, case.target)
    until = _until(case)
    return case.target_becomes(_without_role(case.target)._replace(banned_until_ms=until))._replace(
        until_ms=until
    )


def _unban(case: _Case) -> Decision:
    return case.target_becomes(case.target._replace(banned_until_ms=0))


def _mute(case: _Case) -> Decision:
    _check_member(case)
    _check_above(case)
    until = _until(case)
    return case.target_becomes(case.target._replace(muted_until_ms=until))._replace(until_ms=until)


def _unmute(case: _Case) -> Decision:
    _check_member(case)
    _check_above(case)
    return case.target_becomes(case.target._replace(muted_until_ms=0))


def _role(case: _Case) -> Decision:
    _check_member(case)
    if case.change.role is not RoomRole.OWNER:
        _check_not_last_owner(case, case.target)
    return case.target_becomes(case.target._replace(role=case.change.role))


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


def _without_role(membership: Membership) -> Membership:
    """Return the membership without role and invitation; mutes and bans outlive leaving."""
    return membership._replace(role=None, invited_by=None, since=1)


def _until(case: _Case) -> int:
    seconds = case.change.seconds
    return FOREVER_MS if seconds is None else min(case.now_ms + seconds * 1000, FOREVER_MS)


_ACTIONS: Final[Mapping[str, Callable[[_Case], Decision]]] = {
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
