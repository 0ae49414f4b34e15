"""The SQLite store: accounts, messages, and files that are not what they should be."""

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

from qscpd.domain.model import Account, AccountState, NewMessage, StoredMessage
from qscpd.errors import (
    ExistsError,
    NotFoundError,
    PermissionDeniedError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)
from qscpd.store.sqlite.migrations import MIGRATIONS
from qscpd.store.sqlite.store import SqliteStore
from tests.support.storage import stored_messages
from tests.support.users import as_user
from tests.support.waiting import PATIENCE_S


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> int:
        """The time."""
        return self.ms


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "qscpd.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """A store with alice, bob and carol as 1, 2 and 3."""
    with contextlib.closing(SqliteStore(path)) as opened:
        for name in ("alice", "bob", "carol"):
            opened.add_account(name, f"hash of {name}")
        yield opened


def message(number: int, sender: int = 1, recipient: int = 2, body: str = "hello") -> NewMessage:
    """A message with an id of its own."""
    return NewMessage(sender, recipient, f"{number:032x}", body)


def append(store: SqliteStore, *messages: NewMessage) -> list[StoredMessage]:
    """Store messages that are all new, and return where they are."""
    outcomes, moved = store.append(messages)
    assert moved == []
    stored = [each for each in outcomes if isinstance(each, StoredMessage) and each.new]
    assert len(stored) == len(messages)
    return stored


# --- accounts


def test_the_life_of_an_account(store: SqliteStore) -> None:
    """Made, locked, unlocked, given a new password, deleted: each state is told and kept."""
    dora = store.add_account("dora", "first")
    assert (dora.id, dora.name, dora.state) == (4, "dora", AccountState.ACTIVE)
    assert store.credentials("dora") == (dora, "first")
    assert store.set_locked("dora", locked=True).state is AccountState.LOCKED
    assert store.set_locked("dora", locked=True).state is AccountState.LOCKED
    assert store.set_password("dora", "second").state is AccountState.LOCKED
    assert store.set_locked("dora", locked=False) == dora
    assert store.credentials("dora") == (dora, "second")
    assert store.delete_account("dora").state is AccountState.DELETED
    assert store.credentials("dora") is None
    assert [account.name for account in store.accounts()] == ["alice", "bob", "carol"]


def test_a_deleted_account_leaves_no_hash(store: SqliteStore, path: Path) -> None:
    """What a password was checked against is gone from the row."""
    store.delete_account("alice")
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT password_hash FROM accounts WHERE id = 1").fetchone() == ("",)


def test_a_taken_name_is_refused(store: SqliteStore) -> None:
    """Also with `reuse_name`, and when its account is locked."""
    store.set_locked("alice", locked=True)
    for reuse_name in (False, True):
        with pytest.raises(ExistsError, match="alice already"):
            store.add_account("alice", "x", reuse_name=reuse_name)


def test_a_deleted_name_stays_reserved(store: SqliteStore) -> None:
    """Only `reuse_name` gives it away, to an account with a new id; and so again."""
    for new_id in (4, 5):
        store.delete_account("alice")
        with pytest.raises(ExistsError, match="--reuse-name"):
            store.add_account("alice", "x")
        assert store.add_account("alice", "x", reuse_name=True).id == new_id


def test_ids_are_never_used_again(store: SqliteStore, path: Path) -> None:
    """Not even the highest one, after the store was opened anew."""
    store.delete_account(store.add_account("dora", "x").name)
    store.close()
    with contextlib.closing(SqliteStore(path)) as again:
        assert again.add_account("emil", "x").id == 5


@pytest.mark.parametrize("name", ["nobody", "deleted"])
def test_what_is_not_there_can_not_be_changed(store: SqliteStore, name: str) -> None:
    """An unknown and a deleted account are the same."""
    store.add_account("deleted", "x")
    store.delete_account("deleted")
    with pytest.raises(NotFoundError, match=name):
        store.set_password(name, "x")
    with pytest.raises(NotFoundError, match=name):
        store.set_locked(name, locked=True)
    with pytest.raises(NotFoundError, match=name):
        store.delete_account(name)


def test_a_hash_is_upgraded_only_if_it_is_still_the_old_one(store: SqliteStore) -> None:
    """A password that was changed meanwhile is not set back."""
    store.replace_hash(1, "hash of alice", "upgraded")
    store.replace_hash(2, "not the hash of bob", "upgraded")
    hashes = [found.password_hash for name in ("alice", "bob") if (found := store.credentials(name))]
    assert hashes == ["upgraded", "hash of bob"]


# --- messages


def test_seqs_are_dense_in_each_conversation(store: SqliteStore) -> None:
    """Both directions of a pair are one conversation, and each has its own count."""
    stored = append(store, message(1), message(2, 2, 1), message(3, 1, 3), message(4))
    stored += append(store, message(5, 3, 1), message(6))
    assert [(each.conversation, each.seq) for each in stored] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (1, 3),
        (2, 2),
        (1, 4),
    ]


def test_seqs_go_on_after_a_restart(store: SqliteStore, path: Path) -> None:
    """Nothing is kept in memory that is not on disk."""
    append(store, message(1), message(2))
    store.close()
    with contextlib.closing(SqliteStore(path)) as again:
        assert [each.seq for each in append(again, message(3), message(4, 2, 1))] == [3, 4]


def test_what_is_stored_can_be_read(store: SqliteStore, path: Path) -> None:
    """Sender, id, body and time of each message are in the file, also while it is open."""
    bodies = ["hello", "\u2603\U0001f600", "two\nlines", "x" * 16384]
    stored = append(store, *(message(n, body=body) for n, body in enumerate(bodies)))
    rows = stored_messages(path)
    assert [(row.sender, row.body, row.id) for row in rows] == [
        ("alice", body, f"{n:032x}") for n, body in enumerate(bodies)
    ]
    assert [StoredMessage(row.conversation, row.seq, row.time_ms) for row in rows] == stored


def test_time_never_goes_back(path: Path) -> None:
    """A clock that was set back stands still in a conversation, also over a restart."""
    clock = Clock()
    times: list[int] = []
    numbers = itertools.count(1)
    for ms in (5_000, 4_000, 1_000, 6_000):
        with contextlib.closing(SqliteStore(path, clock_ms=clock)) as store:
            if not times:
                store.add_account("alice", "x")
                store.add_account("bob", "x")
            clock.ms = ms
            times.append(append(store, message(next(numbers)))[0].time_ms)
    assert times == [5_000, 5_000, 5_000, 6_000]


def test_a_full_disk_stores_nothing_of_the_batch(store: SqliteStore, path: Path) -> None:
    """The error says so, seqs and ids are as before, and a smaller batch still goes in."""
    append(store, message(1))
    pages = store._db.connection.execute("PRAGMA page_count").fetchone()[0]
    store._db.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreFullError, match=re.escape(str(path))):
        store.append([message(2), *(message(n, 1, 3, "x" * 16_000) for n in range(10, 20))])
    assert [each.seq for each in append(store, message(2), message(4, 1, 3))] == [2, 1]
    assert len(stored_messages(path)) == 3


def test_a_store_that_is_locked_by_another_program_is_busy(store: SqliteStore, path: Path) -> None:
    """Nothing is stored, and it works again afterwards."""
    store._db.connection.execute("PRAGMA busy_timeout = 1")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="locked by another program"):
            store.append([message(1)])
    assert append(store, message(1))[0].seq == 1


def test_a_refused_row_takes_its_batch_along(store: SqliteStore, path: Path) -> None:
    """A sender who is no account breaks a foreign key: nothing of the transaction is stored."""
    with pytest.raises(StoreError):
        store.append([message(1), message(2, 1, 99)])
    assert stored_messages(path) == []
    assert append(store, message(1))[0].seq == 1


_PAIRS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=6)
_STEPS = st.lists(st.tuples(st.sampled_from(["commit", "commit", "fail", "restart"]), _PAIRS), max_size=6)


@settings(max_examples=30, deadline=None)
@given(_STEPS)
def test_any_batches_give_dense_seqs(steps: list[tuple[str, list[tuple[int, int]]]]) -> None:
    """Whatever is committed together, fails in between or is restarted."""
    with tempfile.TemporaryDirectory() as directory:
        _play(Path(directory) / "qscpd.db", steps)


def _play(path: Path, steps: list[tuple[str, list[tuple[int, int]]]]) -> None:
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
    """With room for one, many conversations in one batch still get the right seqs."""
    monkeypatch.setattr("qscpd.store.sqlite.tail_cache._CACHED_CONVERSATIONS", 1)
    pairs = [(1, 2), (1, 3), (2, 3), (1, 2), (3, 2)]
    first, second = ([message(start + n, *pair) for n, pair in enumerate(pairs)] for start in (0, 10))
    assert [each.seq for each in append(store, *first)] == [1, 1, 1, 2, 2]
    assert [each.seq for each in append(store, *second)] == [3, 2, 3, 4, 4]
    assert len(store._tails) <= 3


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
    """Whatever was said to be stored is there, in order and without a gap, and the file is whole."""
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


def test_the_file_is_closed_to_others(store: SqliteStore, path: Path) -> None:
    """Whatever the umask: the store and its journal are for their owner only."""
    store.append([message(1)])
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_it_is_durable(store: SqliteStore) -> None:
    """COMMIT waits for the disk, and a reader does not block the writer."""
    assert store._db.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def one_sentence(error: StoreError | PermissionDeniedError, path: Path) -> str:
    """The error's text: one line, with the file in it."""
    text = str(error)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_garbage_is_no_store(path: Path) -> None:
    """A file of anything else is refused and left as it is."""
    path.write_bytes(b"This is no database." * 500)
    with pytest.raises(StoreDamagedError) as caught:
        SqliteStore(path)
    assert "restore it from a backup" in one_sentence(caught.value, path)
    assert path.read_bytes() == b"This is no database." * 500


