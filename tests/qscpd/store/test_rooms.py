"""Rooms in the store: cases that the random steps of `test_rooms_model.py` seldom reach."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qscp.errors import ErrorCode
from qscp.limits import ROOMS_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.model import (
    Mark,
    NewMessage,
    Outcome,
    PositionKind,
    Refused,
    RoomResult,
    StoredMessage,
)
from qscpd.domain.rooms import FOREVER_MS, DeniedError, Membership, RoomChange, RoomState
from qscpd.errors import ExistsError, NotFoundError, StoreError
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.stores import ManualClock, StoreFactory, conversation_of, housekeep, rows_of

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
START = 1_700_000_000_000

make_id = IdMaker()


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """A store with the room #dev, conversation 1: alice owns it, bob and carol are members, dan is not."""
    with contextlib.closing(store_factory.open(tmp_path, clock=clock)) as store:
        for name in ("alice", "bob", "carol", "dan"):
            store.add_account(name, "x")
        change(store, "create", ALICE)
        change(store, "join", BOB)
        change(store, "join", CAROL)
        yield store


def change(
    store: Store,
    action: str,
    actor: int | None,
    target: int | None = None,
    room: str = "#dev",
    **fields: object,
) -> RoomResult:
    """Apply an action to a room."""
    made = RoomChange(action=action, room=room, actor=actor, target=target, **fields)  # type: ignore[arg-type]  # fields of a RoomChange
    return store.change_room(made)


def denied(
    store: Store,
    action: str,
    actor: int | None,
    target: int | None = None,
    room: str = "#dev",
    **fields: object,
) -> ErrorCode:
    """Apply an action that must be denied; return the code."""
    with pytest.raises(DeniedError) as refused:
        change(store, action, actor, target, room, **fields)
    return refused.value.code


def say(store: Store, sender: int, message_id: str = "", room: int = 1, body: str = "hello") -> Outcome:
    """Send a message to a room."""
    outcomes, _ = store.append([NewMessage(sender, -room, message_id or make_id(), body)])
    return outcomes[0]


def test_a_mute_ends_on_time(store: Store, clock: ManualClock) -> None:
    """A mute refuses messages until its last millisecond, with the time that is left; it is logged."""
    change(store, "mute", ALICE, BOB, seconds=60, text="calm down")
    for passed, left in ((0, 60.0), (59_000, 1.0), (59_999, 0.001)):
        clock.ms = START + passed
        assert say(store, BOB) == Refused(ErrorCode.MUTED, left)
    clock.ms = START + 60_000
    assert isinstance(say(store, BOB), StoredMessage)
    assert store.room_log(1)[0][1:] == (START, ALICE, "mute", BOB, None, START + 60_000, "calm down")
    assert store.last_mute(1, BOB) == store.room_log(1)[0]
    assert store.last_mute(1, ALICE) is None


def test_an_old_mute_is_not_sought_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long log only the newest entries are searched for a mute."""
    monkeypatch.setattr("qscpd.store.sqlite.rooms._MUTES_SOUGHT", 3)
    change(store, "mute", ALICE, BOB)
    for _ in range(2):
        change(store, "topic", ALICE, text="x")
    assert store.last_mute(1, BOB) is not None
    change(store, "topic", ALICE, text="y")
    assert store.last_mute(1, BOB) is None


def test_a_mute_without_end_lasts_until_unmute(store: Store, clock: ManualClock) -> None:
    """A mute without end gives no time to wait, and survives leaving and rejoining."""
    change(store, "mute", ALICE, BOB)
    clock.ms += 10**12
    assert say(store, BOB) == Refused(ErrorCode.MUTED)
    change(store, "leave", BOB)
    change(store, "join", BOB)
    assert say(store, BOB) == Refused(ErrorCode.MUTED)
    change(store, "unmute", ALICE, BOB)
    assert isinstance(say(store, BOB), StoredMessage)


def test_a_ban_ends_on_time(
    store: Store, store_factory: StoreFactory, clock: ManualClock, tmp_path: Path
) -> None:
    """Until its last millisecond a banned user can neither join nor be invited, even after a restart."""
    result = change(store, "ban", ALICE, BOB, seconds=60)
    assert result.memberships == {BOB: Membership(banned_until_ms=START + 60_000)}
    clock.ms = START + 59_999
    store.close()
    with contextlib.closing(store_factory.open(tmp_path, clock=clock)) as again:
        assert denied(again, "join", BOB) is ErrorCode.BANNED
        assert denied(again, "invite", CAROL, BOB) is ErrorCode.BANNED
        clock.ms = START + 60_000
        change(again, "invite", CAROL, BOB)
        change(again, "join", BOB)
        assert again.memberships(1)[BOB] == Membership(RoomRole.MEMBER)


def test_the_longest_mute_or_ban_ends_at_forever(store: Store) -> None:
    """The end of the longest mute or ban is FOREVER_MS, which JSON numbers can represent."""
    assert change(store, "mute", ALICE, BOB, seconds=2**53 - 1).memberships[BOB].muted_until_ms == FOREVER_MS
    assert change(store, "ban", ALICE, CAROL).memberships[CAROL].banned_until_ms == FOREVER_MS
    assert [entry.until_ms for entry in store.room_log(1, limit=2)] == [FOREVER_MS, FOREVER_MS]


def test_slow_mode_counts_from_the_last_message(store: Store, clock: ManualClock) -> None:
    """Slow mode counts from a member's last stored message; refused ones do not count."""
    change(store, "set", ALICE, seconds=30)
    assert isinstance(say(store, BOB), StoredMessage)
    clock.ms += 12_000
    assert say(store, BOB) == Refused(ErrorCode.SLOW_MODE, 18.0)
    assert isinstance(say(store, CAROL), StoredMessage)
    clock.ms += 17_999
    assert say(store, BOB) == Refused(ErrorCode.SLOW_MODE, 0.001)
    clock.ms += 1
    assert isinstance(say(store, BOB), StoredMessage)


