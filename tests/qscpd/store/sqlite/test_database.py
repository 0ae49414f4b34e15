"""The SQLite file: failed transactions, crashes, damaged files and files of other programs."""

import contextlib
import itertools
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qscpd.domain.model import NewMessage, StoredMessage
from qscpd.errors import (
    PermissionDeniedError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)
from qscpd.store.sqlite.migrations import MIGRATIONS
from qscpd.store.sqlite.store import SqliteStore
from tests.support.old_stores import expected, make_old, version
from tests.support.storage import stored_messages
from tests.support.users import as_user
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of the store."""
    return tmp_path / "qscpd.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """A store with alice, bob and carol as 1, 2 and 3."""
    with contextlib.closing(SqliteStore(path)) as opened:
        for name in ("alice", "bob", "carol"):
            opened.add_account(name, f"hash of {name}")
        yield opened


def message(number: int, sender: int = 1, recipient: int = 2, body: str = "hello") -> NewMessage:
    """Return a message whose id is made from a number."""
    return NewMessage(sender, recipient, f"{number:032x}", body)


def append(store: SqliteStore, *messages: NewMessage) -> list[StoredMessage]:
    """Store new messages in one transaction; return their places."""
    outcomes, moved = store.append(messages)
    assert moved == []
    stored = [each for each in outcomes if isinstance(each, StoredMessage) and each.new]
    assert len(stored) == len(messages)
    return stored


# --- accounts


def test_a_deleted_account_leaves_no_hash(store: SqliteStore, path: Path) -> None:
    """Deleting an account removes the password hash from its row."""
    store.delete_account("alice")
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT password_hash FROM accounts WHERE id = 1").fetchone() == ("",)


# --- messages


def test_stored_messages_are_in_the_file(store: SqliteStore, path: Path) -> None:
    """Another connection reads sender, id, body and time of each message while the store is open."""
    bodies = ["hello", "\u2603\U0001f600", "two\nlines", "x" * 16384]
    stored = append(store, *(message(n, body=body) for n, body in enumerate(bodies)))
    rows = stored_messages(path)
    assert [(row.sender, row.body, row.id) for row in rows] == [
        ("alice", body, f"{n:032x}") for n, body in enumerate(bodies)
    ]
    assert [StoredMessage(row.conversation, row.seq, row.time_ms) for row in rows] == stored


def test_a_full_disk_stores_nothing_of_the_batch(store: SqliteStore, path: Path) -> None:
    """A batch that does not fit raises StoreFullError and uses no seq or id; a smaller batch is stored."""
    append(store, message(1))
    pages = store._db.connection.execute("PRAGMA page_count").fetchone()[0]
    store._db.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreFullError, match=re.escape(str(path))):
        store.append([message(2), *(message(n, 1, 3, "x" * 16_000) for n in range(10, 20))])
    assert [each.seq for each in append(store, message(2), message(4, 1, 3))] == [2, 1]
    assert len(stored_messages(path)) == 3


def test_a_store_locked_by_another_program_is_busy(store: SqliteStore, path: Path) -> None:
    """An append to a locked file raises StoreBusyError and stores nothing; later appends work."""
    store._db.connection.execute("PRAGMA busy_timeout = 1")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="locked by another program"):
            store.append([message(1)])
    assert append(store, message(1))[0].seq == 1


def test_a_refused_row_rolls_back_its_batch(store: SqliteStore, path: Path) -> None:
    """A message to an unknown account fails the foreign key check; nothing of the batch is stored."""
    with pytest.raises(StoreError):
        store.append([message(1), message(2, 1, 99)])
    assert stored_messages(path) == []
    assert append(store, message(1))[0].seq == 1


_PAIRS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=6)
_STEPS = st.lists(st.tuples(st.sampled_from(["commit", "commit", "fail", "restart"]), _PAIRS), max_size=6)


@settings(max_examples=30, deadline=None)
@given(_STEPS)
def test_any_batches_give_dense_seqs(steps: list[tuple[str, list[tuple[int, int]]]]) -> None:
    """Seqs stay dense over any sequence of commits, failed commits and restarts."""
    with tempfile.TemporaryDirectory() as directory:
        _run_steps(Path(directory) / "qscpd.db", steps)


def _run_steps(path: Path, steps: list[tuple[str, list[tuple[int, int]]]]) -> None:
    seqs: dict[int, list[int]] = {}
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(contextlib.closing(SqliteStore(path)))
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        for what, batch in steps:
            pairs = [(a, b) for a, b in batch if a != b]
            if what == "restart":
                stack.close()
                store = stack.enter_context(contextlib.closing(SqliteStore(path)))
            if what == "fail":
                with pytest.raises(StoreError):
                    store.append([message(next(numbers), a, b) for a, b in [*pairs, (1, 99)]])
                continue
            for each in append(store, *(message(next(numbers), a, b) for a, b in pairs)):
                seqs.setdefault(each.conversation, []).append(each.seq)
    for found in seqs.values():
        assert found == list(range(1, len(found) + 1))
    assert len(stored_messages(path)) == sum(map(len, seqs.values()))


def test_the_cache_of_conversations_is_bounded(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cache for one conversation, a batch over several conversations gets the right seqs."""
    monkeypatch.setattr("qscpd.store.sqlite.conversation_cache._CACHED_CONVERSATIONS", 1)
    pairs = [(1, 2), (1, 3), (2, 3), (1, 2), (3, 2)]
    first, second = ([message(start + n, *pair) for n, pair in enumerate(pairs)] for start in (0, 10))
    assert [each.seq for each in append(store, *first)] == [1, 1, 1, 2, 2]
    assert [each.seq for each in append(store, *second)] == [3, 2, 3, 4, 4]
    assert len(store._conversations) <= 3


_WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from qscpd.store.sqlite.store import SqliteStore
from qscpd.domain.model import (NewMessage)
store = SqliteStore(Path(sys.argv[1]))
number = 0
while True:
    batch = [NewMessage(1, 2, f"{number + n:032x}", "x" * 500) for n in range(20)]
    store.append(batch)
    number += len(batch)
    print(number, flush=True)
"""


def test_a_kill_in_the_middle_of_a_write_loses_nothing(store: SqliteStore, path: Path) -> None:
    """After SIGKILL every acknowledged message is in the file, in order and without a gap."""
    store.close()
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITE_UNTIL_KILLED, path], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout as said:
        acknowledged = [int(said.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in said if line.endswith("\n")]
    writer.wait(PATIENCE_S)
    with contextlib.closing(SqliteStore(path)) as again:
        rows = stored_messages(path)
        assert len(rows) >= acknowledged[-1]
        assert [(row.seq, row.id) for row in rows] == [(n + 1, f"{n:032x}") for n in range(len(rows))]
        assert append(again, message(len(rows)))[0].seq == len(rows) + 1


# --- the file


def test_only_the_owner_can_read_the_file(store: SqliteStore, path: Path) -> None:
    """Only the owner can read or write the store and its journal."""
    store.append([message(1)])
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_commits_are_durable(store: SqliteStore) -> None:
    """The store uses synchronous=FULL and WAL: COMMIT waits for the disk, and readers block no writer."""
    assert store._db.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def checked_text(error: StoreError | PermissionDeniedError, path: Path) -> str:
    """Check that an error is one line with the path in it; return its text."""
    text = str(error)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_garbage_is_refused(path: Path) -> None:
    """A file that is not a database is refused and left unchanged."""
    path.write_bytes(b"This is no database." * 500)
    with pytest.raises(StoreDamagedError) as caught:
        SqliteStore(path)
    assert "restore it from a backup" in checked_text(caught.value, path)
    assert path.read_bytes() == b"This is no database." * 500


def test_a_damaged_store_is_noticed(store: SqliteStore, path: Path) -> None:
    """Overwritten pages are detected when the store is opened."""
    store.append([message(n, body="x" * 3000) for n in range(50)])
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:16384] = os.urandom(12288)
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError) as caught:
        SqliteStore(path)
    checked_text(caught.value, path)


def test_a_truncated_store_is_noticed(store: SqliteStore, path: Path) -> None:
    """A file that was cut in half is refused as damaged."""
    store.append([message(n, body="x" * 3000) for n in range(50)])
    store.close()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StoreDamagedError) as caught:
        SqliteStore(path)
    checked_text(caught.value, path)


@pytest.mark.parametrize("journal", [False, True])
def test_an_empty_file_is_refused(path: Path, journal: bool) -> None:
    """An empty file was a store once; the error has both ways out, and its journal is kept."""
    path.touch()
    wal = path.with_name("qscpd.db-wal")
    if journal:
        wal.write_bytes(b"what was in it")
    with pytest.raises(StoreDamagedError) as caught:
        SqliteStore(path)
    text = checked_text(caught.value, path)
    assert "`qscpd restore`" in text
    assert "delete this file" in text
    assert path.stat().st_size == 0
    assert not journal or wal.read_bytes() == b"what was in it"


def test_a_database_without_tables_is_refused(path: Path) -> None:
    """A database file without anything in it is as empty as one without a byte."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("VACUUM")
    assert path.stat().st_size
    with pytest.raises(StoreDamagedError, match="the file is empty"):
        SqliteStore(path)


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    """A database with unknown tables, application id or user version is refused."""
    for statement in ("CREATE TABLE theirs (x)", "PRAGMA application_id = 77", "PRAGMA user_version = 3"):
        path.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute(statement)
        with pytest.raises(StoreDamagedError) as caught:
            SqliteStore(path)
        assert "another program" in checked_text(caught.value, path)


def test_a_newer_schema_is_refused(store: SqliteStore, path: Path) -> None:
    """A store with a newer schema is refused, so that a downgrade does not damage it."""
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreDamagedError) as caught:
        SqliteStore(path)
    assert "newer qscpd" in checked_text(caught.value, path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """Opening a store in a missing directory raises an error with the path."""
    path = tmp_path / "nowhere" / "qscpd.db"
    with pytest.raises(StoreError) as caught:
        SqliteStore(path)
    checked_text(caught.value, path)


def test_an_unwritable_store_is_named(store: SqliteStore, path: Path) -> None:
    """A file or directory without write permission raises an error with the path."""
    store.close()
    with as_user(path.parent), pytest.raises(PermissionDeniedError) as caught:
        SqliteStore(path)
    checked_text(caught.value, path)
    os.chown(path, 65534, 65534)
    with as_user(path.parent), pytest.raises(PermissionDeniedError) as refused:
        SqliteStore(path)
    checked_text(refused.value, path)


def test_a_failed_migration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration step that fails halfway leaves the old store, which still opens."""
    path = make_old(tmp_path / "old.db", "schema5")
    with monkeypatch.context() as patch:
        patch.setattr(
            "qscpd.store.sqlite.conversion.MIGRATIONS",
            (*MIGRATIONS, "CREATE TABLE more (x); CREATE TABLE more (x);"),
        )
        with pytest.raises(StoreError):
            SqliteStore(path)
    assert version(path) == 5
    with contextlib.closing(SqliteStore(path)) as again:
        assert len(again.accounts()) == len(expected("schema5")["accounts"])
