"""The lock that keeps a second process from opening a store."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qscpd.errors import PermissionDeniedError, StoreBusyError, StoreError
from qscpd.store.sqlite import creation, lock
from qscpd.store.sqlite.creation import create_store
from qscpd.store.sqlite.lock import StoreLock, is_locked
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.snapshot import copy_file
from qscpd.store.sqlite.store import SqliteStore
from tests.support.users import as_user
from tests.support.waiting import PATIENCE_S

_HOLD = """
import sys
from pathlib import Path
from qscpd.store.sqlite.lock import StoreLock
with StoreLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_is_exclusive(tmp_path: Path) -> None:
    """A second holder gets StoreBusyError; the lock is free once the first has released it."""
    store = tmp_path / "qscpd.db"
    for _ in range(2):
        with StoreLock(store), pytest.raises(StoreBusyError, match="another qscpd process"), StoreLock(store):
            pass


def test_the_lock_of_another_process_ends_with_it(tmp_path: Path) -> None:
    """A lock of another process is respected, and killing that process releases it."""
    store = tmp_path / "qscpd.db"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, store], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder.stdout, holder.stdin:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreBusyError), StoreLock(store):
            pass
        holder.kill()
        holder.wait(PATIENCE_S)
    with StoreLock(store):
        assert store.stat().st_mode & 0o777 == 0o600


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    """A child process does not keep the lock after its parent has released it."""
    store = tmp_path / "qscpd.db"
    with StoreLock(store):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with StoreLock(store):
        child.communicate(b"\n", PATIENCE_S)


def test_a_missing_and_an_unwritable_directory_are_named(tmp_path: Path) -> None:
    """Locking in a missing or unwritable directory raises an error with the path."""
    with pytest.raises(StoreError, match="nowhere"), StoreLock(tmp_path / "nowhere" / "qscpd.db"):
        pass
    with (
        as_user(tmp_path),
        pytest.raises(PermissionDeniedError, match="no permission"),
        StoreLock(tmp_path / "qscpd.db"),
    ):
        pass


# --- other names of the store


def same(store: Path) -> Path:
    """Return the same path."""
    return store


def linked_file(store: Path) -> Path:
    """Return a symbolic link to the file, over another one."""
    first, second = store.with_name("first"), store.with_name("second.db")
    first.symlink_to(store)
    second.symlink_to(first)
    return second


def linked_directory(store: Path) -> Path:
    """Return the file by way of a link to its directory."""
    link = store.parent.parent / "link"
    link.symlink_to(store.parent)
    return link / store.name


def hard_link(store: Path) -> Path:
    """Return a second name of the file in another directory."""
    (store.parent / "sub").mkdir()
    second = store.parent / "sub" / "second.db"
    second.hardlink_to(store)
    return second


def dotted(store: Path) -> Path:
    """Return the file by way of `..`."""
    return store.parent / ".." / store.parent.name / "." / store.name


def descriptor(store: Path) -> Path:
    """Return the file by way of a descriptor of its directory."""
    opened = os.open(store.parent, os.O_RDONLY)
    return Path(f"/proc/{os.getpid()}/fd/{opened}/{store.name}")


NAMES = [same, linked_file, linked_directory, hard_link, dotted, descriptor]


@pytest.mark.parametrize("other_name", NAMES, ids=lambda name: name.__name__)
def test_every_name_of_the_file_is_locked(tmp_path: Path, other_name: Callable[[Path], Path]) -> None:
    """The lock is on the file, whatever name it is opened by, and whatever else is deleted."""
    store = tmp_path / "var" / "qscpd.db"
    store.parent.mkdir()
    SqliteStore(store).close()
    other = other_name(store)
    with StoreLock(store), contextlib.closing(SqliteStore(store)):
        for each in store.parent.iterdir():
            if not each.is_dir() and not each.is_symlink() and not each.samefile(store):
                each.unlink()
        with pytest.raises(StoreBusyError) as caught, StoreLock(other):
            pass
        assert str(caught.value) == f"{other}: another qscpd process is using this store"
        assert is_locked(store)
    assert not is_locked(store)
    with StoreLock(other), pytest.raises(StoreBusyError), StoreLock(store):
        pass


def test_the_journal_is_beside_the_file_that_a_link_names(tmp_path: Path) -> None:
    """Through a link the store has the same journal, and what it stored is found by the other name."""
    (tmp_path / "var").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "var" / "qscpd.db")
    with contextlib.closing(SqliteStore(link)) as store:
        store.add_account("alice", "x")
        assert (tmp_path / "var" / "qscpd.db-wal").stat().st_size
    assert link.is_symlink()
    with contextlib.closing(SqliteReader(tmp_path / "var" / "qscpd.db")) as reader:
        assert [account.name for account in reader.accounts()] == ["alice"]


