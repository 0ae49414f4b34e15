"""Steps of housekeeping in SQLite are bounded by the size of messages, not only by their number."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.domain.model import Keep, MessageMeta, NewMessage, StoredMessage
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import SqliteFactory, rows_of

ALICE, BOB = 1, 2

PAIR = 1
"""The conversation of alice and bob."""

COUNT = 200


make_id = IdMaker()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with many long messages of alice, none of which is indexed."""
    with contextlib.closing(SqliteFactory().open(tmp_path)) as opened:
        assert isinstance(opened, SqliteStore)
        for name in ("alice", "bob"):
            opened.add_account(name, "x")
        for _ in range(0, COUNT, 50):
            opened.append([NewMessage(ALICE, BOB, make_id(), "word ".ljust(16_000, "y")) for _ in range(50)])
        yield opened


def found(store: SqliteStore) -> int:
    """Return the number of messages that a search finds."""
    return len(search_page(store, BOB, ["word"], conversation=PAIR, limit=1000).found)


def texts(store: SqliteStore) -> int:
    """Return the number of messages with a text."""
    return sum(row.body is not None for row in rows_of(store, PAIR))


def test_a_step_of_the_search_index_takes_few_long_messages(store: SqliteStore) -> None:
    """A message of 16 KB can cost the search index 3 ms: a step takes some at most, and comes further."""
    assert store._housekeeping._index.step()
    assert 1 <= found(store) <= 4
    while store.housekeeping.step(Keep()):
        pass
    assert found(store) == COUNT


def test_a_step_of_pruning_removes_few_long_messages(store: SqliteStore) -> None:
    """So does a step of pruning."""
    while store.housekeeping.step(Keep()):
        pass
    assert store.housekeeping.step(Keep(messages=10))
    assert COUNT - 4 <= len(rows_of(store, PAIR)) < COUNT
    for _ in range(2):
        while store.housekeeping.step(Keep(messages=10)):
            pass
    assert len(rows_of(store, PAIR)) == 10


def test_a_step_of_erasing_takes_few_long_messages(store: SqliteStore) -> None:
    """So does a step of erasing."""
    while store.housekeeping.step(Keep()):
        pass
    store.delete_account("alice")
    before = texts(store)
    while store.housekeeping.erase_step(ALICE):
        assert before - texts(store) <= 4
        before = texts(store)
    assert texts(store) == 0


def test_ids_of_a_burst_are_indexed_by_several_transactions(store: SqliteStore) -> None:
    """What needs the ids of a burst comes further in each transaction, and is then done once."""
    reaction = NewMessage(BOB, ALICE, make_id(), "+1", MessageMeta(kind="react", target=1))
    turns = 0
    while not (outcomes := store.append([reaction], deadline_s=0.0)[0]):
        turns += 1
    assert turns > 3
    (outcome,) = outcomes
    assert isinstance(outcome, StoredMessage)
    assert (outcome.seq, outcome.new, outcome.count) == (COUNT + 1, True, 1)
