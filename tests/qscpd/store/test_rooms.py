"""Rooms in the store: what random steps reach seldom (`test_rooms_model.py` has those)."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscp.errors import ErrorCode
from qscp.limits import ROOMS_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.model import (
    Keep,
    Mark,
    NewMessage,
    Outcome,
    PositionKind,
    Refused,
    RoomResult,
    StoredMessage,
)
from qscpd.domain.rooms import FOREVER_MS, DeniedError, Membership, RoomChange, RoomState
from qscpd.errors import NotFoundError
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.stores import ManualClock, StoreFactory, conversation_of, rows_of

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
START = 1_700_000_000_000

make_id = IdMaker()


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock."""
    return ManualClock()


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """A store with four people and alice's room #dev, conversation 1, in which bob and carol are."""
    with contextlib.closing(store_factory.open(tmp_path, clock_ms=clock)) as store:
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
    """Do something in a room."""
    made = RoomChange(action=action, room=room, actor=actor, target=target, **fields)  # type: ignore[arg-type]  # of it
    return store.change_room(made)


def denied(
    store: Store,
    action: str,
    actor: int | None,
    target: int | None = None,
    room: str = "#dev",
    **fields: object,
) -> ErrorCode:
    """Try it, and return why not."""
    with pytest.raises(DeniedError) as refused:
        change(store, action, actor, target, room, **fields)
    return refused.value.code


def say(store: Store, sender: int, message_id: str = "", room: int = 1, body: str = "hello") -> Outcome:
    """Write in a room."""
    outcomes, _ = store.append([NewMessage(sender, -room, message_id or make_id(), body)])
    return outcomes[0]


def test_a_mute_ends(store: Store, clock: ManualClock) -> None:
    """Until its last millisecond the refusal says how long it lasts, also after a restart."""
    change(store, "mute", ALICE, BOB, seconds=60, text="calm down")
    for passed, left in ((0, 60.0), (59_000, 1.0), (59_999, 0.001)):
        clock.ms = START + passed
        assert say(store, BOB) == Refused(ErrorCode.MUTED, left)
    clock.ms = START + 60_000
    assert isinstance(say(store, BOB), StoredMessage)
    assert store.room_log(1)[0][1:] == (START, ALICE, "mute", BOB, None, START + 60_000, "calm down")


def test_a_mute_without_an_end_has_no_time_to_wait(store: Store, clock: ManualClock) -> None:
    """It lasts until it is taken back; one who is muted still reads, and stays so through leaving."""
    change(store, "mute", ALICE, BOB)
    clock.ms += 10**12
    assert say(store, BOB) == Refused(ErrorCode.MUTED)
    change(store, "leave", BOB)
    change(store, "join", BOB)
    assert say(store, BOB) == Refused(ErrorCode.MUTED)
    change(store, "unmute", ALICE, BOB)
    assert isinstance(say(store, BOB), StoredMessage)


def test_a_ban_ends(store: Store, store_factory: StoreFactory, clock: ManualClock, tmp_path: Path) -> None:
    """Until its last millisecond one can neither join nor be invited."""
    result = change(store, "ban", ALICE, BOB, seconds=60)
    assert result.memberships == {BOB: Membership(banned_until_ms=START + 60_000)}
    clock.ms = START + 59_999
    store.close()
    with contextlib.closing(store_factory.open(tmp_path, clock_ms=clock)) as again:
        assert denied(again, "join", BOB) is ErrorCode.BANNED
        assert denied(again, "invite", CAROL, BOB) is ErrorCode.BANNED
        clock.ms = START + 60_000
        change(again, "invite", CAROL, BOB)
        change(again, "join", BOB)
        assert again.memberships(1)[BOB] == Membership(RoomRole.MEMBER)


def test_an_end_beyond_all_time_is_none(store: Store) -> None:
    """However long a mute or ban is, its end is a number that JSON can hold."""
    assert change(store, "mute", ALICE, BOB, seconds=2**53 - 1).memberships[BOB].muted_until_ms == FOREVER_MS
    assert change(store, "ban", ALICE, CAROL).memberships[CAROL].banned_until_ms == FOREVER_MS
    assert [entry.until_ms for entry in store.room_log(1, limit=2)] == [FOREVER_MS, FOREVER_MS]


