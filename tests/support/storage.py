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
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as db:
        db.execute("BEGIN")
        names = dict(db.execute("SELECT id, name FROM accounts").fetchall())
        chunks = db.execute("SELECT place, messages FROM chunks ORDER BY place").fetchall()
        batches = db.execute("SELECT batch FROM journal ORDER BY id").fetchall()
    packed = [(place >> 32, place & 0xFFFFFFFF, blob[:-4]) for place, blob in chunks]
    for (batch,) in batches:
        packed += [(part[0], part[1], part[4]) for part in msgspec.msgpack.decode(batch[:-4])]
    rows: dict[tuple[int, int], Row] = {}
    for conversation, first_seq, blob in packed:
        messages = msgspec.msgpack.decode(blob, type=list[tuple[int, int, str, str | None]])
        for seq, (time_ms, sender, message_id, body) in enumerate(messages, first_seq):
            row = Row(conversation, seq, names[sender], message_id, body, time_ms)
            # What a crash in the middle of a fold leaves twice is the same.
            assert rows.setdefault((conversation, seq), row) == row
    return [rows[place] for place in sorted(rows)]
