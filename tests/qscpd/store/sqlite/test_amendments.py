"""Amendments in SQLite: how often a chunk is written."""

import contextlib
from pathlib import Path

from qscpd.domain.model import MessageMeta, NewMessage, StoredMessage
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.stores import rows_of

ALICE, BOB = 1, 2

make_id = IdMaker()


def react(target: int) -> NewMessage:
    """Make a reaction."""
    return NewMessage(BOB, ALICE, make_id(), "+1", MessageMeta(kind="react", target=target))


def test_a_burst_of_amendments_writes_a_chunk_once(tmp_path: Path) -> None:
    """All reactions of one commit to messages of one chunk rewrite that chunk once."""
    with contextlib.closing(SqliteStore(tmp_path / "q.db")) as store:
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        store.append([NewMessage(ALICE, BOB, make_id(), f"{n}") for n in range(50)])
        ran: list[str] = []
        store._db.connection.set_trace_callback(ran.append)
        outcomes, _ = store.append([react(target) for target in range(1, 51)])
        store._db.connection.set_trace_callback(None)
        assert all(isinstance(each, StoredMessage) for each in outcomes)
        assert len([sql for sql in ran if sql.startswith("UPDATE chunks")]) == 1
        rows = rows_of(store, 1)[:50]
        assert all(row.meta.reactions == {"+1": (BOB,)} for row in rows)
