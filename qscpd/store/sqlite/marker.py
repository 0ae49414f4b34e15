"""The marker of a run: a row in the database file that says that the newest commits are in its journal."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from qscpd.store.clock import boot_id
from qscpd.store.sqlite.faults import READ_ERRORS
from qscpd.store.sqlite.uri import file_uri
from qscpd.store.sqlite.wal import WalHeader, read_header

_KEY: Final = "running"

_ROUNDS: Final = 1 << 24
"""Rounds through the journal that one run never gets to: 64 TB at 4 MB each."""

_ALL_ROUNDS: Final = 1 << 32


class Marker(NamedTuple):
    """What a run notes in the database file while it has a journal."""

    boot: str
    """Id of the boot of the system; empty: unknown."""
    round: int | None
    """Round of the journal when the marker was set; None: it had no header yet."""

    def precedes(self, header: WalHeader) -> bool:
        """Return whether a journal is in the round of the marker, or in a later one of the same run."""
        return self.round is not None and (header.round - self.round) % _ALL_ROUNDS < _ROUNDS

    def follows(self, header: WalHeader) -> bool:
        """Return whether a journal is in an earlier round than the marker."""
        return self.round is not None and 0 < (self.round - header.round) % _ALL_ROUNDS < _ROUNDS

    def encode(self) -> str:
        """Return the value in the table `meta`."""
        return f"{self.boot} {'' if self.round is None else f'{self.round:08x}'}"


def _decode(value: str) -> Marker:
    boot, _, round_ = value.partition(" ")
    try:
        return Marker(boot, int(round_, 16))
    except ValueError:
        return Marker(boot, None)


def new_marker(store: Path) -> Marker:
    """Return the marker of this run.

    Raises:
        OSError: The journal can't be read.
    """
    header = read_header(store)
    return Marker(boot_id(), header.round if header else None)


def put_marker(db: sqlite3.Connection, marker: Marker) -> None:
    """Set the marker, in the running transaction."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEY, marker.encode()))


def remove_marker(db: sqlite3.Connection) -> None:
    """Remove the marker, in the running transaction or one of its own; the oldest schema has none."""
    if db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").fetchone()[0]:
        db.execute("DELETE FROM meta WHERE key = ?", (_KEY,))


def read_marker(store: Path, *, journal: bool) -> Marker | None:
    """Return the marker of a store that is not open; None if there is none.

    In a file that a crash left half-way through a checkpoint, it can be that of an earlier run.

    Args:
        store: The file, its symbolic links resolved.
        journal: Whether to read what is in the journal, too.
    """
    value = read_meta(store, _KEY, journal=journal)
    return None if value is None else _decode(value)


def read_meta(store: Path, key: str, *, journal: bool) -> str | None:
    """Return a value of the table `meta` of a store that is not open; None if it can't be read.

    Args:
        store: The file, its symbolic links resolved.
        key: Key of the value.
        journal: Whether to read what is in the journal, too.
    """
    uri = file_uri(store, "mode=ro" if journal else "immutable=1")
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    except READ_ERRORS:
        return None  # of the oldest schema, or damaged: opening it finds that
    return str(row[0]) if row else None
