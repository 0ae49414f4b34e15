"""Space that is kept for changes which have to work on a full disk."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qscp.errors import ErrorCode
from qscp.rooms import RoomRole
from qscpd.domain.model import AccountState, Keep, NewMessage
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreFullError
from qscpd.store.sqlite import fold
from qscpd.store.sqlite.reserve import RESERVE_BYTES, SHARED_BYTES
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.smalldisk import fill, small_disk
from tests.support.stores import housekeep, rows_of

ALICE, BOB, CAROL = 1, 2, 3

make_id = IdMaker()


@pytest.fixture
def store(disk: Path) -> Iterator[SqliteStore]:
    """A store as the daemon opens it, with three accounts; bob and carol are in alice's #dev."""
    with contextlib.closing(SqliteStore(disk / "q.db", keep_reserve=True)) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        store.change_room(RoomChange(action="create", room="#dev", actor=ALICE))
        for account in (BOB, CAROL):
            store.change_room(RoomChange(action="join", room="#dev", actor=account))
        yield store


def size(disk: Path) -> int:
    """Return the size of the reserve."""
    return (disk / "q.db.reserve").stat().st_size


def send(store: SqliteStore, count: int = 1) -> None:
    """Store messages of alice to bob, in transactions of ten."""
    for begin in range(0, count, 10):
        batch = min(10, count - begin)
        store.append(
            [NewMessage(ALICE, BOB, make_id(), f"{n} of {begin} " + "x" * 990) for n in range(batch)]
        )


def fill_up(store: SqliteStore, disk: Path, leave: int = 0) -> Path:
    """Fill the disk, and send messages until none fits; return the file that fills the disk."""
    filler = fill(disk, leave)
    with contextlib.suppress(StoreFullError):
        while True:
            send(store)
    return filler


def finish(store: SqliteStore, keep: Keep = Keep()) -> None:  # noqa: B008 - it is immutable
    """Fold everything, and do all other housekeeping."""
    housekeep(store, keep)


def test_the_file(store: SqliteStore, disk: Path) -> None:
    """The file really takes space, only its owner can read it, and the store is not in it."""
    found = (disk / "q.db.reserve").stat()
    assert (found.st_size, found.st_mode & 0o777) == (RESERVE_BYTES, 0o600)
    assert found.st_blocks * 512 >= RESERVE_BYTES
    store.close()
    assert size(disk) == RESERVE_BYTES


def test_only_the_daemon_makes_it(tmp_path: Path) -> None:
    """A command makes no such file."""
    SqliteStore(tmp_path / "q.db").close()
    assert [each.name for each in tmp_path.iterdir()] == ["q.db"]


def test_it_leaves_most_of_the_space_to_messages(tmp_path: Path) -> None:
    """On a disk with little space none is made; once there is more, housekeeping makes it."""
    with small_disk(tmp_path / "disk", 16 * 1024) as disk:
        filler = fill(disk, leave=RESERVE_BYTES + 500_000)
        with contextlib.closing(SqliteStore(disk / "q.db", keep_reserve=True)) as store:
            assert not (disk / "q.db.reserve").exists()
            store.housekeeping.step(Keep())
            assert not (disk / "q.db.reserve").exists()
            filler.unlink()
            store.housekeeping.step(Keep())
            assert size(disk) == RESERVE_BYTES
            (disk / "q.db.reserve").unlink()  # as a user who needs space does
            store.housekeeping.step(Keep())
            assert size(disk) == RESERVE_BYTES


def test_beside_the_file_that_a_symlink_names(disk: Path, tmp_path: Path) -> None:
    """The file is on the disk of the store, also when the store is named by a symlink."""
    (tmp_path / "link.db").symlink_to(disk / "q.db")
    SqliteStore(tmp_path / "link.db", keep_reserve=True).close()
    assert size(disk) == RESERVE_BYTES


@pytest.mark.parametrize("leave", [0, 300_000, 5_000_000, 25_000_000])
def test_any_number_of_locks(store: SqliteStore, disk: Path, leave: int) -> None:
    """However often accounts are changed on a full disk: each is stored, and the reserve is full again."""
    fill_up(store, disk, leave)
    for number in range(300):
        account = store.set_locked("bob", locked=number % 2 == 0)
        assert account.state is (AccountState.ACTIVE if number % 2 else AccountState.LOCKED)
        assert size(disk) == RESERVE_BYTES
        with contextlib.suppress(StoreFullError):
            send(store)
    store.set_locked("bob", locked=True)
    with contextlib.closing(sqlite3.connect(disk / "q.db")) as other:
        assert other.execute("SELECT state FROM accounts WHERE name = 'bob'").fetchone() == ("locked",)


