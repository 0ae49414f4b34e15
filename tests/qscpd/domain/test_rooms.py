"""Room rules: every action by each role, on each role, in each kind of room."""

import itertools
from collections.abc import Sequence
from typing import Final

import pytest

from qscp.errors import ERROR_CODES, ErrorCode
from qscp.limits import DECLINED_S, INVITATIONS_LIMIT, INVITER_LIMIT, ROOMS_LIMIT, SLOW_LIMIT_S
from qscp.rooms import PERMISSIONS, RANKS, ROOM_FIELDS, HistoryFrom, RoomKind, RoomRole
from qscpd.domain import rooms as room_rules
from qscpd.domain.room_creation import create_room
from qscpd.domain.rooms import (
    FOREVER_MS,
    NO_MEMBERSHIP,
    Decision,
    DeniedError,
    Membership,
    RoomChange,
    RoomRow,
    RoomState,
    action_refusal,
    decide,
    first_visible,
    may_see,
    refusal,
)
from tests.support import room_rows

ACTOR, TARGET = 1, 2
NOW = 1_700_000_000_000
ROOM: Final = room_rows.ROOM._replace(created_ms=NOW, members=9, owners=2)
ROLES: Final[tuple[RoomRole | None, ...]] = (*RoomRole, None)
WITH_TARGET: Final = sorted(action for action, (needed, _) in ROOM_FIELDS.items() if "user" in needed)
FROM_ABOVE: Final = frozenset({"remove", "ban", "mute", "unmute"})
"""Actions only on lower roles; `redact` is tested with the amendments."""
DECIDED: Final = sorted(ROOM_FIELDS.keys() - {"create", "members", "log"})
ALLOWED = None


def change(action: str, actor: int | None = ACTOR, **fields: object) -> RoomChange:
    """Make a change with all fields that any action needs."""
    given: dict[str, object] = {"target": TARGET, "role": RoomRole.MEMBER, "text": "x"} | fields
    return RoomChange(action=action, room="#dev", actor=actor, **given)  # type: ignore[arg-type]  # fields of a RoomChange


def outcome(
    made: RoomChange,
    room: RoomRow = ROOM,
    actor: Membership = NO_MEMBERSHIP,
    target: Membership = NO_MEMBERSHIP,
    rooms: int = 0,
) -> Decision | ErrorCode:
    """Return the decision on a change, or the code of its refusal."""
    try:
        return decide(made, room, actor, target, rooms=rooms, now_ms=NOW)
    except DeniedError as denied:
        return denied.code


def code(
    made: RoomChange,
    room: RoomRow = ROOM,
    actor: Membership = NO_MEMBERSHIP,
    target: Membership = NO_MEMBERSHIP,
    rooms: int = 0,
) -> ErrorCode | None:
    """Return the code of a refusal, or None."""
    decided = outcome(made, room, actor, target, rooms)
    return decided if isinstance(decided, ErrorCode) else ALLOWED


def expected(action: str, kind: RoomKind, actor: Membership, target: Membership) -> ErrorCode | None:
    """Return the code that the tables give for an action on a target, or None."""
    if actor.role is None:
        hidden = kind is RoomKind.CLOSED and actor.invited_by is None
        return ErrorCode.UNKNOWN_ROOM if hidden else ErrorCode.NOT_A_MEMBER
    if RANKS[actor.role] < RANKS[PERMISSIONS[action]]:
        return ErrorCode.NOT_ALLOWED
    return target_code(action, target) or (
        ErrorCode.NOT_ALLOWED
        if action in FROM_ABOVE
        and actor.role is not RoomRole.OWNER
        and RANKS[target.role] >= RANKS[actor.role]
        else ALLOWED
    )


def target_code(action: str, target: Membership) -> ErrorCode | None:
    """Return the code of an action that is invalid for its target's membership, or None."""
    if action in {"remove", "mute", "unmute", "role"} and target.role is None:
        return ErrorCode.USER_NOT_MEMBER
    return ErrorCode.ALREADY_MEMBER if action == "invite" and target.role is not None else ALLOWED


def test_every_action_is_in_the_tables() -> None:
    """Each action of a request has a permission and a rule; the other permissions are known."""
    assert ROOM_FIELDS.keys() - {"create"} <= PERMISSIONS.keys()
    assert set(DECIDED) | {"join", "leave", "delete"} == room_rules._ACTIONS.keys()
    assert PERMISSIONS.keys() - ROOM_FIELDS.keys() == {"write", "announce", "react", "redact"}


