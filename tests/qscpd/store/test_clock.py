"""The clocks of a store: a transaction reads them once, so everything that it writes has one time."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qscp.rooms import RoomRole
from qscpd.domain.model import LogRow, Mark, MessageMeta, NewMessage, PositionKind, StoredMessage
from qscpd.domain.rooms import FOREVER_MS, RoomChange
from qscpd.store.base import Store
from qscpd.store.clock import SystemClock
from tests.support.ids import IdMaker
from tests.support.stores import StoreFactory, TickingClock, rows_of

ALICE, BOB, CAROL = 1, 2, 3
ROOM = 1
"""The conversation of #dev."""

make_id = IdMaker()


@pytest.fixture
def clock() -> TickingClock:
    """The store's clock."""
    return TickingClock()


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: TickingClock) -> Iterator[Store]:
    """A store with the room #dev: alice owns it, bob and carol are members."""
    opened = store_factory.open(tmp_path, clock=clock, edit_within_ms=60_000)
    with contextlib.closing(opened) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        store.change_room(RoomChange(action="create", room="#dev", actor=ALICE))
        for account in (BOB, CAROL):
            store.change_room(RoomChange(action="join", room="#dev", actor=account))
        yield store


def amend(kind: str, sender: int, target: int) -> NewMessage:
    """Make an amendment of a message in #dev."""
    meta = MessageMeta(kind=kind, target=target)  # type: ignore[arg-type]  # one of its kinds
    return NewMessage(sender, -ROOM, make_id(), "text", meta)


def append(store: Store, *messages: NewMessage) -> list[StoredMessage]:
    """Store messages in one transaction."""
    outcomes, _ = store.append(messages)
    stored = [each for each in outcomes if isinstance(each, StoredMessage)]
    assert len(stored) == len(messages), outcomes
    return stored


def newest_entry(store: Store, conversation: int = ROOM) -> LogRow:
    """Return the newest entry of a moderation log."""
    return store.room_log(conversation, limit=1)[0]


@pytest.mark.parametrize("action", ["mute", "ban"])
@pytest.mark.parametrize("seconds", [0, 1, 3600, None])
def test_a_mute_or_ban_ends_as_logged(store: Store, action: str, seconds: int | None) -> None:
    """The end in the membership and in the log entry is the entry's time plus the duration."""
    change = RoomChange(action=action, room="#dev", actor=ALICE, target=BOB, seconds=seconds)
    membership = store.change_room(change).memberships[BOB]
    entry = newest_entry(store)
    assert entry.until_ms == (FOREVER_MS if seconds is None else entry.time_ms + seconds * 1000)
    assert entry.until_ms == (membership.muted_until_ms or membership.banned_until_ms)


def test_a_room_is_created_at_the_time_of_its_first_entry(store: Store) -> None:
    """The creation time of a room is the time of its first log entry."""
    room = store.change_room(RoomChange(action="create", room="#new", actor=BOB)).room
    assert newest_entry(store, room.id).time_ms == room.created_ms


def test_a_redaction_and_its_log_entry_have_one_time(store: Store) -> None:
    """A redaction and its log entry have the same time, even after other messages of the transaction."""
    append(store, NewMessage(BOB, -ROOM, make_id(), "x"))
    *_, redaction = append(store, NewMessage(CAROL, -ROOM, make_id(), "y"), amend("redact", ALICE, 1))
    row = rows_of(store, ROOM)[redaction.seq - 1]
    entry = newest_entry(store)
    assert (entry.action, entry.seq) == ("redact", 1)
    assert entry.time_ms == row.time_ms == redaction.time_ms


def test_edited_ms_is_the_time_of_the_edit(store: Store) -> None:
    """`edited_ms` of a message is the time of its edit."""
    append(store, NewMessage(BOB, -ROOM, make_id(), "x"))
    (edit,) = append(store, amend("edit", BOB, 1))
    assert rows_of(store, ROOM)[0].meta.edited_ms == edit.time_ms


