"""Comparison of a file's schema with ours: it has no foreign trigger, view or table."""

import contextlib
import re
import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from qscpd.store.sqlite.migrations import MIGRATIONS

_STATISTICS: Final = re.compile(r"sqlite_stat[1-4]")
"""Tables that ANALYZE makes: harmless, and an operator can have run it."""

_PLAIN: Final = re.compile(
    r"(createtable|create(unique)?index|createvirtualtablewordsusingfts5|$)", re.IGNORECASE
)
"""Beginnings of the SQL of tables and indexes, as of `_objects`; an index that SQLite makes has none."""

_SHOWN: Final = 5
"""Differences that are named."""


def foreign_objects(db: sqlite3.Connection) -> str:
    """Return what of a schema is not as qscpd makes it, for the operator; empty if all is.

    That of a newer version is not known; it may have other tables and indexes.

    Args:
        db: The database.
    """
    found = _objects(db)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        strange = [
            f"the {kind} {name} is unknown"
            for (kind, name), sql in found.items()
            if kind not in ("table", "index") or not _PLAIN.match(sql)
        ]
    else:
        ours = _schema_of(version)
        strange = [
            f"the {kind} {name} is {'another one' if (kind, name) in ours else 'unknown'}"
            for (kind, name), sql in found.items()
            if ours.get((kind, name)) != sql and not _STATISTICS.fullmatch(name)
        ]
        strange += [f"the {kind} {name} is missing" for kind, name in ours.keys() - found.keys()]
    more = f", and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
    return ", ".join(strange[:_SHOWN]) + more


@lru_cache
def _schema_of(version: int) -> Mapping[tuple[str, str], str]:
    """Return the schema of a version of ours."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript("".join(MIGRATIONS[:version]))
        return _objects(db)


def _objects(db: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Return the SQL of each object by kind and name, without spaces and quotes: SQLite's versions differ."""
    rows = db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_schema")
    return {(kind, name): re.sub(r"[\s\"'`]+", "", sql) for kind, name, sql in rows}