@pytest.mark.parametrize("action", DECIDED)
def test_each_action_follows_the_tables(action: str) -> None:
    """Each action is decided as in the tables, for each kind of room, actor and target."""
    actors = [*(Membership(role) for role in ROLES), Membership(invited_by=3)]
    room = ROOM._replace(state=RoomState.ARCHIVED if action == "unarchive" else RoomState.ACTIVE)
    targets = [Membership(role) for role in ROLES] if action in WITH_TARGET else [NO_MEMBERSHIP]
    for kind, actor, target in itertools.product(RoomKind, actors, targets):
        got = code(change(action), room._replace(kind=kind), actor, target)
        assert got == expected(action, kind, actor, target), (kind, actor, target)


@pytest.mark.parametrize("action", [*DECIDED, "delete"])
def test_the_operator_can_do_everything(action: str) -> None:
    """The operator can apply every action to every target for which it is valid."""
    room = ROOM._replace(state=RoomState.ARCHIVED if action == "unarchive" else RoomState.ACTIVE)
    for kind, role in itertools.product(RoomKind, ROLES):
        got = code(change(action, None), room._replace(kind=kind), target=Membership(role))
        assert got == target_code(action, Membership(role)), (kind, role)


def test_only_the_operator_deletes_rooms() -> None:
    """A deletion by a user, even an owner, is refused as an unknown room."""
    for role in ROLES:
        assert code(change("delete"), actor=Membership(role)) is ErrorCode.UNKNOWN_ROOM


@pytest.mark.parametrize("action", [*DECIDED, "join", "leave", "delete"])
def test_an_archived_room_refuses_most_actions(action: str) -> None:
    """An archived room can only be left and unarchived, or deleted by the operator."""
    room = ROOM._replace(state=RoomState.ARCHIVED)
    actor = NO_MEMBERSHIP if action == "join" else Membership(RoomRole.OWNER)
    allowed = action in {"leave", "unarchive"}
    assert code(change(action), room, actor, Membership(RoomRole.MEMBER)) == (
        ALLOWED if allowed else ErrorCode.UNKNOWN_ROOM if action == "delete" else ErrorCode.ROOM_ARCHIVED
    )
    if action not in {"join", "leave"}:
        may = action in {"unarchive", "delete"}
        got = code(change(action, None), room, target=Membership(RoomRole.MEMBER))
        assert got == (ALLOWED if may else ErrorCode.ROOM_ARCHIVED)


@pytest.mark.parametrize("actor", [ACTOR, None], ids=["owner", "operator"])
def test_the_last_owner_stays(actor: int | None) -> None:
    """The only owner of an active room can neither leave nor lose the role; one of two owners can."""
    owner = Membership(RoomRole.OWNER)
    changes = [
        change("remove", actor),
        change("ban", actor),
        change("role", actor, role=RoomRole.MODERATOR),
        change("role", actor, role=RoomRole.MEMBER),
    ]
    if actor is not None:
        changes.append(change("leave", actor))
    for owners, got in ((1, ErrorCode.LAST_OWNER), (2, ALLOWED)):
        for made in changes:
            assert code(made, ROOM._replace(owners=owners), owner, owner) is got, made
    alone = ROOM._replace(owners=1)
    assert code(change("role", actor, role=RoomRole.OWNER), alone, owner, owner) is ALLOWED
    assert code(change("mute", actor), alone, owner, owner) is ALLOWED


def test_an_archived_room_needs_a_member_but_no_owner() -> None:
    """The last owner can leave an archived room but the last member cannot; unarchiving needs an owner."""
    archived = ROOM._replace(state=RoomState.ARCHIVED, owners=1)
    assert code(change("leave"), archived, Membership(RoomRole.OWNER)) is ALLOWED
    for role in RoomRole:
        assert code(change("leave"), archived._replace(members=1), Membership(role)) is ErrorCode.LAST_OWNER
    assert code(change("unarchive", None), archived._replace(owners=0)) is ErrorCode.LAST_OWNER