def test_a_damaged_store_is_noticed(store: SqliteStore, path: Path) -> None:
    """Lost pages are found when it is opened, not when they are needed."""
    store.append([message(n, body="x" * 3000) for n in range(50)])
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:16384] = os.urandom(12288)
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError) as caught:
        SqliteStore(path)
    one_sentence(caught.value, path)


def test_a_truncated_store_is_noticed(store: SqliteStore, path: Path) -> None:
    """Half a file is damage."""
    store.append([message(n, body="x" * 3000) for n in range(50)])
    store.close()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StoreDamagedError) as caught:
        SqliteStore(path)
    one_sentence(caught.value, path)


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    """As left by a crash in the very first moment."""
    path.touch()
    with contextlib.closing(SqliteStore(path)) as store:
        assert store.accounts() == []


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    """Tables of somebody else's, or their mark, are refused."""
    for statement in ("CREATE TABLE theirs (x)", "PRAGMA application_id = 77", "PRAGMA user_version = 3"):
        path.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute(statement)
        with pytest.raises(StoreDamagedError) as caught:
            SqliteStore(path)
        assert "another program" in one_sentence(caught.value, path)


def test_a_newer_schema_is_refused(store: SqliteStore, path: Path) -> None:
    """A downgrade must not damage what it does not know."""
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreDamagedError) as caught:
        SqliteStore(path)
    assert "newer qscpd" in one_sentence(caught.value, path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """There is no store without its directory."""
    path = tmp_path / "nowhere" / "qscpd.db"
    with pytest.raises(StoreError) as caught:
        SqliteStore(path)
    one_sentence(caught.value, path)


def test_a_store_that_may_not_be_written_is_named(store: SqliteStore, path: Path) -> None:
    """A file of somebody else's, and a directory that takes no journal."""
    store.close()
    with as_user(path.parent), pytest.raises(PermissionDeniedError) as caught:
        SqliteStore(path)
    one_sentence(caught.value, path)
    os.chown(path, 65534, 65534)
    with as_user(path.parent), pytest.raises(StoreError) as refused:
        SqliteStore(path)
    one_sentence(refused.value, path)


def test_a_failed_migration_changes_nothing(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that breaks in the middle is undone, and the old schema still opens."""
    store.close()
    with monkeypatch.context() as patch:
        patch.setattr(
            "qscpd.store.sqlite.migrations.MIGRATIONS",
            (*MIGRATIONS, "CREATE TABLE more (x); CREATE TABLE more (x);"),
        )
        with pytest.raises(StoreError):
            SqliteStore(path)
    with contextlib.closing(SqliteStore(path)) as again:
        assert len(again.accounts()) == 3


def test_accounts_survive(store: SqliteStore, path: Path) -> None:
    """A store that was opened anew says the same."""
    before = store.accounts()
    store.close()
    with contextlib.closing(SqliteStore(path)) as again:
        assert again.accounts() == before
        assert all(isinstance(account, Account) for account in before)
