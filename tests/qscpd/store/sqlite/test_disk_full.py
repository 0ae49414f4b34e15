"""A disk that fills up at any moment: a refused message is not stored, even after a crash."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.domain.model import NewMessage, StoredMessage
from qscpd.errors import StoreError, StoreFullError
from qscpd.store.sqlite import faults
from qscpd.store.sqlite.store import SqliteStore
from tests.support.crashed_store import crash
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.smalldisk import fill, largest_file
from tests.support.stores import housekeep, rows_of

ALICE, BOB = 1, 2
FRAME = 4096 + 24
FRAMES_IN_THE_FIRST_INDEX = 4062
"""Frames that fit into the first 32 KiB of the WAL's index; the next frame needs another 32 KiB."""

make_id = IdMaker()


@pytest.fixture
def store(disk: Path) -> Iterator[SqliteStore]:
    """A store on the small disk, with two accounts."""
    with contextlib.closing(SqliteStore(disk / "q.db")) as store:
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        yield store


def append(store: SqliteStore, body: str = "x" * 1000) -> int:
    """Store a message; return its seq."""
    outcomes, _ = store.append([NewMessage(ALICE, BOB, make_id(), body)])
    assert isinstance(outcomes[0], StoredMessage)
    return outcomes[0].seq


def append_until_full(store: SqliteStore) -> tuple[int, StoreFullError]:
    """Store messages until one is refused; return the last seq, and the error."""
    last = append(store)
    while True:
        try:
            last = append(store)
        except StoreFullError as error:
            return last, error


def finish(store: SqliteStore) -> None:
    """Fold everything, and do all other housekeeping."""
    housekeep(store)


def erase(store: SqliteStore) -> None:
    """Erase everything that alice wrote."""
    while store.housekeeping.erase_step(ALICE):
        pass


def last_seq(store: SqliteStore) -> int:
    """Return the last seq of the conversation."""
    return store.conversations(ALICE)[0].last_seq


def after_a_crash(disk: Path, copy: Path) -> int:
    """Return the last seq that a restart would find if the daemon were killed now."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in ("q.db", "q.db-wal"):
        shutil.copy(disk / name, copy / name)
    with contextlib.closing(SqliteStore(copy / "q.db")) as store:
        return last_seq(store)


@pytest.mark.parametrize("leave", range(20_000, 60_000, 7_000))
def test_a_refused_message_is_not_stored(store: SqliteStore, disk: Path, tmp_path: Path, leave: int) -> None:
    """A full disk leaves the store unchanged, now and after a crash; with space again, appends work."""
    append(store)
    filler = fill(disk, leave)
    last, _ = append_until_full(store)
    assert last_seq(store) == last
    assert after_a_crash(disk, tmp_path / "copy") == last
    assert len(rows_of(store, 1)) == last
    filler.unlink()
    assert append(store) == last + 1


def test_a_full_disk_for_the_wal_index(store: SqliteStore, disk: Path, tmp_path: Path) -> None:
    """If the WAL fits but its growing index does not, the message is refused and not stored."""
    with contextlib.closing(sqlite3.connect(disk / "q.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")  # so that the WAL cannot restart from its beginning
        reader.execute("SELECT count(*) FROM chunks").fetchone()
        append(store)
        wal = disk / "q.db-wal"
        while wal.stat().st_size < FRAME * (FRAMES_IN_THE_FIRST_INDEX - 25):
            append(store)
        frames = FRAMES_IN_THE_FIRST_INDEX - wal.stat().st_size // FRAME
        filler = fill(disk, leave=frames * FRAME + 24 * 1024)
        last, error = append_until_full(store)
        cause = error.__cause__
        assert isinstance(cause, sqlite3.Error)
        assert cause.sqlite_errorname == "SQLITE_IOERR_SHMSIZE"
        assert last_seq(store) == last
        assert after_a_crash(disk, tmp_path / "copy") == last
        filler.unlink()
        assert append(store) == last + 1
    assert store._db.read("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("size", range(200_000, 250_000, 7_001))
def test_a_file_at_its_largest_size(tmp_path: Path, size: int) -> None:
    """A journal that can't grow refuses messages like a full disk: not stored, now or after a crash."""
    folder = tmp_path / "store"
    folder.mkdir()
    with contextlib.closing(SqliteStore(folder / "q.db")) as store:
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        append(store)
        with largest_file(size):
            last, error = append_until_full(store)
            cause = error.__cause__
            assert isinstance(cause, sqlite3.Error)
            assert cause.sqlite_errorname == "SQLITE_IOERR_WRITE"
        assert last_seq(store) == last
        assert after_a_crash(folder, tmp_path / "copy") == last
        assert len(rows_of(store, 1)) == last
        assert append(store) == last + 1
        assert not list(folder.glob("tmp*"))