def test_a_file_that_is_replaced_while_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another file takes the name between opening and locking, that one is locked."""
    store, new = tmp_path / "qscpd.db", tmp_path / "new.db"
    for path in (store, new):
        SqliteStore(path).close()
    real = lock._flock

    def replace(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
        if new.exists():
            new.replace(store)
        return real(descriptor, kind)

    monkeypatch.setattr(lock, "_flock", replace)
    with StoreLock(store):
        monkeypatch.undo()
        assert is_locked(store)


def test_a_file_that_is_replaced_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that never keeps its file ends in a sentence."""
    store = tmp_path / "qscpd.db"
    SqliteStore(store).close()
    real = lock._flock

    def replace(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
        shutil.copy(store, tmp_path / "new")
        (tmp_path / "new").replace(store)
        return real(descriptor, kind)

    monkeypatch.setattr(lock, "_flock", replace)
    with pytest.raises(StoreError, match="again and again"), StoreLock(store):
        pass


# --- older versions


def test_the_lock_file_of_an_older_version(tmp_path: Path) -> None:
    """A lock file that an older daemon holds is respected; one that is left over is in nobody's way."""
    store = tmp_path / "qscpd.db"
    SqliteStore(store).close()
    old = tmp_path / "qscpd.db.lock"
    old.touch(mode=0o600)
    with old.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_locked(store)
        with pytest.raises(StoreBusyError, match=r"older version.*qscpd\.db\.lock"), StoreLock(store):
            pass
    with StoreLock(store), old.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    old.unlink()
    with StoreLock(store):
        assert not old.exists()


# --- SQLite's own locks

_TRY_TO_WRITE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    db.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error.sqlite_errorname)
"""


def test_nothing_here_drops_the_locks_of_sqlite(tmp_path: Path) -> None:
    """Another program gets SQLITE_BUSY while we write, also after a reader was opened and closed here."""
    path = tmp_path / "qscpd.db"
    with (
        StoreLock(path),
        contextlib.closing(SqliteStore(path)) as store,
        store._db.transaction() as db,
    ):
        db.execute("INSERT INTO meta VALUES ('x', 'y')")
        wal = tmp_path / "qscpd.db-wal"
        inode = wal.stat().st_ino
        SqliteReader(path).close()
        copy_file(path, tmp_path / "copy.db", lambda: None)
        store._db._cutter.cut()
        found = subprocess.run(
            [sys.executable, "-c", _TRY_TO_WRITE, path], capture_output=True, check=True, text=True
        )
        assert found.stdout == "SQLITE_BUSY\n"
        # Without our lock on the file, the other program would have taken itself for the last one, and
        # deleted the journal.
        assert wal.stat().st_ino == inode
    with contextlib.closing(SqliteStore(path)) as store:
        assert store._db.meta("x") == "y"


# --- new stores


def test_two_processes_make_one_store(tmp_path: Path) -> None:
    """Of many processes that make a store at once, none replaces that of another."""
    store = tmp_path / "qscpd.db"
    code = (
        "import sys; from pathlib import Path; from qscpd.errors import StoreBusyError\n"
        "from qscpd.store.sqlite.creation import create_store\n"
        "sys.stdin.read()\n"
        "try: create_store(Path(sys.argv[1]))\n"
        "except StoreBusyError: pass\n"
        "print(Path(sys.argv[1]).stat().st_ino if Path(sys.argv[1]).exists() else 0)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, store], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    inodes = {int(process.communicate(timeout=PATIENCE_S)[0]) for process in processes}
    assert inodes - {0} == {store.stat().st_ino}
    assert [each.name for each in tmp_path.iterdir()] == ["qscpd.db"]
    SqliteReader(store).close()


def test_a_making_that_was_cut_off(tmp_path: Path) -> None:
    """What a crash left while a store was made is no obstacle, before it had its name and after."""
    store, new = tmp_path / "qscpd.db", tmp_path / "qscpd.db.new"
    new.write_bytes(b"half a store")
    SqliteStore(store).close()
    assert not new.exists()
    new.hardlink_to(store)
    SqliteStore(store).close()
    assert not new.exists()
    assert store.stat().st_nlink == 1


def test_a_store_that_was_made_meanwhile_leaves_no_second_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that comes between another one's look and its end leaves nothing behind."""
    store = tmp_path / "qscpd.db"
    refuse_orphan = creation._refuse_orphan

    def made_meanwhile(path: Path) -> None:
        refuse_orphan(path)
        monkeypatch.undo()
        create_store(path)

    monkeypatch.setattr(creation, "_refuse_orphan", made_meanwhile)
    create_store(store)
    assert [each.name for each in tmp_path.iterdir()] == ["qscpd.db"]
