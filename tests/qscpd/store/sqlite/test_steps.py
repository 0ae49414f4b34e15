"""Steps of housekeeping in SQLite are bounded by the size of messages, not only by their number."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.domain.model import Keep, NewMessage
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import SqliteFactory, housekeep, rows_of

ALICE, BOB = 1, 2

PAIR = 1
"""The conversation of alice and bob."""

COUNT = 200

LONG = "word ".ljust(16_000, "y")

make_id = IdMaker()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with many long messages of alice, all of them folded."""
    with contextlib.closing(SqliteFactory().open(tmp_path)) as opened:
        assert isinstance(opened, SqliteStore)
        for name in ("alice", "bob"):
            opened.add_account(name, "x")
        for _ in range(0, COUNT, 50):
            opened.append([NewMessage(ALICE, BOB, make_id(), LONG) for _ in range(50)])
        housekeep(opened)
        yield opened


def found(store: SqliteStore) -> int:
    """Return the number of messages that a search finds."""
    return len(search_page(store, BOB, ["word"], conversation=PAIR, limit=1000).found)


def folded(store: SqliteStore) -> int:
    """Return the number of messages in chunks."""
    return int(store._db.read("SELECT last_seq FROM conversations WHERE id = ?", PAIR)[0][0])


def texts(store: SqliteStore) -> int:
    """Return the number of messages with a text."""
    return sum(row.body is not None for row in rows_of(store, PAIR))


def test_a_step_of_folding_takes_few_long_messages(tmp_path: Path) -> None:
    """A message of 16 KB can cost the search index 3 ms: a step takes some at most, and comes further."""
    with contextlib.closing(SqliteFactory().open(tmp_path)) as store:
        assert isinstance(store, SqliteStore)
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        for _ in range(COUNT):
            store.append([NewMessage(ALICE, BOB, make_id(), LONG)])
        assert found(store) == COUNT
        before = folded(store)
        store._fold.request()
        while store._tail.count:
            assert store.housekeeping.step(Keep())
            assert folded(store) - before <= 6
            assert found(store) == COUNT
            before = folded(store)
        assert before == folded(store) == COUNT


def test_a_step_of_folding_takes_one_large_commit(tmp_path: Path) -> None:
    """So are the parts of one commit: none is larger than a chunk."""
    with contextlib.closing(SqliteFactory().open(tmp_path)) as store:
        assert isinstance(store, SqliteStore)
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        store.append([NewMessage(ALICE, BOB, make_id(), LONG) for _ in range(COUNT)])
        steps = 0
        store._fold.request()
        before = 0
        while folded(store) < COUNT:
            assert store.housekeeping.step(Keep())
            assert folded(store) - before <= 6
            before = folded(store)
            steps += 1
        assert steps >= COUNT // 6


def test_a_step_of_pruning_removes_few_long_messages(store: SqliteStore) -> None:
    """So does a step of pruning."""
    assert store.housekeeping.step(Keep(messages=10))
    assert COUNT - 4 <= len(rows_of(store, PAIR)) < COUNT
    for _ in range(2):
        while store.housekeeping.step(Keep(messages=10)):
            pass
    assert len(rows_of(store, PAIR)) == 10


def test_a_step_of_erasing_takes_few_long_messages(store: SqliteStore) -> None:
    """So does a step of erasing."""
    store.delete_account("alice")
    before = texts(store)
    while store.housekeeping.erase_step(ALICE):
        assert before - texts(store) <= 4
        before = texts(store)
    assert texts(store) == 0