def test_slow_mode_counts_from_the_last_message(store: Store, clock: ManualClock) -> None:
    """A member waits from one stored message to the next; refused ones count for nothing."""
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
    """What comes at once is one message and refusals, whichever commit they are in."""
    change(store, "set", ALICE, seconds=30)
    outcomes, _ = store.append([NewMessage(BOB, -1, make_id(), f"{n}") for n in range(3)])
    assert [isinstance(each, StoredMessage) for each in outcomes] == [True, False, False]


def test_slow_mode_is_for_members(store: Store) -> None:
    """Owners and moderators need not wait; who is no moderator any more does, from their last message on."""
    change(store, "role", ALICE, BOB, role=RoomRole.MODERATOR)
    change(store, "set", ALICE, seconds=30)
    for person in (ALICE, ALICE, BOB, BOB):
        assert isinstance(say(store, person), StoredMessage)
    change(store, "role", ALICE, BOB, role=RoomRole.MEMBER)
    assert say(store, BOB) == Refused(ErrorCode.SLOW_MODE, 30.0)
    change(store, "set", ALICE, seconds=0)
    assert isinstance(say(store, BOB), StoredMessage)


def test_the_id_of_a_refused_message_can_be_used_again(store: Store, clock: ManualClock) -> None:
    """Whatever the refusal: later the same id is stored, in the same room or elsewhere, and then known."""
    change(store, "mute", ALICE, BOB, seconds=60)
    first, second = make_id(), make_id()
    assert say(store, BOB, first) == Refused(ErrorCode.MUTED, 60.0)
    assert say(store, BOB, second) == Refused(ErrorCode.MUTED, 60.0)
    assert store.known([NewMessage(BOB, -1, first, "hello")]) == [None]
    store.append([NewMessage(BOB, ALICE, second, "elsewhere")])
    clock.ms += 60_000
    stored = say(store, BOB, first)
    assert stored == StoredMessage(1, 1, clock.ms)
    assert say(store, BOB, first) == StoredMessage(1, 1, clock.ms, new=False)
    assert say(store, BOB, first, body="another") == Refused()
    assert say(store, BOB, second) == Refused()


def test_a_refused_id_within_one_commit(store: Store) -> None:
    """A refusal in between does not hide what the id was used for."""
    first, second = make_id(), make_id()
    outcomes, _ = store.append(
        [
            NewMessage(DAN, -1, first, "not in the room"),
            NewMessage(DAN, ALICE, first, "now it is used"),
            NewMessage(DAN, -1, first, "not in the room"),
            NewMessage(DAN, ALICE, first, "now it is used"),
            NewMessage(DAN, ALICE, second, "next"),
        ]
    )
    assert outcomes == [
        Refused(ErrorCode.NOT_A_MEMBER),
        StoredMessage(2, 1, START),
        Refused(ErrorCode.ID_CONFLICT),
        StoredMessage(2, 1, START, new=False),
        StoredMessage(2, 2, START),
    ]


def test_who_was_removed_gets_the_ack_of_what_was_stored(store: Store) -> None:
    """A retry is answered as the first time, also when one may not write there any more."""
    sent = make_id()
    stored = say(store, BOB, sent)
    assert isinstance(stored, StoredMessage)
    change(store, "remove", ALICE, BOB)
    assert say(store, BOB, sent) == StoredMessage(1, stored.seq, stored.time_ms, new=False)
    assert say(store, BOB) == Refused(ErrorCode.NOT_A_MEMBER)


def test_who_left_moves_no_position(store: Store) -> None:
    """A mark of an account that is not a member moves nothing, and so does not reveal how much is written."""
    say(store, ALICE)
    change(store, "leave", BOB)
    say(store, ALICE)
    marks = [Mark(each, 1, PositionKind.READ, 9) for each in (BOB, CAROL, DAN)]
    _, moved = store.append([], marks)
    assert moved[0] is None
    assert moved[1] is not None
    assert moved[1].mark.seq == 2
    assert moved[2] is None


def test_nothing_is_unread_to_who_comes(store: Store) -> None:
    """Also in a room that shows its history, and to who comes back."""
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


