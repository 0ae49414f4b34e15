"""Opening an SQLite file: permissions, its journal, its schema, and the settings of a connection."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from qscpd.errors import PermissionDeniedError, StoreError
from qscpd.store.damage import OnDamage
from qscpd.store.sqlite.access import check_journal_can_be_made, check_readable, check_writable
from qscpd.store.sqlite.creation import create_store
from qscpd.store.sqlite.disk_space import NO_SPACE, lacks_space
from qscpd.store.sqlite.faults import READ_ERRORS, code_of, damaged, explain, no_room
from qscpd.store.sqlite.marker import remove_marker
from qscpd.store.sqlite.migrations import (
    MIGRATIONS,
    Migration,
    check_schema,
    part_path,
    refuse_empty,
    schema_of,
)
from qscpd.store.sqlite.place import check_journal_is_free
from qscpd.store.sqlite.recovery import check_journal, forget_index, refuse_without_journal
from qscpd.store.sqlite.rewriting import Rewriting, remove_left_over
from qscpd.store.sqlite.uri import file_uri
from qscpd.store.sqlite.wal import wal_path
from qscpd.store.upgrade import OnUpgrade

_CHECKED_SIZE: Final = 64 * 1024 * 1024
"""Files up to this many bytes are checked for damage when they are opened (0.2 s at most)."""

_MOST_FAULTS: Final = 100
"""Faults that a check returns at most: those of tables come before those of the search index."""

_READER_CACHE_KIB: Final = 1024
"""Page cache of a reading connection, of which the daemon has a few."""

_PATIENCE_S: Final = 5.0
"""Time to wait for a program that has locked the file."""

_OPENING: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""Errors of opening a store that can mean a full disk: the files beside it can't be made, either."""


class Opened(NamedTuple):
    """A store that is open for writing."""

    db: sqlite3.Connection
    lost: str | None
    """What was lost with its journal."""
    migration: Migration | None


def open_to_write(path: Path, on_damage: OnDamage, on_upgrade: OnUpgrade) -> Opened:
    """Open a store for writing, with the newest schema.

    Args:
        path: The file, its symbolic links resolved; it is made when it does not exist.
        on_damage: Called with each damaged place that an upgrade reads.
        on_upgrade: Called about every second of an upgrade.
    """
    db = None
    lost = migration = None
    try:
        check_writable(path)
        # SQLite would make the file with the umask's mode, and copies that mode to -wal and -shm.
        create_store(path)
        refuse_empty(path.stat().st_size, str(path))
        check_journal_is_free(path)
        remove_left_over(path)
        lost = check_journal(path)
        db = _connect(path)
        schema = schema_of(db, str(path))
        refuse_empty(schema, str(path))  # nothing is changed in a file that is not ours
        if lost is None:
            forget_index(path)
        if schema < len(MIGRATIONS):
            _check(db, path, always=lost is not None)
            migration = Rewriting(path, schema, on_damage, on_upgrade).run(db, lost=lost is not None)
            db = _connect(path)
        else:
            part_path(path).unlink(missing_ok=True)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_mode = WAL")
        # Erased and pruned text must be gone from the file, too. That costs housekeeping 3 % of its
        # time, and delivery nothing, for it deletes nothing.
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA foreign_keys = ON")
        _check(db, path, always=lost is not None)
    except BaseException as error:
        if db is not None:
            if lost is None:
                note_clean_end(db)
            db.close()
        explained = _explain_opening(error, path)
        if lost is not None and isinstance(explained, StoreError):
            explained = type(explained)(f"{explained}. {lost}")
        raise explained from error
    return Opened(db, lost, migration)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE_S)


def note_clean_end(db: sqlite3.Connection) -> None:
    """Remove the marker of the run, before SQLite moves the journal into the file and deletes it."""
    with contextlib.suppress(*READ_ERRORS):
        try:
            remove_marker(db)
        except sqlite3.OperationalError:
            # On a full disk, the journal still has the room from its beginning.
            db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            remove_marker(db)


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a store for reading."""
    db = None
    try:
        check_readable(path)
        path.stat()
        refuse_without_journal(path)
        db = sqlite3.connect(
            file_uri(path, "mode=ro"),
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=_PATIENCE_S,
        )
        db.execute("PRAGMA query_only = ON")
        db.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
        check_schema(db, str(path))
    except BaseException as error:
        if db is not None:
            db.close()
        if isinstance(error, sqlite3.OperationalError):
            check_journal_can_be_made(path)
        raise _explain_opening(error, path) from error
    return db


def open_in_memory(schema: str) -> sqlite3.Connection:
    """Return an empty database in memory.

    Args:
        schema: Statements that create its tables.
    """
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    db.executescript(schema)
    return db


def _explain_opening(error: BaseException, path: Path) -> BaseException:
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{path}: this user has no permission to read and write it")
    if isinstance(error, OSError):
        return no_room(path) if error.errno in NO_SPACE else StoreError(f"{path}: {error.strerror}")
    if isinstance(error, READ_ERRORS):
        code = code_of(error)
        # Nothing was promised yet, so any failure on a full disk can be tried again.
        if code is not None and code & 0xFF in _OPENING and lacks_space(wal_path(path)):
            return no_room(path)
        return explain(error, path, rolled_back=True)
    return error


def _check(db: sqlite3.Connection, path: Path, *, always: bool) -> None:
    if always or path.stat().st_size <= _CHECKED_SIZE:
        faults = _quick_check(db, _MOST_FAULTS)
        if faults:
            # SQLite 3.44 and later check the search index, too: without that, all but searching works.
            of_index = _quick_check(db, "'words'")
            faults = [fault for fault in faults if fault not in of_index]
        if faults:
            raise damaged(path, faults[0])


def _quick_check(db: sqlite3.Connection, what: str | int) -> list[str]:
    rows = [row.splitlines()[-1] for (row,) in db.execute(f"PRAGMA quick_check({what})")]
    return [row for row in rows if row != "ok"]
