"""Damage to the messages of a closed or running SQLite store, for tests."""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from qscpd.store.sqlite.chunks import CHECKSUM, seal

__all__ = [
    "CONTENT_DAMAGE",
    "chunk_places",
    "corrupt_overflow",
    "damage_chunk",
    "damaged_by",
    "delete_chunk",
    "divide_chunks",
]

_Entries = list[list[Any]]


def _with(index: int, value: object) -> Callable[[_Entries], object]:
    """Return a function that sets a field of the last entry."""

    def change(entries: _Entries) -> object:
        entries[-1][index:] = [value, *entries[-1][index + 1 :]]
        return entries

    return change


def _with_meta(**fields: object) -> Callable[[_Entries], object]:
    def change(entries: _Entries) -> object:
        entries[-1][4:] = [fields]
        return entries

    return change


_SHAPES: Final[Mapping[str, Callable[[_Entries], object]]] = {
    "a map": lambda entries: {"messages": len(entries)},
    "no entries": lambda _: [],
    "too few entries": lambda entries: entries[:-1],
    "too many entries": lambda entries: entries * 20,  # more than the places of missing rows beside it
    "entries of another shape": lambda entries: [each[:2] for each in entries],
    "a field too many": lambda entries: [[*each[:4], {}, 1] for each in entries],
    "a time below zero": _with(0, -1),
    "a time beyond JSON": _with(0, 2**60),
    "a time that is text": _with(0, "noon"),
    "a sender of zero": _with(1, 0),
    "an unknown sender": _with(1, 4_000_000),
    "a short id": _with(2, "abc"),
    "an id with blanks": _with(2, " " * 32),
    "an id that is not hexadecimal": _with(2, "g" * 32),
    "an id in other digits": _with(2, "٣" * 32),
    "a text too long": _with(3, "x" * 20_000),
    "a text too long in bytes": _with(3, "\U0001f600" * 16_000),
    "a text that is a number": _with(3, 7),
    "an amendment of itself": _with_meta(k="edit", t=10**9),
    "an amendment of nothing": _with_meta(k="react"),
    "an unknown kind": _with_meta(k="bake", t=1),
    "an answer to the future": _with_meta(r=10**9),
    "a target without a kind": _with_meta(t=1),
    "a number below zero": _with_meta(n=-1),
    "a reaction of nobody": _with_meta(a={"+1": [0]}),
    "a reaction of a stranger": _with_meta(a={"+1": [4_000_000]}),
}

_BYTES: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "an empty blob": lambda _: b"",
    "noise": lambda blob: bytes(255 - each for each in blob),
    "cut in the middle": lambda blob: blob[: len(blob) // 2],
    "a byte behind the end": lambda blob: blob + b"\x00",
    "text that is not UTF-8": lambda blob: blob.replace(b"word", b"\xff\xfe\xfd\xfc"),
    "very deep": lambda _: b"\x91" * 100_000,
}

CONTENT_DAMAGE: Final = (*_SHAPES, *_BYTES)
"""Kinds of damage to what is in a chunk."""


def damaged_by(kind: str, first: int, last: int) -> list[tuple[int, int]]:
    """Return the ranges that the store reports after damage to a chunk from one seq to another."""
    if kind == "too many entries":
        return []  # those of its own are as they were
    if kind in _BYTES or kind in {"a map", "no entries"}:
        return [(first, last)]
    if kind in {"entries of another shape", "a field too many"}:
        return [(seq, seq) for seq in range(first, last + 1)]
    return [(last, last)]


def chunk_places(path: Path, conversation: int) -> list[tuple[int, int, int]]:
    """Return place, first and last seq of the chunks of a conversation, all undamaged."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT place, messages FROM chunks WHERE place >> 32 = ? ORDER BY place", (conversation,)
        ).fetchall()
    return [
        (place, first := place & 0xFFFFFFFF, first + len(msgspec.msgpack.decode(blob[:-CHECKSUM])) - 1)
        for place, blob in rows
    ]


def damage_chunk(path: Path, place: int, kind: str) -> None:
    """Damage the content of a chunk; kind is one of `CONTENT_DAMAGE`.

    What has another shape gets a checksum that fits, as if the damage had been there when it was written.
    """
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        (blob,) = db.execute("SELECT messages FROM chunks WHERE place = ?", (place,)).fetchone()
        if kind in _BYTES:
            new = _BYTES[kind](blob)
        else:
            shaped = msgspec.msgpack.encode(_SHAPES[kind](msgspec.msgpack.decode(blob[:-CHECKSUM])))
            new = seal(place, shaped)
        assert new != blob
        db.execute("UPDATE chunks SET messages = ? WHERE place = ?", (new, place))


def divide_chunks(path: Path) -> None:
    """Give each message of a closed store a chunk of its own, as if each had been folded alone."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for place, blob in db.execute("SELECT place, messages FROM chunks").fetchall():
            for number, entry in enumerate(msgspec.msgpack.decode(blob[:-CHECKSUM]), place):
                single = seal(number, msgspec.msgpack.encode([entry]))
                db.execute("REPLACE INTO chunks VALUES (?, ?)", (number, single))


def delete_chunk(path: Path, place: int) -> None:
    """Delete the row of a chunk."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM chunks WHERE place = ?", (place,))


def corrupt_overflow(path: Path, text: bytes) -> None:
    """Damage the page of a closed store that has nothing but a long text, as overflow pages do."""
    content = bytearray(path.read_bytes())
    size = 4096
    for start in range(0, len(content), size):
        if content[start + 4 : start + size] == (text * size)[: size - 4]:
            content[start : start + 4] = b"\xff\xff\xff\xff"  # the number of the next page
            path.write_bytes(content)
            return
    raise AssertionError("no page has only that text")
