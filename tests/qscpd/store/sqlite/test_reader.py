"""The read-only connection: it cannot write, blocks no writer, and needs few statements for a page."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.domain.model import Mark, NewMessage, PositionKind
from qscpd.errors import StoreError
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import ManualClock, housekeep

make_id = IdMaker()
PEERS = 100


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store in which a hundred users have written to the first one."""
    clock = ManualClock()
    with contextlib.closing(SqliteStore(tmp_path / "q.db", clock=clock)) as store:
        for number in range(PEERS + 1):
            store.add_account(f"u{number}", "x")
        for peer in range(2, PEERS + 2):
            store.append([NewMessage(peer, 1, make_id(), f"word {n}") for n in range(3)])
            clock.wind(1)
        housekeep(store)
        yield store


@pytest.fixture
def reader(store: SqliteStore, tmp_path: Path) -> Iterator[SqliteReader]:
    """A reader of the same store."""
    del store
    with contextlib.closing(SqliteReader(tmp_path / "q.db")) as reader:
        yield reader


@contextlib.contextmanager
def statements(reader: SqliteReader) -> Iterator[list[str]]:
    """Record the statements that run inside the block."""
    ran: list[str] = []
    reader._db.connection.set_trace_callback(ran.append)
    yield ran
    reader._db.connection.set_trace_callback(None)


def check_plans(reader: SqliteReader, ran: list[str]) -> None:
    """Check that no statement sorts, or goes through a whole table."""
    for sql in ran:
        if sql in ("BEGIN", "ROLLBACK"):
            continue
        plan = [row[-1] for row in reader._db.read(f"EXPLAIN QUERY PLAN {sql}")]
        # sqlite_sequence has one row: the newest id of the journal.
        small = {"SCAN CONSTANT ROW", "SCAN sqlite_sequence"}
        assert not [
            step for step in plan if "TEMP B-TREE" in step or ("SCAN" in step and step not in small)
        ], sql


def test_a_reader_cannot_write(reader: SqliteReader) -> None:
    """A reader has no method that writes, and its connection is read-only."""
    for method in ("append", "add_account", "change_room", "housekeeping", "renew_epoch"):
        assert not hasattr(reader, method)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.connection.execute("DELETE FROM chunks")
    with pytest.raises(StoreError, match="readonly"):
        reader._db.run("UPDATE meta SET value = ''")


def test_a_list_of_conversations_takes_few_statements(reader: SqliteReader) -> None:
    """A list takes five statements, and two for each conversation with unread messages; nothing is sorted."""
    with statements(reader) as ran:
        listed = reader.conversation_list(1, 0, PEERS).conversations
    assert [each.unread for each in listed] == [3] * PEERS
    assert len(ran) == 5 + 2 * PEERS, (
        ran
    )  # BEGIN, journal, rows, blocks, chunks and amendments of each, ROLLBACK
    check_plans(reader, ran)


def test_a_list_of_read_conversations_takes_few_statements(store: SqliteStore, reader: SqliteReader) -> None:
    """Where nothing is unread, no message is read."""
    store.append([], [Mark(1, number, PositionKind.READ, 3) for number in range(1, PEERS + 1)])
    with statements(reader) as ran:
        listed = reader.conversation_list(1, 0, PEERS).conversations
    assert [each.unread for each in listed] == [0] * PEERS
    assert len(ran) == 5, ran


def test_a_page_takes_few_statements(store: SqliteStore, reader: SqliteReader) -> None:
    """A page of history and one of replay take six statements each, of what is folded, and fewer before."""
    with statements(reader) as ran:
        assert reader.history_page(1, 1, limit=9, max_bytes=10**6) is not None
        assert reader.replay_page(1, 1, after=0, limit=9, max_bytes=10**6) is not None
    assert len(ran) == 12, ran  # BEGIN, journal, conversation, chunks, amendments, ROLLBACK
    check_plans(reader, ran)
    store.append([NewMessage(2, 1, make_id(), f"word {n}") for n in range(10)])
    with statements(reader) as ran:
        page = reader.history_page(1, 1, limit=9, max_bytes=10**6)
    assert page is not None
    assert [row.seq for row in page.messages] == [*range(5, 14)]
    assert len([sql for sql in ran if "FROM chunks" in sql]) == 0


def test_a_search_reads_no_further_than_needed(reader: SqliteReader) -> None:
    """A search skips conversations whose messages are all too old for the page."""
    with statements(reader) as ran:
        page = search_page(reader, 1, ["word"], limit=3)
    assert len(page.found) == 3
    assert len([sql for sql in ran if "MATCH" in sql]) == 1


def test_a_read_leaves_no_lock(store: SqliteStore, reader: SqliteReader) -> None:
    """The WAL can be truncated between two reads, but not during a snapshot."""
    for read in (
        lambda: reader.conversation_list(1, 0, 9),
        lambda: reader.history_page(1, 1, limit=1, max_bytes=1),
        lambda: search_page(reader, 1, ["word"], limit=1),
    ):
        read()
        store.append([NewMessage(2, 1, make_id(), "x")])
        assert store._db.read("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0
    with reader.snapshot():
        reader.epoch()
        store.append([NewMessage(2, 1, make_id(), "x")])
        store._db.read("PRAGMA busy_timeout = 0")
        assert store._db.read("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 1
