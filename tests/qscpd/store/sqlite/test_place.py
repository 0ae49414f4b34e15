"""A store whose files are replaced or removed while it is in use."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qscpd.domain.model import NewMessage, StoredMessage
from qscpd.errors import StoreBusyError, StoreError
from qscpd.store.sqlite import place
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.snapshot import copy_file
from qscpd.store.sqlite.store import SqliteStore
from tests.support.stores import rows_of

ALICE, BOB = 1, 2


def replace(store: Path) -> None:
    """Put a copy of the file in its place, as `rsync` does."""
    shutil.copy(store, store.with_name("copy"))
    store.with_name("copy").replace(store)


def remove(store: Path) -> None:
    """Remove all files of the store."""
    for each in store.parent.glob("q.db*"):
        each.unlink()


def remove_journal(store: Path) -> None:
    """Remove the journal."""
    Path(f"{store}-wal").unlink()


def move_directory(store: Path) -> None:
    """Move the directory away."""
    store.parent.rename(store.parent.with_name("moved"))


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commit checks the files."""
    monkeypatch.setattr(place, "_EVERY_S", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file, in a directory of its own."""
    (tmp_path / "var").mkdir()
    return tmp_path / "var" / "q.db"


def append(store: SqliteStore, number: int) -> None:
    """Store a message."""
    (outcome,), _ = store.append([NewMessage(ALICE, BOB, f"{number:032x}", "hello")])
    assert isinstance(outcome, StoredMessage)


def opened(path: Path) -> SqliteStore:
    """Return a store with a message."""
    store = SqliteStore(path)
    for name in ("alice", "bob"):
        store.add_account(name, "x")
    append(store, 1)
    return store


@pytest.mark.parametrize("change", [replace, remove, remove_journal, move_directory])
def test_nothing_is_stored_in_a_file_without_a_name(path: Path, change: Callable[[Path], None]) -> None:
    """The next commit fails, and so does every later one; closing leaves the files of that name alone."""
    store = opened(path)
    change(path)
    for number in (2, 3):
        with pytest.raises(StoreError, match="was replaced or removed"):
            append(store, number)
    left = sorted(path.parent.glob("q.db*")) if path.parent.exists() else []
    store.close()
    assert (sorted(path.parent.glob("q.db*")) if path.parent.exists() else []) == left


@pytest.mark.parametrize("change", [replace, remove, remove_journal, move_directory])
def test_closing_with_a_reserve(path: Path, change: Callable[[Path], None]) -> None:
    """The reserve, which is beside files that are gone, does not keep the store from being closed."""
    store = SqliteStore(path, keep_reserve=True)
    change(path)
    store.close()


def test_a_replaced_file_has_what_was_acknowledged(path: Path) -> None:
    """The journal stays beside the new file, so the next start has every message that was acknowledged."""
    store = opened(path)
    replace(path)
    with pytest.raises(StoreError):
        append(store, 2)
    store.close()
    with contextlib.closing(SqliteStore(path)) as again:
        assert [row.seq for row in rows_of(again, 1)] == [1]
        append(again, 3)


def test_a_second_process_is_refused(path: Path) -> None:
    """Another process does not open a file that was put in the place of one that is in use."""
    store = opened(path)
    replace(path)
    with pytest.raises(StoreBusyError, match="its journal"):
        SqliteStore(path)
    store.close()


def test_reading_without_the_journal_is_refused(path: Path, tmp_path: Path) -> None:
    """A copy of the file alone, or a second name of it, is not read as if nothing were missing."""
    with contextlib.closing(opened(path)) as store:
        for number in range(2, 20):
            append(store, number)
        second = tmp_path / "second.db"
        second.hardlink_to(path)
        with pytest.raises(StoreError, match=r"its journal .* is missing"):
            SqliteReader(second)
        with pytest.raises(StoreError, match=r"its journal .* is missing"):
            copy_file(second, tmp_path / "backup.db", lambda: None)
        second.unlink()
    with contextlib.closing(SqliteReader(path)) as reader:
        assert len(rows_of(reader, 1)) == 19
