"""Housekeeping in SQLite: the size of its steps, the search index, and traces in the files."""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from qscpd.domain.model import Keep, NewMessage
from qscpd.store.sqlite import chunks, compaction, retention
from qscpd.store.sqlite.search_index import SearchIndex
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import conversation_of, housekeep, rows_of

ALICE, BOB, CAROL = 1, 2, 3
NEWEST = (2**53, 0, 0)

make_id = IdMaker()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with alice, bob and carol."""
    with contextlib.closing(SqliteStore(tmp_path / "q.db")) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        yield store


def message(sender: int, recipient: int, body: str) -> NewMessage:
    """Make a message with a new id."""
    return NewMessage(sender, recipient, make_id(), body)


def erase(store: SqliteStore) -> None:
    """Erase alice's messages to the end."""
    while store.housekeeping.erase_step(ALICE):
        pass


def shown(store: SqliteStore, conversation: int) -> list[tuple[int, int, str | None]]:
    """Return seq, sender and body of all messages of a conversation."""
    rows = rows_of(store, conversation)
    return [(row.seq, row.sender, row.body) for row in rows]


def found(store: SqliteStore, word: str) -> list[int]:
    """Return the seqs of the messages that alice finds."""
    page = search_page(store, ALICE, [word], limit=1000)
    assert page.complete
    return [each.message.seq for each in page.found]


def files_with(directory: Path, text: bytes) -> list[str]:
    """Return the names of all files that contain a text."""
    return [each.name for each in directory.iterdir() if text in each.read_bytes()]


def test_a_step_of_pruning_is_small(store: SqliteStore) -> None:
    """A step of pruning is bounded, for one large chunk and for many small ones."""
    store.append([message(ALICE, BOB, f"word{n}") for n in range(1000)])
    with mock.patch.object(chunks, "GROWING", 0):
        for _ in range(120):
            store.append([message(ALICE, BOB, "word")])
            store._fold.fold_messages()
    housekeep(store)
    sizes = [len(shown(store, 1))]
    while sizes[-1] > 1:
        store.housekeeping.step(Keep(messages=1))
        sizes.append(len(shown(store, 1)))
        row = conversation_of(store, ALICE, 1)
        assert row is not None
        assert row.first_seq == shown(store, 1)[0][0]
    steps = [before - after for before, after in itertools.pairwise(sizes)]
    assert max(steps) == retention._STEP_MESSAGES
    assert steps[-2] <= retention._STEP_CHUNKS


def test_pruned_messages_leave_the_search_index(store: SqliteStore) -> None:
    """Search finds only remaining messages, and the index keeps no word of pruned ones."""
    store.append([message(ALICE, BOB, f"word{n}") for n in range(1, 5)])
    housekeep(store)
    assert found(store, "word2") == [2]
    housekeep(store, Keep(messages=2))
    assert [found(store, f"word{number}") for number in range(1, 5)] == [[], [], [3], [4]]
    while SearchIndex(store._db).merge_step(begin=False):
        pass
    rows = store._db.read("SELECT count(*) FROM words WHERE words MATCH 'word1'")
    assert rows == [(0,)]


def test_nothing_to_prune_writes_nothing(store: SqliteStore) -> None:
    """A round of pruning that deletes nothing changes no row."""
    store.append([message(ALICE, BOB, "x") for _ in range(10)])
    housekeep(store)
    before = store._db.connection.total_changes
    for _ in range(3):
        while store.housekeeping.step(Keep(age_ms=86_400_000, messages=10)):
            pass
    assert store._db.connection.total_changes == before


def test_a_step_of_erasing_is_small(store: SqliteStore) -> None:
    """A step of erasing is bounded for large and for many chunks; other accounts can send in between."""
    store.append([message(ALICE, BOB, f"text{number}") for number in range(1000)])
    for number in range(300):
        store.append([message(ALICE, CAROL, f"more{number}")])
    housekeep(store)
    counts = [1300]
    more = True
    while more:
        more = store.housekeeping.erase_step(ALICE)
        store.append([message(BOB, CAROL, "meanwhile")])
        left = [row for each in (1, 2) for row in shown(store, each) if row[2] is not None]
        counts.append(len(left))
    steps = [before - after for before, after in itertools.pairwise(counts)]
    assert counts[-1] == 0
    assert max(steps) == retention._STEP_MESSAGES
    assert all(body == "meanwhile" for _, _, body in shown(store, 3))


def test_a_large_file_is_compacted_when_it_is_opened_again(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compacting a large file is postponed to the next open; `compaction_due` is True until then."""
    monkeypatch.setattr(compaction, "_COMPACT_AT_ONCE", 0)
    store.append([message(ALICE, BOB, "canary")])
    housekeep(store)
    erase(store)
    assert store.housekeeping.compaction_due()
    store.close()
    with contextlib.closing(SqliteStore(tmp_path / "q.db")) as again:
        assert not again.housekeeping.compaction_due()
        assert shown(again, 1) == [(1, ALICE, None)]
    assert files_with(tmp_path, b"canary") == []


def test_a_reader_delays_the_last_step_only(store: SqliteStore, tmp_path: Path) -> None:
    """With an open read transaction erasing removes the text but is not complete; no step blocks."""
    store.append([message(ALICE, BOB, "canary")])
    housekeep(store)
    with contextlib.closing(sqlite3.connect(tmp_path / "q.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chunks").fetchone()
        for _ in range(20):
            assert store.housekeeping.erase_step(ALICE)
        assert shown(store, 1) == [(1, ALICE, None)]
    erase(store)
    assert files_with(tmp_path, b"canary") == []
