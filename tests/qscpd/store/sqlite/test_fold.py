"""Folding, cut off between any two of its statements: nothing acknowledged is lost, doubled or changed.

A process is killed at one SQL statement after the other, so between each two steps of a fold and inside the
transactions of each. Meanwhile messages and amendments come. Their targets are in an old chunk, in one that
was just folded while its row of the journal is still there, and in the tail.
"""

import contextlib
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from qscpd.domain.model import MessageRow, Outcome
from qscpd.store.base import Store
from tests.support.killed_fold import ACCOUNTS, CONVERSATIONS, commits, kill_at_statements, open_for_fold
from tests.support.memory import memory_folder
from tests.support.searches import search_page
from tests.support.stores import housekeep, rows_of

SENT: Final = commits()

STRIDE: Final = 11
"""Statements from one kill to the next; with 1, all 860 are tried."""


class State(NamedTuple):
    """All that can be read of a store."""

    rows: Sequence[list[MessageRow]]
    lists: Sequence[Any]
    known: Sequence[Outcome | None]


def state_of(store: Store) -> State:
    """Return what can be read of a store."""
    return State(
        [rows_of(store, each) for each in CONVERSATIONS],
        [store.conversation_list(each, 0, 10) for each in ACCOUNTS],
        store.known([message for commit in SENT for message in commit.messages]),
    )


@pytest.fixture(scope="module")
def states() -> Sequence[State]:
    """What a store that never folds has after each number of commits."""
    with memory_folder() as folder, contextlib.closing(open_for_fold(Path(folder) / "q.db")) as store:
        found = [state_of(store)]
        for commit in SENT:
            store.append(commit.messages, commit.marks)
            found.append(state_of(store))
        assert not store._db.read("SELECT * FROM chunks")
    return found


def check(store: Store, states: Sequence[State], acknowledged: int) -> None:
    """Check that a store has what was acknowledged, and at most one commit more."""
    found = state_of(store)
    assert found in states[acknowledged : acknowledged + 2]
    words: dict[str, list[tuple[int, int]]] = {}
    for conversation, rows in zip(CONVERSATIONS, found.rows, strict=True):
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        for row in rows:
            if row.body and not row.meta.kind:
                words.setdefault(row.body.split()[0], []).append((conversation, row.seq))
    for number in range(100):
        page = search_page(store, 1, [f"word{number}"], limit=10)
        places = [(each.conversation, each.message.seq) for each in page.found]
        assert places == words.get(f"word{number}", [])


def check_index(path: Path, store: Store) -> None:
    """Check that each word of a folded store is in the index once, and no other is."""
    expected = sorted(
        row.body.split()[0]
        for conversation in CONVERSATIONS
        for row in rows_of(store, conversation)
        if row.body and not row.meta.kind
    )
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab (main, words, row)")
        found = db.execute("SELECT term, doc FROM terms WHERE term <> 'often' ORDER BY term").fetchall()
        assert found == [(word, 1) for word in expected]
        assert db.execute("SELECT count(*) FROM journal").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM amendments").fetchone() == (0,)


def test_a_fold_is_killed_at_any_statement(states: Sequence[State]) -> None:
    """Whatever was done of a fold, the next start has every commit once, and completes the fold."""
    kills = 0
    with memory_folder() as folder:
        for killed in kill_at_statements(Path(folder), stride=STRIDE):
            path = killed.folder / "q.db"
            store = open_for_fold(path)
            check(store, states, killed.acknowledged)
            housekeep(store)
            check(store, states, killed.acknowledged)
            store.close()
            store = open_for_fold(path)
            check_index(path, store)
            store.close()
            shutil.rmtree(killed.folder)
            kills += killed.acknowledged < len(SENT)
    assert kills > 50