def test_joining() -> None:
    """Users can join unless they are members, banned, uninvited in a closed room, or at their limit."""
    invited, member = Membership(invited_by=3), Membership(RoomRole.MEMBER)
    banned, once_banned = Membership(banned_until_ms=NOW + 1), Membership(banned_until_ms=NOW)
    muted = Membership(muted_until_ms=FOREVER_MS)
    for kind in RoomKind:
        room = ROOM._replace(kind=kind)
        closed = ErrorCode.UNKNOWN_ROOM if kind is RoomKind.CLOSED else ALLOWED
        assert code(change("join"), room, NO_MEMBERSHIP) == closed
        assert code(change("join"), room, once_banned) == closed
        assert code(change("join"), room, banned) == (closed or ErrorCode.BANNED)
        assert code(change("join"), room, invited) is ALLOWED
        assert code(change("join"), room, member) is ErrorCode.ALREADY_MEMBER
        assert code(change("join"), room, invited, rooms=ROOMS_LIMIT) is ErrorCode.TOO_MANY_ROOMS
        assert code(change("join"), room, invited, rooms=ROOMS_LIMIT - 1) is ALLOWED
    joined = outcome(change("join"), actor=muted._replace(invited_by=3, banned_until_ms=NOW))
    assert joined == Decision(ROOM, {ACTOR: Membership(RoomRole.MEMBER, 41, None, FOREVER_MS, 0)})


def test_a_ban_ends_membership_and_a_mute_survives_it() -> None:
    """A ban ends membership and invitation; mutes and bans survive leaving."""
    target = Membership(RoomRole.MEMBER, 5, None, NOW + 9, 0)
    owner = Membership(RoomRole.OWNER)
    for seconds, until in ((None, FOREVER_MS), (0, NOW), (60, NOW + 60_000), (2**53 - 1, FOREVER_MS)):
        gone = Membership(muted_until_ms=NOW + 9, banned_until_ms=until)
        assert outcome(change("ban", seconds=seconds), actor=owner, target=target) == Decision(
            ROOM, {TARGET: gone}, until
        )
    assert outcome(change("leave"), actor=target) == Decision(
        ROOM, {ACTOR: Membership(muted_until_ms=NOW + 9)}
    )
    invited = Membership(invited_by=3)
    assert outcome(change("remove"), actor=owner, target=invited) == Decision(ROOM, {TARGET: NO_MEMBERSHIP})
    assert code(change("invite"), actor=owner, target=Membership(banned_until_ms=NOW + 1)) is ErrorCode.BANNED
    assert outcome(change("unban"), actor=owner, target=NO_MEMBERSHIP) == Decision(
        ROOM, {TARGET: NO_MEMBERSHIP}
    )


def test_settings_change_only_what_is_given() -> None:
    """`set` changes only the given settings; slow mode has a longest time, and zero ends it."""
    owner = Membership(RoomRole.OWNER)
    slow = ROOM._replace(slow_s=30)
    for given, room in (
        ({}, slow),
        ({"kind": RoomKind.CLOSED}, slow._replace(kind=RoomKind.CLOSED)),
        ({"history": HistoryFrom.FULL}, slow._replace(history=HistoryFrom.FULL)),
        ({"seconds": 0}, slow._replace(slow_s=0)),
        ({"seconds": SLOW_LIMIT_S}, slow._replace(slow_s=SLOW_LIMIT_S)),
    ):
        assert outcome(change("set", **given), slow, owner) == Decision(room, {})
    assert code(change("set", seconds=SLOW_LIMIT_S + 1), actor=owner) is ErrorCode.BAD_FIELD


def test_sending_and_reacting() -> None:
    """Sending depends on role, kind, state and mute; amendments need the permission `react`."""
    for kind, state, role, muted, reacts in itertools.product(
        RoomKind, RoomState, ROLES, (0, NOW, NOW + 1), (False, True)
    ):
        room, membership = ROOM._replace(kind=kind, state=state), Membership(role, muted_until_ms=muted)
        what = "react" if reacts else "announce" if kind is RoomKind.ANNOUNCEMENT else "write"
        if role is None:
            there = may_see(room, membership)
            right: ErrorCode | None = ErrorCode.NOT_A_MEMBER if there else ErrorCode.UNKNOWN_ROOM
        elif state is not RoomState.ACTIVE:
            right = ErrorCode.ROOM_ARCHIVED
        elif muted > NOW:
            right = ErrorCode.MUTED
        else:
            right = ErrorCode.NOT_ALLOWED if RANKS[role] < RANKS[PERMISSIONS[what]] else ALLOWED
        assert refusal(room, membership, NOW, reacts=reacts) == right, (room, membership)


def test_who_can_see_a_room() -> None:
    """A closed room is visible to members and invited users only, a deleted room to its members at most."""
    for role, invited in itertools.product(ROLES, (None, 0, 3)):
        membership = Membership(role, invited_by=invited)
        assert may_see(ROOM, membership)
        assert may_see(ROOM._replace(kind=RoomKind.ANNOUNCEMENT), membership)
        assert may_see(ROOM._replace(kind=RoomKind.CLOSED), membership) == (
            role is not None or invited is not None
        )
        assert not may_see(ROOM._replace(state=RoomState.DELETED), membership) or role