def test_a_batch_has_one_time(store: Store) -> None:
    """All messages of a batch have the same time, in all conversations."""
    messages = [NewMessage(sender, to, make_id(), "x") for sender, to in ((1, 2), (2, -ROOM), (3, 1), (1, 2))]
    assert len({each.time_ms for each in append(store, *messages)}) == 1


def test_changes_of_one_transaction_have_one_time(store: Store) -> None:
    """Changes of several rooms in one transaction have the same time."""
    changes = [
        RoomChange(action="create", room="#one", actor=ALICE),
        RoomChange(action="create", room="#two", actor=BOB),
        RoomChange(action="mute", room="#dev", actor=ALICE, target=CAROL, seconds=5),
        RoomChange(action="topic", room="#dev", actor=ALICE, text="x"),
    ]
    store.change_rooms(changes)
    one, two = (store.find_room(name) for name in ("#one", "#two"))
    mute, topic = store.room_log(ROOM, limit=2)[::-1]
    times = {one.created_ms, two.created_ms, mute.time_ms, topic.time_ms, (mute.until_ms or 0) - 5000}
    assert len(times) == 1


def test_a_deleted_account_leaves_its_rooms_at_one_time(store: Store) -> None:
    """When an owner is deleted, the log entries of all its rooms have the same time."""
    store.change_room(RoomChange(action="create", room="#mine", actor=ALICE))
    mine = store.find_room("#mine").id
    store.delete_account("alice")
    entries = [newest_entry(store), newest_entry(store, mine)]
    assert [each.action for each in entries] == ["role", "archive"]
    assert entries[0].time_ms == entries[1].time_ms


_WRITES: dict[str, Callable[[Store], object]] = {
    "add_account": lambda store: store.add_account("dan", "x"),
    "set_password": lambda store: store.set_password("bob", "y"),
    "set_locked": lambda store: store.set_locked("bob", locked=True),
    "replace_hash": lambda store: store.replace_hash(BOB, "x", "y"),
    "delete_account": lambda store: store.delete_account("alice"),
    "renew_epoch": lambda store: store.renew_epoch(),
    "append": lambda store: store.append(
        [NewMessage(BOB, -ROOM, make_id(), "x"), amend("redact", ALICE, 1)],
        [Mark(ALICE, ROOM, PositionKind.READ, 1)],
    ),
    "change_room": lambda store: store.change_room(
        RoomChange(action="role", room="#dev", actor=ALICE, target=BOB, role=RoomRole.OWNER)
    ),
}


@pytest.mark.parametrize("name", _WRITES)
def test_a_transaction_reads_the_clock_once(store: Store, clock: TickingClock, name: str) -> None:
    """A transaction reads the clock at most once."""
    before = clock.ms
    _WRITES[name](store)
    assert clock.ms - before <= 1


# --- the system's clocks


def test_the_clocks_of_the_system() -> None:
    """The wall clock is the system's; processes of one boot agree about the boot and the time since it."""
    before = time.time_ns() // 1_000_000
    first, second = SystemClock()(), SystemClock()()
    assert before <= first.wall_ms <= second.wall_ms <= time.time_ns() // 1_000_000
    assert first.boot_id == second.boot_id
    assert first.boot_ms <= second.boot_ms


def test_a_system_without_a_boot_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kernel's name of the boot, each process counts as a boot of its own, from zero on."""
    monkeypatch.setattr("qscpd.store.clock._BOOT_ID", tmp_path / "missing")
    first, second = SystemClock(), SystemClock()
    assert first().boot_id != second().boot_id
    assert first().boot_id == first().boot_id
    assert first().boot_ms >= 0


def test_clocks_that_are_all_faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a tool gives every clock the faked time, the kernel's file has the time since the boot."""
    true = SystemClock()()
    faked_ns = time.time_ns() + 400 * 86_400 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: faked_ns)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: faked_ns)
    faked = SystemClock()()
    assert (faked.wall_ms, faked.boot_id) == (faked_ns // 1_000_000, true.boot_id)
    assert faked.boot_ms >= true.boot_ms - 1000
    assert faked.boot_ms < faked.wall_ms // 2