def test_slow_mode_within_one_commit(store: Store) -> None:
    """Of several messages of a member in one commit, slow mode stores the first."""
    change(store, "set", ALICE, seconds=30)
    outcomes, _ = store.append([NewMessage(BOB, -1, make_id(), f"{n}") for n in range(3)])
    assert [isinstance(each, StoredMessage) for each in outcomes] == [True, False, False]


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (lambda store: store.add_account("alice", "x"), ExistsError),
        (lambda store: store.delete_account("nobody"), NotFoundError),
        (lambda store: change(store, "join", BOB, room="#nowhere"), DeniedError),
        (lambda store: store.append([NewMessage(CAROL, 99, make_id(), "to no account")]), StoreError),
    ],
    ids=["add", "delete", "join", "append"],
)
def test_a_failed_change_ends_no_wait(
    store: Store, clock: ManualClock, fail: Callable[[Store], object], error: type[Exception]
) -> None:
    """A transaction that is undone does not shorten slow mode for a member who wrote before it."""
    change(store, "set", ALICE, seconds=30)
    assert isinstance(say(store, BOB), StoredMessage)
    clock.wind(10)
    with pytest.raises(error):
        fail(store)
    assert say(store, BOB) == Refused(ErrorCode.SLOW_MODE, 20.0)


@pytest.mark.parametrize("before", [0, 1], ids=["first", "later"])
def test_a_message_that_was_not_stored_begins_no_wait(store: Store, clock: ManualClock, before: int) -> None:
    """A member whose message was in a transaction that was undone can send it again at once."""
    change(store, "set", ALICE, seconds=30)
    for _ in range(before):
        assert isinstance(say(store, BOB), StoredMessage)
        clock.wind(30)
    message = NewMessage(BOB, -1, make_id(), "hello")
    with pytest.raises(StoreError):
        store.append([message, NewMessage(BOB, 99, make_id(), "to no account")])
    assert isinstance(store.append([message])[0][0], StoredMessage)
    assert say(store, BOB) == Refused(ErrorCode.SLOW_MODE, 30.0)


def test_slow_mode_applies_to_members_only(store: Store) -> None:
    """Owners and moderators need not wait; a demoted moderator waits from their last message on."""
    change(store, "role", ALICE, BOB, role=RoomRole.MODERATOR)
    change(store, "set", ALICE, seconds=30)
    for account in (ALICE, ALICE, BOB, BOB):
        assert isinstance(say(store, account), StoredMessage)
    change(store, "role", ALICE, BOB, role=RoomRole.MEMBER)
    assert say(store, BOB) == Refused(ErrorCode.SLOW_MODE, 30.0)
    change(store, "set", ALICE, seconds=0)
    assert isinstance(say(store, BOB), StoredMessage)


def test_a_refused_message_stays_refused(store: Store, clock: ManualClock) -> None:
    """The id of a refused message is used: when the mute is over, and for another conversation."""
    change(store, "mute", ALICE, BOB, seconds=60)
    first, second = make_id(), make_id()
    assert say(store, BOB, first) == Refused(ErrorCode.MUTED, 60.0)
    assert say(store, BOB, second) == Refused(ErrorCode.MUTED, 60.0)
    assert store.known([NewMessage(BOB, -1, first, "hello")]) == [Refused(ErrorCode.MUTED)]
    assert store.append([NewMessage(BOB, ALICE, second, "elsewhere")])[0] == [Refused(ErrorCode.MUTED)]
    clock.ms += 60_000
    for body in ("hello", "another"):
        assert say(store, BOB, first, body=body) == Refused(ErrorCode.MUTED)
    assert say(store, BOB) == StoredMessage(1, 1, clock.ms)


