"""Counting unread messages: what is looked at for a list of conversations."""

import contextlib
from pathlib import Path

import pytest

from qscpd.domain.model import Mark, MessageRow, NewMessage, PositionKind
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker

ALICE = 1


def test_nothing_that_is_read_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten conversations, one with unread messages, only the chunks behind its position are decoded."""
    make_id = IdMaker()
    path = tmp_path / "qscpd.db"
    with contextlib.closing(SqliteStore(path)) as store:
        peers = [store.add_account(name, "x").id for name in ("alice", *(f"u{n}" for n in range(10)))][1:]
        for _ in range(4):
            store.append([NewMessage(peer, ALICE, make_id(), "text") for peer in peers])
        read = [Mark(ALICE, n + 1, PositionKind.READ, 2 if n == 3 else 4) for n in range(10)]
        store.append([], read)
        decoded: list[int] = []
        decode = chunks.rows

        def counted(first_seq: int, packed: bytes, writers: chunks.Writers) -> list[MessageRow]:
            decoded.append(first_seq)
            return decode(first_seq, packed, writers)

        monkeypatch.setattr(chunks, "rows", counted)
        with contextlib.closing(SqliteReader(path)) as reader:
            listed = reader.conversation_list(ALICE, 0, 100).conversations
        monkeypatch.undo()
    assert [each.unread for each in listed] == [2 if n == 3 else 0 for n in range(10)]
    assert decoded == [3, 4]