@pytest.mark.parametrize(
    "change",
    [
        lambda store, number: store.set_locked("bob", locked=number % 2 == 0),
        lambda store, _: store.housekeeping.confirm_clock(),
    ],
    ids=["lock", "confirmclock"],
)
def test_while_a_reader_holds_the_journal(
    store: SqliteStore, disk: Path, change: Callable[[SqliteStore, int], object]
) -> None:
    """While a reader such as a backup keeps the journal, some dozens of changes work."""
    fill_up(store, disk, 3_000_000)
    with contextlib.closing(sqlite3.connect(disk / "q.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chunks").fetchone()
        for number in range(30):
            change(store, number)
        assert RESERVE_BYTES // 2 < size(disk) < RESERVE_BYTES
    with contextlib.suppress(StoreFullError):
        finish(store)
    assert size(disk) == RESERVE_BYTES


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.set_locked("bob", locked=True),
        lambda store: store.set_locked("bob", locked=False),
        lambda store: store.set_password("bob", "y"),
        lambda store: store.delete_account("bob"),
        lambda store: store.change_room(RoomChange(action="archive", room="#dev", actor=None)),
        lambda store: store.change_room(RoomChange(action="delete", room="#dev", actor=None)),
        lambda store: store.change_room(RoomChange(action="ban", room="#dev", actor=ALICE, target=BOB)),
        lambda store: store.change_room(RoomChange(action="mute", room="#dev", actor=ALICE, target=BOB)),
        lambda store: store.change_room(RoomChange(action="remove", room="#dev", actor=ALICE, target=BOB)),
        lambda store: store.change_room(RoomChange(action="leave", room="#dev", actor=BOB)),
        lambda store: store.block(ALICE, BOB),
    ],
)
def test_changes_that_work(store: SqliteStore, disk: Path, change: Callable[[SqliteStore], object]) -> None:
    """Changes by the operator work, and those of moderators and members that protect from an abuser."""
    fill_up(store, disk, 300_000)
    change(store)
    assert size(disk) == RESERVE_BYTES


def test_changes_that_can_wait(store: SqliteStore, disk: Path) -> None:
    """What only adds something is refused, and the reserve stays."""
    fill_up(store, disk, 300_000)
    for number in range(200):  # until the journal has no space left
        try:
            store.add_account(f"user{number}", "x")
        except StoreFullError:
            break
    for change in (
        RoomChange(action="topic", room="#dev", actor=ALICE, text="x" * 400),
        RoomChange(action="create", room="#more", actor=None, target=ALICE),
    ):
        with pytest.raises(StoreFullError):
            store.change_room(change)
    assert size(disk) == RESERVE_BYTES


def test_several_changes_of_rooms(store: SqliteStore, disk: Path) -> None:
    """Of changes that are committed together, only those that protect are made on a full disk."""
    fill_up(store, disk, 300_000)
    changes = [
        RoomChange(action="topic", room="#dev", actor=ALICE, text="tea"),
        RoomChange(action="ban", room="#dev", actor=ALICE, target=BOB),
        RoomChange(action="ban", room="#dev", actor=CAROL, target=ALICE),
        RoomChange(action="create", room="#more", actor=CAROL),
    ]
    topic, ban, denied, create = store.change_rooms(changes)
    assert isinstance(topic, StoreFullError)
    assert isinstance(create, StoreFullError)
    assert isinstance(denied, DeniedError)
    assert denied.code is ErrorCode.NOT_ALLOWED
    assert not isinstance(ban, Exception)
    assert store.memberships(store.find_room("#dev").id)[BOB].banned_until_ms
    assert store.memberships(store.find_room("#dev").id)[CAROL].role is RoomRole.MEMBER