def test_a_refused_id_within_one_commit(store: Store) -> None:
    """Within one commit, a refused message uses its id, as a stored one does."""
    first, second, third = make_id(), make_id(), make_id()
    outcomes, _ = store.append(
        [
            NewMessage(DAN, -1, first, "not in the room"),
            NewMessage(DAN, ALICE, first, "elsewhere"),
            NewMessage(DAN, ALICE, second, "now it is used"),
            NewMessage(DAN, -1, second, "not in the room"),
            NewMessage(DAN, -1, first, "not in the room"),
            NewMessage(DAN, ALICE, second, "now it is used"),
            NewMessage(DAN, ALICE, third, "next"),
        ]
    )
    assert outcomes == [
        Refused(ErrorCode.NOT_A_MEMBER),
        Refused(ErrorCode.NOT_A_MEMBER),
        StoredMessage(2, 1, START),
        Refused(ErrorCode.ID_CONFLICT),
        Refused(ErrorCode.NOT_A_MEMBER),
        StoredMessage(2, 1, START, new=False),
        StoredMessage(2, 2, START),
    ]


def test_a_removed_member_gets_the_outcome_of_a_retry(store: Store) -> None:
    """A retry gets the original place, even if the sender is no longer a member."""
    sent = make_id()
    stored = say(store, BOB, sent)
    assert isinstance(stored, StoredMessage)
    change(store, "remove", ALICE, BOB)
    assert say(store, BOB, sent) == StoredMessage(1, stored.seq, stored.time_ms, new=False)
    assert say(store, BOB) == Refused(ErrorCode.NOT_A_MEMBER)


def test_a_former_member_moves_no_position(store: Store) -> None:
    """A mark of an account that is not a member moves nothing, and so does not reveal the last seq."""
    say(store, ALICE)
    change(store, "leave", BOB)
    say(store, ALICE)
    marks = [Mark(each, 1, PositionKind.READ, 9) for each in (BOB, CAROL, DAN)]
    _, moved = store.append([], marks)
    assert moved[0] is None
    assert moved[1] is not None
    assert moved[1].mark.seq == 2
    assert moved[2] is None


def test_nothing_is_unread_to_a_new_member(store: Store) -> None:
    """After joining or rejoining nothing is unread, even with full history."""
    change(store, "set", ALICE, history=HistoryFrom.FULL)
    say(store, ALICE)
    change(store, "join", DAN)
    row = conversation_of(store, DAN, 1)
    assert row is not None
    assert (row.first_seq, row.last_seq, row.read) == (1, 1, 1)
    change(store, "leave", DAN)
    say(store, ALICE)
    assert conversation_of(store, DAN, 1) is None
    change(store, "join", DAN)
    assert conversation_of(store, DAN, 1) == row._replace(last_seq=2, read=2)


def test_actions_of_a_deleted_account_are_refused(store: Store) -> None:
    """Late actions by or for a deleted account are refused, so that a room has no deleted member."""
    store.delete_account("dan")
    assert denied(store, "join", DAN) is ErrorCode.UNKNOWN_USER
    assert denied(store, "invite", ALICE, DAN) is ErrorCode.UNKNOWN_USER
    assert denied(store, "create", DAN, room="#own") is ErrorCode.UNKNOWN_USER
    assert denied(store, "create", None, DAN, room="#own") is ErrorCode.UNKNOWN_USER
    assert [row.name for row in store.rooms()] == ["#dev"]
    assert DAN not in store.memberships(1)


def test_the_longest_member_of_the_highest_role_succeeds(store: Store) -> None:
    """The successor has the highest role, then the longest membership; an empty room is archived."""
    say(store, ALICE)
    change(store, "join", DAN)
    change(store, "role", ALICE, DAN, role=RoomRole.MODERATOR)
    for name, successor in (("alice", DAN), ("dan", BOB), ("bob", CAROL)):
        store.delete_account(name)
        owners = [each for each, member in store.memberships(1).items() if member.role is RoomRole.OWNER]
        assert owners == [successor]
        assert store.room(1).state is RoomState.ACTIVE
    store.delete_account("carol")
    assert store.memberships(1) == {}
    assert (store.room(1).state, store.room(1).members) == (RoomState.ARCHIVED, 0)