def test_a_new_room_is_owned_by_its_creator() -> None:
    """A new room is owned by its creator, or the operator's target; it is open with history from joining."""
    bare = RoomChange(action="create", room="#dev", actor=ACTOR)
    made = create_room(bare, None, rooms=ROOMS_LIMIT - 1, owned=0, now_ms=NOW)
    room = ROOM._replace(id=0, last_seq=0, members=1, owners=1)
    assert made == Decision(room, {ACTOR: Membership(RoomRole.OWNER)})
    full = RoomChange(
        action="create",
        room="#dev",
        actor=None,
        target=TARGET,
        kind=RoomKind.CLOSED,
        history=HistoryFrom.FULL,
        text="news",
    )
    made = create_room(full, None, rooms=0, owned=0, now_ms=NOW)
    room = room._replace(kind=RoomKind.CLOSED, history=HistoryFrom.FULL, topic="news")
    assert made == Decision(room, {TARGET: Membership(RoomRole.OWNER)})


def test_a_new_room_needs_a_free_name_and_owner() -> None:
    """A taken name, or an owner at the limit of rooms, is refused, also for the operator."""
    for actor in (ACTOR, None):
        made = change("create", actor)
        for existing, rooms, code in (
            (ROOM, 0, ErrorCode.ROOM_EXISTS),
            (None, ROOMS_LIMIT, ErrorCode.TOO_MANY_ROOMS),
        ):
            with pytest.raises(DeniedError) as denied:
                create_room(made, existing, rooms=rooms, owned=0, now_ms=NOW)
            assert denied.value.code is code


def test_the_limit_of_owned_rooms_is_for_users() -> None:
    """A user at the limit creates no room, with the number in the sentence; the operator always can."""
    made = change("create", most_owned=2)
    with pytest.raises(DeniedError, match=r"The limit is 2\.$") as denied:
        create_room(made, None, rooms=0, owned=2, now_ms=NOW)
    assert denied.value.code is ErrorCode.TOO_MANY_OWNED
    assert create_room(made, None, rooms=0, owned=1, now_ms=NOW).memberships
    by_operator = change("create", actor=None, most_owned=2)
    assert create_room(by_operator, None, rooms=0, owned=9, now_ms=NOW).memberships


# --- invitations


def invited(target: Membership, inviters: Sequence[int] = (), actor: int | None = ACTOR) -> ErrorCode | None:
    """Return why an invitation is refused; None if it is not."""
    try:
        decide(
            change("invite", actor),
            ROOM,
            Membership(RoomRole.MEMBER),
            target,
            rooms=0,
            inviters=inviters,
            now_ms=NOW,
        )
    except DeniedError as denied:
        return denied.code
    return None


def test_a_declined_invitation_is_not_repeated_for_a_day() -> None:
    """Declining is remembered for a day, over bans; leaving as a member is not declining."""
    day_ms = DECLINED_S * 1000
    declined = outcome(change("leave"), actor=Membership(invited_by=3))
    assert declined == Decision(ROOM, {ACTOR: Membership(declined_until_ms=NOW + day_ms)})
    left = outcome(change("leave"), actor=Membership(RoomRole.MEMBER))
    assert left == Decision(ROOM, {ACTOR: NO_MEMBERSHIP})
    for until_ms, expected in ((NOW + 1, ErrorCode.DECLINED), (NOW, ALLOWED)):
        assert invited(Membership(declined_until_ms=until_ms)) is expected
        assert invited(Membership(declined_until_ms=until_ms), actor=None) is ALLOWED
    with pytest.raises(DeniedError) as denied:
        decide(
            change("invite"),
            ROOM,
            Membership(RoomRole.OWNER),
            Membership(declined_until_ms=NOW + 1500),
            rooms=0,
            now_ms=NOW,
        )
    assert denied.value.retry_after_s == 1.5
    member = Membership(RoomRole.OWNER)
    for action in ("ban", "unban"):
        after = outcome(change(action), actor=member, target=Membership(declined_until_ms=NOW + 1))
        assert isinstance(after, Decision)
        assert after.memberships[TARGET].declined_until_ms == NOW + 1


