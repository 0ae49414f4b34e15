"""Amendments in SQLite: what is written for them, and when."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from qscpd.domain.model import MessageMeta, NewMessage, StoredMessage
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.stores import housekeep, kill, rows_of

ALICE, BOB = 1, 2

make_id = IdMaker()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with fifty messages of alice to bob in a chunk."""
    with contextlib.closing(SqliteStore(tmp_path / "q.db", edit_within_ms=2**40)) as store:
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        store.append([NewMessage(ALICE, BOB, make_id(), f"{n}") for n in range(1, 51)])
        housekeep(store)
        yield store


@contextlib.contextmanager
def statements(store: SqliteStore) -> Iterator[list[str]]:
    """Record the statements that write inside the block."""
    ran: list[str] = []
    store._db.connection.set_trace_callback(ran.append)
    yield ran
    store._db.connection.set_trace_callback(None)
    ran[:] = [
        sql.split("(", maxsplit=1)[0].strip()
        for sql in ran
        if sql.startswith(("INSERT", "REPLACE", "UPDATE"))
    ]


def react(target: int) -> NewMessage:
    """Make a reaction."""
    return NewMessage(BOB, ALICE, make_id(), "+1", MessageMeta(kind="react", target=target))


def amend(kind: Literal["edit", "redact"], target: int, body: str = "") -> NewMessage:
    """Make an amendment by alice."""
    return NewMessage(ALICE, BOB, make_id(), body, MessageMeta(kind=kind, target=target))


def amended(store: SqliteStore) -> list[int]:
    """Return the seqs of the messages with an amendment beside their chunk."""
    return [place & 0xFFFFFFFF for (place,) in store._db.read("SELECT place FROM amendments ORDER BY place")]


def test_a_burst_of_amendments_writes_no_chunk(store: SqliteStore) -> None:
    """All reactions of one commit are one row of the journal, and one beside the chunk for each message."""
    chunks = store._db.read("SELECT * FROM chunks")
    with statements(store) as ran:
        outcomes, _ = store.append([react(target) for target in range(1, 51)])
    assert all(isinstance(each, StoredMessage) for each in outcomes)
    assert ran == ["INSERT INTO journal", *["REPLACE INTO amendments VALUES"] * 50]
    assert store._db.read("SELECT * FROM chunks") == chunks
    assert amended(store) == [*range(1, 51)]
    rows = rows_of(store, 1)[:50]
    assert all(row.meta.reactions == {"+1": (BOB,)} for row in rows)


def test_many_amendments_of_a_message_are_one_row(store: SqliteStore) -> None:
    """However often a message changes in a commit, its row is written once; in all commits there is one."""
    burst = [amend("edit", 7, f"edit {n}") for n in range(20)] + [react(7)]
    for _ in range(2):
        with statements(store) as ran:
            store.append(burst)
            burst = [
                NewMessage(each.sender, each.recipient, make_id(), each.body, each.meta) for each in burst
            ]
        assert ran.count("REPLACE INTO amendments VALUES") == 1
        assert amended(store) == [7]
    assert rows_of(store, 1)[6].body == "edit 19"
    assert rows_of(store, 1)[6].meta.reactions == {"+1": (BOB,)}


def test_an_amendment_of_its_own_commit_has_no_row(store: SqliteStore) -> None:
    """A message that changes in the commit that stores it is stored as it is afterwards."""
    outcomes, _ = store.append(
        [NewMessage(ALICE, BOB, make_id(), "51"), amend("edit", 51, "edited"), react(51), amend("redact", 51)]
    )
    assert all(isinstance(each, StoredMessage) for each in outcomes)
    assert amended(store) == []
    assert b"edited" not in store._db.read("SELECT batch FROM journal")[0][0]
    assert rows_of(store, 1)[50].body is None


def test_folding_writes_each_chunk_with_amendments_once(store: SqliteStore) -> None:
    """What amendments have made of messages is then in their chunk, and beside it no more."""
    for target in range(1, 51):
        store.append([react(target)])
    before = rows_of(store, 1)
    with statements(store) as ran:
        housekeep(store)
    assert (
        len([sql for sql in ran if sql.startswith("REPLACE INTO chunks")]) == 2
    )  # the new messages, then all
    assert amended(store) == []
    assert rows_of(store, 1) == before


def test_amendments_of_what_is_not_folded(store: SqliteStore, tmp_path: Path) -> None:
    """A change of a message in the journal is beside it, too, also after a crash, and until it is folded."""
    store.append([NewMessage(ALICE, BOB, make_id(), "51")])
    store.append([amend("edit", 51, "edited"), react(51)])
    store.append([amend("redact", 50)])
    assert amended(store) == [50, 51]
    before = rows_of(store, 1)
    assert [row.body for row in before[49:51]] == [None, "edited"]
    kill(store)
    with contextlib.closing(SqliteStore(tmp_path / "q.db")) as again:
        assert rows_of(again, 1) == before
        housekeep(again)
        assert amended(again) == []
        assert rows_of(again, 1) == before
