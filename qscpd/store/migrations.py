"""The SQLite schema, as a list of steps that only ever grows at its end.

A step that has been released is never edited: `PRAGMA user_version` counts how many of
them a file has seen, and a file from a newer version than ours is refused.
"""

import sqlite3
from typing import Final

from qscpd.errors import StoreDamagedError

__all__ = ["APPLICATION_ID", "MIGRATIONS", "migrate"]

APPLICATION_ID: Final = 0x51534350
"""`PRAGMA application_id` of our files: "QSCP"."""

MIGRATIONS: Final[tuple[str, ...]] = (
    # 1: accounts, pairs of people, messages.
    #
    # Messages of one conversation that were committed together are one row, a *chunk*:
    # SQLite's cost is per row, not per byte, and with one row a message it would be most of
    # what the daemon does (docs/performance.md). chunks.id is the order of the commits.
    """
    CREATE TABLE accounts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'locked', 'deleted')),
        password_hash TEXT NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX account_names ON accounts (name) WHERE state <> 'deleted';
    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        low INTEGER NOT NULL REFERENCES accounts (id),
        high INTEGER NOT NULL REFERENCES accounts (id),
        last_seq INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        UNIQUE (low, high),
        CHECK (low < high)
    ) STRICT;
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        last_seq INTEGER NOT NULL,
        messages BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX chunk_positions ON chunks (conversation, last_seq);
    """,
)


def migrate(db: sqlite3.Connection, path: str) -> None:
    """Bring a database to the newest schema, in one transaction.

    Raises:
        StoreDamagedError: The file belongs to another program or to a newer version.
        sqlite3.Error: The file can't be read or written; it is as it was.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    owner: int = db.execute("PRAGMA application_id").fetchone()[0]
    tables: int = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreDamagedError(f"{path}: this is a database of another program; name another file")
    if version > len(MIGRATIONS):
        raise StoreDamagedError(
            f"{path}: made by a newer qscpd (schema {version}, this one knows {len(MIGRATIONS)}); "
            "install that version or restore an older backup"
        )
    if version == len(MIGRATIONS):
        return
    steps = "".join(MIGRATIONS[version:])
    try:
        db.executescript(
            f"BEGIN EXCLUSIVE; {steps}"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;"
        )
    except sqlite3.Error:
        if db.in_transaction:
            db.rollback()
        raise
