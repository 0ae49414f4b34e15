"""SQLite's errors as ours: damage, a full disk, a lock; without the text that was read."""

import sqlite3
from pathlib import Path
from typing import Final

from qscpd.errors import StoreBusyError, StoreDamagedError, StoreError, StoreFullError
from qscpd.store.sqlite.disk_space import lacks_space
from qscpd.store.sqlite.wal import wal_path

READ_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file can raise: the module also decodes SQLite's messages, which quote names."""

_NO_ERRNO: Final = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMOPEN})
"""Errors that can mean a full disk, and whose outcome is known: nothing was committed before the write.

`SQLITE_IOERR_FSYNC` is not among them: after a failed flush nobody knows what the disk has.
"""


def is_undecodable(error: BaseException) -> bool:
    """Return whether a text was not UTF-8, which only damage leaves."""
    return isinstance(error, UnicodeDecodeError) or (
        isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", None) is None
    )


def describe(error: BaseException) -> str:
    """Return SQLite's words; those of the module would have the text that it could not decode."""
    return "text that is not UTF-8" if is_undecodable(error) else str(error)


def code_of(error: BaseException) -> int | None:
    """SQLite's extended code of an error."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code


def damaged(path: Path, what: str) -> StoreDamagedError:
    """Return the error of a damaged store."""
    return StoreDamagedError(f"{path}: the store is damaged ({what}); restore it from a backup")


def is_damage(error: BaseException) -> bool:
    """Return whether an error means that the file is damaged, not that it can't be read now."""
    code = code_of(error)
    primary = code & 0xFF if code is not None else None
    # Without an extended code, a constraint is one of FTS5's own tables, which only damage violates.
    return (
        primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        or code == sqlite3.SQLITE_CONSTRAINT
        or is_undecodable(error)
    )


def explain(error: sqlite3.Error | UnicodeDecodeError, path: Path, *, rolled_back: bool) -> StoreError:
    """Turn SQLite's error into ours."""
    code = code_of(error)
    primary = code & 0xFF if code is not None else None
    if rolled_back and is_damage(error):
        return damaged(path, describe(error))
    if rolled_back and (
        primary == sqlite3.SQLITE_FULL
        or code == sqlite3.SQLITE_IOERR_SHMSIZE  # no room for the index of the WAL, which is a file, too
        or (code in _NO_ERRNO and lacks_space(wal_path(path)))
    ):
        return no_room(path)
    if rolled_back and primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(f"{path}: locked by another program")
    return StoreError(f"{path}: {describe(error)}")


def no_room(path: Path) -> StoreFullError:
    """Return the error of a full disk or quota."""
    return StoreFullError(f"{path}: no room on the disk, or in its quota; free some, then try again")