def test_a_deleted_account_can_do_nothing_that_was_under_way(store: Store) -> None:
    """What was requested by it or for it before comes too late: a room has no deleted member."""
    store.delete_account("dan")
    assert denied(store, "join", DAN) is ErrorCode.UNKNOWN_USER
    assert denied(store, "invite", ALICE, DAN) is ErrorCode.UNKNOWN_USER
    assert denied(store, "create", DAN, room="#own") is ErrorCode.UNKNOWN_USER
    assert denied(store, "create", None, DAN, room="#own") is ErrorCode.UNKNOWN_USER
    assert [row.name for row in store.rooms()] == ["#dev"]
    assert DAN not in store.memberships(1)


def test_the_first_of_the_highest_inherits(store: Store) -> None:
    """A moderator before members, and of those who came first; with none left the room is archived."""
    say(store, ALICE)
    change(store, "join", DAN)
    change(store, "role", ALICE, DAN, role=RoomRole.MODERATOR)
    for name, successor in (("alice", DAN), ("dan", BOB), ("bob", CAROL)):
        store.delete_account(name)
        owners = [each for each, one in store.memberships(1).items() if one.role is RoomRole.OWNER]
        assert owners == [successor]
        assert store.room(1).state is RoomState.ACTIVE
    store.delete_account("carol")
    assert store.memberships(1) == {}
    assert (store.room(1).state, store.room(1).members) == (RoomState.ARCHIVED, 0)


def test_an_account_may_be_in_so_many_rooms(store: Store) -> None:
    """At the limit neither joining nor making one, for oneself or by the operator, until one is left."""
    for number in range(ROOMS_LIMIT - 1):
        change(store, "create", BOB, room=f"#room{number}")
    change(store, "create", ALICE, room="#more")
    assert denied(store, "join", BOB, room="#more") is ErrorCode.TOO_MANY_ROOMS
    assert denied(store, "create", BOB, room="#other") is ErrorCode.TOO_MANY_ROOMS
    assert denied(store, "create", None, BOB, room="#other") is ErrorCode.TOO_MANY_ROOMS
    change(store, "leave", BOB)
    change(store, "join", BOB, room="#more")


def test_a_deleted_room_is_emptied_and_its_name_free(store: Store, clock: ManualClock) -> None:
    """It can't be found, its messages go, ids stay known, and a new room has a new conversation."""
    sent = make_id()
    stored = say(store, BOB, sent)
    assert isinstance(stored, StoredMessage)
    change(store, "invite", ALICE, DAN)
    result = change(store, "delete", None)
    assert result.room.state is RoomState.DELETED
    assert set(result.memberships) == {ALICE, BOB, CAROL, DAN}
    assert not any(one.role or one.invited_by for one in result.memberships.values())
    assert store.conversations(BOB) == []
    while store.housekeeping.step(Keep()):
        pass
    assert rows_of(store, 1) == []
    assert say(store, BOB) == Refused(ErrorCode.UNKNOWN_ROOM)
    assert say(store, BOB, sent) == StoredMessage(1, 1, stored.time_ms, new=False)
    with pytest.raises(NotFoundError):
        store.find_room("#dev")
    assert change(store, "create", BOB).room.id == 2
    clock.ms += 1
    assert say(store, BOB, room=2) == StoredMessage(2, 1, clock.ms)


def test_who_writes_in_a_closed_room_that_is_not_theirs_learns_nothing(store: Store) -> None:
    """The same answer as for a room that is not there, whatever it is that they send."""
    change(store, "set", ALICE, kind=RoomKind.CLOSED)
    assert say(store, DAN) == Refused(ErrorCode.UNKNOWN_ROOM)
    for action in ("join", "leave", "topic", "invite", "ban", "log"):
        assert denied(store, action, DAN, BOB) is ErrorCode.UNKNOWN_ROOM
    assert denied(store, "join", DAN, room="#nowhere") is ErrorCode.UNKNOWN_ROOM
    change(store, "invite", BOB, DAN)
    assert say(store, DAN) == Refused(ErrorCode.NOT_A_MEMBER)
    change(store, "remove", ALICE, DAN)
    assert denied(store, "join", DAN) is ErrorCode.UNKNOWN_ROOM


def test_what_is_denied_writes_nothing(store: Store, store_factory: StoreFactory, tmp_path: Path) -> None:
    """No row of any table is another one after a refusal."""
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
    """The newest first, each entry once, with its target; joining and leaving are not moderation."""
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