def test_who_declined_can_still_join() -> None:
    """Declining keeps nobody out of an open room, and joining ends it."""
    joined = outcome(change("join"), actor=Membership(declined_until_ms=FOREVER_MS))
    assert joined == Decision(ROOM, {ACTOR: Membership(RoomRole.MEMBER, 41)})


def test_open_invitations_are_bounded_by_user_and_inviter() -> None:
    """No inviter alone can use up what others can invite a user to."""
    others = [10 + n // INVITER_LIMIT for n in range(INVITATIONS_LIMIT)]
    assert invited(NO_MEMBERSHIP, others[:-1]) is ALLOWED
    assert invited(NO_MEMBERSHIP, others) is ErrorCode.TOO_MANY_INVITATIONS
    assert invited(NO_MEMBERSHIP, [ACTOR] * (INVITER_LIMIT - 1)) is ALLOWED
    assert invited(NO_MEMBERSHIP, [ACTOR] * INVITER_LIMIT) is ErrorCode.TOO_MANY_INVITATIONS
    assert invited(NO_MEMBERSHIP, [ACTOR + 1] * INVITER_LIMIT) is ALLOWED
    assert invited(NO_MEMBERSHIP, others, actor=None) is ALLOWED
    assert invited(Membership(invited_by=ACTOR), others) is ALLOWED


@pytest.mark.parametrize("action", sorted(set(DECIDED) - {"join"}))
def test_nobody_is_made_a_member_by_others(action: str) -> None:
    """No action of a user or of the operator gives a role to an account that is no member."""
    for actor in (ACTOR, None):
        for target in (NO_MEMBERSHIP, Membership(invited_by=3), Membership(banned_until_ms=NOW)):
            after = outcome(change(action, actor), actor=Membership(RoomRole.OWNER), target=target)
            if isinstance(after, Decision):
                assert all(each.role is None for id_, each in after.memberships.items() if id_ != ACTOR)


@pytest.mark.parametrize(
    ("membership", "kind", "action", "code"),
    [
        (Membership(RoomRole.MEMBER), RoomKind.CLOSED, "members", ALLOWED),
        (Membership(RoomRole.MEMBER), RoomKind.CLOSED, "log", ErrorCode.NOT_ALLOWED),
        (Membership(RoomRole.MODERATOR), RoomKind.OPEN, "log", ALLOWED),
        (Membership(), RoomKind.OPEN, "members", ErrorCode.NOT_A_MEMBER),
        (Membership(invited_by=TARGET), RoomKind.CLOSED, "log", ErrorCode.NOT_A_MEMBER),
        (Membership(), RoomKind.CLOSED, "members", ErrorCode.UNKNOWN_ROOM),
    ],
)
def test_reading_members_and_log_needs_a_role(
    membership: Membership, kind: RoomKind, action: str, code: ErrorCode | None
) -> None:
    """A closed room does not exist for others; a deleted one for nobody."""
    room = ROOM._replace(kind=kind)
    assert action_refusal(room, membership, action) is code
    deleted = room._replace(state=RoomState.DELETED)
    assert action_refusal(deleted, membership, action) is ErrorCode.UNKNOWN_ROOM


def test_the_first_visible_seq() -> None:
    """A member sees messages from their joining on, or all with full history."""
    member = Membership(RoomRole.MEMBER, since=9)
    assert first_visible(ROOM, member) == 9
    assert first_visible(ROOM._replace(history=HistoryFrom.FULL), member) == 1


def test_a_refusal_has_the_sentence_of_its_code() -> None:
    """The text of a DeniedError is the sentence of its code."""
    assert str(DeniedError(ErrorCode.LAST_OWNER)) == ERROR_CODES[ErrorCode.LAST_OWNER].sentence


@pytest.mark.parametrize("action", ["remove", "ban", "unban", "mute", "unmute", "invite", "role"])
def test_a_change_without_its_target_is_denied(action: str) -> None:
    """An action about a user is denied when the change names none."""
    assert code(change(action, actor=None, target=None)) is not None


@pytest.mark.parametrize("action", ["join", "leave"])
def test_the_operator_can_be_no_member(action: str) -> None:
    """The operator has no account that could join or leave."""
    assert code(change(action, actor=None)) is ErrorCode.NOT_ALLOWED


def test_a_room_without_an_owner_is_denied() -> None:
    """A room that would have no owner is not created."""
    with pytest.raises(DeniedError) as denied:
        create_room(change("create", actor=None, target=None), None, rooms=0, owned=0, now_ms=NOW)
    assert denied.value.code is ErrorCode.UNKNOWN_USER