def test_members_leave_half_to_the_operator(store: SqliteStore, disk: Path) -> None:
    """Users who ban and mute without end while a reader keeps the journal can't use up the reserve."""
    fill_up(store, disk)
    with contextlib.closing(sqlite3.connect(disk / "q.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chunks").fetchone()
        with contextlib.suppress(StoreFullError):
            for _ in range(2000):
                store.change_room(RoomChange(action="mute", room="#dev", actor=ALICE, target=BOB))
            pytest.fail("there is no end of the space")
        assert size(disk) >= SHARED_BYTES
        store.set_locked("alice", locked=True)


def test_folding_makes_progress(store: SqliteStore, disk: Path) -> None:
    """On a full disk the journal is folded in parts, each in the space of the last one; the reserve stays."""
    fill_up(store, disk, 3_000_000)
    stored = rows_of(store, 2)
    assert store._tail.size >= fold.DUE_BYTES
    for _ in range(1000):
        with contextlib.suppress(StoreFullError):
            if not store.housekeeping.step(Keep()):
                break
        assert size(disk) == RESERVE_BYTES
    assert store._tail.size < fold.DUE_BYTES
    assert rows_of(store, 2) == stored


def test_pruning_makes_progress(store: SqliteStore, disk: Path) -> None:
    """On a full disk old messages are pruned, so that new ones have space without any help."""
    fill_up(store, disk, 20_000_000)
    finish(store, Keep(messages=10))
    assert len(rows_of(store, 2)) == 10
    assert size(disk) == RESERVE_BYTES
    send(store, 500)


@pytest.mark.parametrize("leave", [0, 600_000, 3_000_000])
def test_folding_leaves_it(store: SqliteStore, disk: Path, leave: int) -> None:
    """On a full disk messages wait in the journal for space, if folding them would take some for good."""
    filler = fill_up(store, disk, leave)
    last = len(rows_of(store, 2))
    with contextlib.suppress(StoreFullError):
        finish(store)
    assert size(disk) == RESERVE_BYTES
    assert len(rows_of(store, 2)) == last
    filler.unlink()
    finish(store)
    assert store._tail.count == 0
    assert len(rows_of(store, 2)) == last


def test_pruning_what_is_not_folded(store: SqliteStore, disk: Path) -> None:
    """What pruning waits for is folded on a full disk, in parts, and the reserve gets unused pages back."""
    fill_up(store, disk, 3_000_000)
    assert store._tail.count == len(rows_of(store, 2)) > 1000
    for _ in range(3):
        finish(store, Keep(messages=10))
    assert len(rows_of(store, 2)) == 10
    assert store._tail.count == 0
    assert size(disk) == RESERVE_BYTES
    send(store, 100)


def test_a_deleted_room_makes_space(store: SqliteStore, disk: Path) -> None:
    """On a full disk the messages of a deleted room are removed."""
    with contextlib.suppress(StoreFullError):
        fill(disk, 5_000_000)
        while True:
            store.append([NewMessage(BOB, -1, make_id(), "x" * 3000) for _ in range(5)])
    store.change_room(RoomChange(action="delete", room="#dev", actor=None))
    finish(store)
    assert rows_of(store, 1) == []
    send(store, 500)


def test_erasing_makes_progress(store: SqliteStore, disk: Path) -> None:
    """On a full disk an account is deleted and what it wrote is erased."""
    fill_up(store, disk, 5_000_000)
    store.delete_account("alice")
    while store.housekeeping.erase_step(ALICE):
        pass
    assert not [row for row in rows_of(store, 2) if row.body]
    assert size(disk) == RESERVE_BYTES


@pytest.mark.parametrize("keep", [True, False], ids=["daemon", "command"])
def test_opening_on_a_full_disk(store: SqliteStore, disk: Path, *, keep: bool) -> None:
    """A store can be opened on a full disk, after a clean end and after a crash, and accounts changed."""
    fill_up(store, disk, 3_000_000)
    copy = {each.name: each.read_bytes() for each in disk.glob("q.db*") if each.name != "q.db-shm"}
    store.close()
    (disk / "filler").unlink()
    for each in disk.glob("q.db*"):
        each.unlink()
    for name, content in copy.items():  # as after a crash
        (disk / name).write_bytes(content)
    fill(disk)
    with contextlib.closing(SqliteStore(disk / "q.db", keep_reserve=keep)) as opened:
        opened.set_locked("bob", locked=True)
    fill(disk)
    with contextlib.closing(SqliteStore(disk / "q.db", keep_reserve=keep)) as opened:
        assert opened.find_account("bob", None).state is AccountState.LOCKED
        opened.delete_account("bob")
    assert size(disk) == RESERVE_BYTES
