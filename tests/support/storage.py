"""Read a store's file with nothing but SQLite and msgpack."""

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

import msgspec

__all__ = ["Row", "stored_messages"]


class Row(NamedTuple):
    """A stored message."""

    conversation: int
    seq: int
    sender: str
    id: str
    body: str | None
    """None if it was erased."""
    time_ms: int


def stored_messages(path: Path) -> list[Row]:
    """Return every message, by conversation and seq; the store can be in use."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        names = dict(db.execute("SELECT id, name FROM accounts").fetchall())
        chunks = db.execute(
            "SELECT conversation, last_seq, messages FROM chunks ORDER BY conversation, last_seq"
        ).fetchall()
    rows = []
    for conversation, last_seq, packed in chunks:
        messages = msgspec.msgpack.decode(packed, type=list[tuple[int, int, str, str | None]])
        for seq, (time_ms, sender, message_id, body) in enumerate(messages, last_seq - len(messages) + 1):
            rows.append(Row(conversation, seq, names[sender], message_id, body, time_ms))
    return rows