def test_an_io_error_with_space_is_no_full_disk(
    store: SqliteStore, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk has space, an I/O error is one of unknown outcome, also when the rollback worked."""
    append(store)
    fill(disk)
    monkeypatch.setattr(faults, "lacks_space", lambda _: False)
    with largest_file((disk / "q.db-wal").stat().st_size), pytest.raises(StoreError) as caught:
        append(store, "x" * 40_000)
    assert not isinstance(caught.value, StoreFullError)


def test_housekeeping_on_a_full_disk(store: SqliteStore, disk: Path) -> None:
    """Indexing and erasing stop on a full disk and continue once there is space."""
    words = " ".join(f"word{number}" for number in range(1500))  # more than fits into the space of the WAL
    for _ in range(20):
        append(store, f"needle in a haystack {words}")
    filler = fill(disk)
    with pytest.raises(StoreFullError):
        finish(store)
    filler.unlink()
    finish(store)
    assert search_page(store, BOB, ["needle"], limit=1)[0]
    store.delete_account("alice")
    filler = fill(disk)
    with pytest.raises(StoreFullError):
        erase(store)
    filler.unlink()
    erase(store)
    assert not store.housekeeping.compaction_due()
    assert not [each for each in disk.iterdir() if b"haystack" in each.read_bytes()]


def test_no_space_for_temporary_files(tmp_path: Path) -> None:
    """A store that can't be rewritten for lack of space can be opened still, and is rewritten later."""
    path = tmp_path / "q.db"
    with contextlib.closing(SqliteStore(path)) as store:
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        for _ in range(100):
            append(store, "x" * 1000)
        finish(store)
        store.housekeeping.compact()
        store._db.connection.execute("INSERT INTO meta VALUES ('compact', '1')")
    with largest_file(path.stat().st_size - 5000), contextlib.closing(SqliteStore(path)) as store:
        assert store.housekeeping.compaction_due()
        with pytest.raises(StoreFullError, match="can't be rewritten"):
            store.housekeeping.compact()
        assert last_seq(store) == 100
    with contextlib.closing(SqliteStore(path)) as store:
        assert not store.housekeeping.compaction_due()
        assert last_seq(store) == 100


@pytest.mark.parametrize("leave", range(0, 100_000, 8_000))
@pytest.mark.parametrize("messages", [1, 40])
def test_a_start_on_a_full_disk(disk: Path, leave: int, messages: int) -> None:
    """After a crash a store opens and closes on a full disk, and that never looks like a lost journal."""
    path = disk / "q.db"
    crash(path, messages, keep_open=finish)
    filler = fill(disk, leave)
    with contextlib.closing(SqliteStore(path)) as store:
        epoch = store.epoch()
        assert "journal_lost" not in [each.event for each in store.findings]
        assert last_seq(store) == messages
        with contextlib.suppress(StoreFullError):
            for _ in range(30):
                append(store)
        messages = last_seq(store)
    filler.unlink()
    with contextlib.closing(SqliteStore(path)) as store:
        assert (store.findings, store.epoch(), last_seq(store)) == ((), epoch, messages)