def test_the_number_of_rooms_of_an_account_is_limited(store: Store) -> None:
    """At the limit an account cannot join or create a room, or be made an owner, until it leaves one."""
    for number in range(ROOMS_LIMIT - 1):
        change(store, "create", BOB, room=f"#room{number}")
    change(store, "create", ALICE, room="#more")
    assert denied(store, "join", BOB, room="#more") is ErrorCode.TOO_MANY_ROOMS
    assert denied(store, "create", BOB, room="#other") is ErrorCode.TOO_MANY_ROOMS
    assert denied(store, "create", None, BOB, room="#other") is ErrorCode.TOO_MANY_ROOMS
    change(store, "leave", BOB)
    change(store, "join", BOB, room="#more")


def test_a_deleted_room_is_emptied_and_its_name_freed(store: Store, clock: ManualClock) -> None:
    """A deleted room is not found, its messages are deleted, ids stay known, and its name is free."""
    sent = make_id()
    stored = say(store, BOB, sent)
    assert isinstance(stored, StoredMessage)
    change(store, "invite", ALICE, DAN)
    result = change(store, "delete", None)
    assert result.room.state is RoomState.DELETED
    assert set(result.memberships) == {ALICE, BOB, CAROL, DAN}
    assert not any(each.role or each.invited_by for each in result.memberships.values())
    assert store.conversations(BOB) == []
    housekeep(store)
    assert rows_of(store, 1) == []
    assert say(store, BOB) == Refused(ErrorCode.UNKNOWN_ROOM)
    assert say(store, BOB, sent) == StoredMessage(1, 1, stored.time_ms, new=False)
    with pytest.raises(NotFoundError):
        store.find_room("#dev")
    assert change(store, "create", BOB).room.id == 2
    clock.ms += 1
    assert say(store, BOB, room=2) == StoredMessage(2, 1, clock.ms)


def test_a_closed_room_is_hidden_from_others(store: Store) -> None:
    """Every action of a non-member in a closed room is refused as if the room did not exist."""
    change(store, "set", ALICE, kind=RoomKind.CLOSED)
    assert say(store, DAN) == Refused(ErrorCode.UNKNOWN_ROOM)
    for action in ("join", "leave", "topic", "invite", "ban", "log"):
        assert denied(store, action, DAN, BOB) is ErrorCode.UNKNOWN_ROOM
    assert denied(store, "join", DAN, room="#nowhere") is ErrorCode.UNKNOWN_ROOM
    change(store, "invite", BOB, DAN)
    assert say(store, DAN) == Refused(ErrorCode.NOT_A_MEMBER)
    change(store, "remove", ALICE, DAN)
    assert denied(store, "join", DAN) is ErrorCode.UNKNOWN_ROOM


def test_a_denied_change_writes_nothing(store: Store, store_factory: StoreFactory, tmp_path: Path) -> None:
    """A denied change leaves every table unchanged."""
    change(store, "ban", ALICE, DAN)
    before = store_factory.dump(tmp_path)
    refusals = [
        denied(store, "create", BOB),
        denied(store, "join", DAN),
        denied(store, "join", BOB),
        denied(store, "leave", ALICE),
        denied(store, "role", ALICE, ALICE, role=RoomRole.MEMBER),
        denied(store, "ban", BOB, CAROL),
        denied(store, "mute", ALICE, DAN),
        denied(store, "unarchive", ALICE),
        denied(store, "set", ALICE, seconds=86_401),
    ]
    assert refusals == [
        ErrorCode.ROOM_EXISTS,
        ErrorCode.BANNED,
        ErrorCode.ALREADY_MEMBER,
        ErrorCode.LAST_OWNER,
        ErrorCode.LAST_OWNER,
        ErrorCode.NOT_ALLOWED,
        ErrorCode.USER_NOT_MEMBER,
        ErrorCode.NOT_ALLOWED,
        ErrorCode.BAD_FIELD,
    ]
    assert store_factory.dump(tmp_path) == before


def test_the_log_is_read_page_by_page(store: Store) -> None:
    """The log is paged newest first, each entry once; joining and leaving are not logged."""
    change(store, "topic", ALICE, text="Release on Friday")
    change(store, "set", ALICE, kind=RoomKind.CLOSED, history=HistoryFrom.FULL, seconds=5)
    change(store, "role", None, BOB, role=RoomRole.OWNER)
    change(store, "archive", BOB)
    pages = []
    before = None
    while rows := store.room_log(1, before, 2):
        pages.append([(row.actor, row.action, row.target, row.text) for row in rows])
        before = rows[-1].id
    assert pages == [
        [(BOB, "archive", None, ""), (None, "role", BOB, "owner")],
        [(ALICE, "set", None, "closed, history full, slow 5 s"), (ALICE, "topic", None, "Release on Friday")],
        [(ALICE, "create", None, "")],
    ]
