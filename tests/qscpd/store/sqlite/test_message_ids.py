"""The table of message ids: how a refusal is kept in it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscp.errors import ErrorCode
from qscpd.domain.model import NewMessage, Refused, RefusedMessage
from qscpd.store.sqlite.message_ids import UsedId
from qscpd.store.sqlite.store import SqliteStore
from tests.support.stores import clock_of

SENT = NewMessage(1, 2, f"{1:032x}", "hello")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with alice and bob."""
    with contextlib.closing(SqliteStore(tmp_path / "qscpd.db", clock=clock_of(lambda: 1000))) as opened:
        for name in ("alice", "bob"):
            opened.add_account(name, "hash")
        yield opened


def test_a_refusal_is_a_row_without_a_conversation(store: SqliteStore) -> None:
    """A refusal is kept as its code, in conversation 0 at seq 0, with its time."""
    refused = RefusedMessage(1, 0, SENT.id, "hello", code=ErrorCode.UNKNOWN_RECIPIENT, to="zoe")
    assert store.append([refused])[0] == [Refused(ErrorCode.UNKNOWN_RECIPIENT)]
    rows = store._db.read("SELECT * FROM sent_ids")
    assert rows == [(1, bytes.fromhex(SENT.id), b"unknown_recipient", 0, 0, 1000)]


@pytest.mark.parametrize("key", [b"of_a_newer_version", b"\xff\xfe", b""])
def test_an_unknown_code_is_a_refusal(store: SqliteStore, key: bytes) -> None:
    """A refusal with the code of a newer version is one for good, as before the downgrade."""
    with store._db.transaction() as db:
        db.execute("INSERT INTO sent_ids VALUES (1, ?, ?, 0, 0, 1000)", (bytes.fromhex(SENT.id), key))
    assert store.append([SENT])[0] == list(store.known([SENT])) == [Refused(ErrorCode.ID_CONFLICT)]


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_is_kept(code: ErrorCode) -> None:
    """What is kept of a refusal gives the refusal."""
    assert UsedId.by_refusal(code, 1000).refusal == Refused(code)
    assert UsedId(b"\0" * 8, 1, 1, 1000).refusal is None
