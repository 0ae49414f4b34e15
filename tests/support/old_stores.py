"""Stores of older schemas: their fixtures, and what is in a file, read with SQL."""

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.legacy_chunks import scopes

__all__ = ["FIXTURES", "Stored", "dump", "expected", "fixture", "make_old", "query", "read_stored", "version"]

_FOLDER: Final = Path(__file__).parents[1] / "qscpd/store/sqlite"

FIXTURES: Final = ("schema1", "schema2", "schema3", "schema3_with_pair", "schema4", "schema5")
"""One of each schema that was ever in use, at least."""


class Stored(NamedTuple):
    """Messages of a file."""

    chunks: Sequence[tuple[int, int, int, int]]
    """Conversation, first seq, number of messages and bytes of each."""
    rows: Mapping[str, Sequence[Any]]
    """Messages of each conversation as JSON has them."""


def fixture(name: str) -> Path:
    """Return the SQL of a store of an old schema."""
    return _FOLDER / f"{name}.sql"


def expected(name: str) -> Any:  # noqa: ANN401 - JSON
    """Return what the program that made a fixture read of it."""
    return msgspec.json.decode(fixture(name).with_suffix(".json").read_bytes())


def make_old(path: Path, name: str) -> Path:
    """Create a store from a fixture; return its path."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(fixture(name).read_text())
    path.chmod(0o600)
    return path


def version(path: Path) -> int:
    """Return the schema number of a file."""
    found: int = query(path, "PRAGMA user_version")[0][0]
    return found


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def dump(path: Path) -> list[str]:
    """Return everything in a file, as SQL; of the newest schema all but the search index."""
    with contextlib.ExitStack() as stack:
        db = stack.enter_context(contextlib.closing(sqlite3.connect(path)))
        copy = stack.enter_context(contextlib.closing(sqlite3.connect(":memory:")))
        db.backup(copy)
        if copy.execute("SELECT 1 FROM sqlite_schema WHERE sql LIKE '%columnsize=0%'").fetchone():
            copy.execute("DROP TABLE words")  # can't be scanned
        return list(copy.iterdump())


def read_stored(path: Path) -> Stored:
    """Return all messages of a file of the newest schema, in the order of their places; check each chunk."""
    found: list[tuple[int, int, int, int]] = []
    rows: dict[str, list[Any]] = {}
    with contextlib.closing(sqlite3.connect(path)) as db:
        for scope in scopes(db):
            of_conversation = rows.setdefault(str(scope.conversation), [])
            low, high = (chunks.place_of(scope.conversation + each, 0) for each in (0, 1))
            sql = "SELECT place, messages FROM chunks WHERE place BETWEEN ? AND ? ORDER BY place"
            for place, blob in db.execute(sql, (low, high)):
                first, packed = place - low, chunks.unseal(place, blob)
                messages = chunks.rows(first, packed, scope.writers)
                found.append((scope.conversation, first, len(messages), len(packed)))
                of_conversation += msgspec.json.decode(msgspec.json.encode(messages))
    return Stored(found, rows)
