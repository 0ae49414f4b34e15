"""An open SQLite file: WAL, `synchronous=FULL`, one writer, and our errors instead of SQLite's.

FULL makes COMMIT return only after the WAL was flushed to the disk
(https://sqlite.org/pragma.html#pragma_synchronous); with NORMAL a power cut loses
the last commits although they were acknowledged.
"""

import os
import secrets
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from qscpd.errors import PermissionDeniedError, StoreBusyError, StoreDamagedError, StoreError, StoreFullError
from qscpd.store.sqlite.migrations import check_schema, migrate, schema_of

__all__ = ["Database"]

_CHECKED_SIZE: Final = 64 * 1024 * 1024
"""Files up to this many bytes are checked for damage when they are opened (0.2 s at most)."""

_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24

Row = tuple[Any, ...]


class Database:
    """The connection, its transactions and its errors; the parts of `SqliteStore` build on it.

    Args:
        path: The file; it is made when it does not exist, readable by its owner only.
        clock_ms: Milliseconds since 1970-01-01 UTC.
        read_only: Only look, at the state that it has now, also while another process writes.

    Raises:
        StoreError: The file can't be opened, is damaged, or is no store of ours.
        PermissionDeniedError: This user may not read and write it.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        read_only: bool = False,
    ) -> None:
        self._path = path
        self._clock_ms = clock_ms
        self._db = _open_to_read(path) if read_only else _open(path)

    def close(self) -> None:
        """Close the file; a WAL that is not needed any more is removed."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """COMMIT at the end, ROLLBACK on any exception, and our errors instead of SQLite's."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            self._forget()
            rolled_back = self._roll_back()
            if _code(error) == sqlite3.SQLITE_IOERR_SHMSIZE:
                rolled_back = rolled_back and _cut_wal(self._path)
            if isinstance(error, sqlite3.Error):
                raise _explain(error, self._path, rolled_back=rolled_back) from error
            raise

    def _forget(self) -> None:
        """Drop whatever was cached of the file: a transaction did not happen."""

    def _roll_back(self) -> bool:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return not self._db.in_transaction

    def _read(self, sql: str, *values: object) -> list[Row]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _explain(error, self._path, rolled_back=True) from error

    def _run(self, sql: str) -> None:
        """Run something that is a transaction of its own."""
        try:
            self._db.execute(sql)
        except sqlite3.Error as error:
            raise _explain(error, self._path, rolled_back=self._roll_back()) from error

    def _meta(self, key: str) -> str:
        return str(self._read("SELECT value FROM meta WHERE key = ?", key)[0][0])

    def _iterate(self, sql: str, *values: object) -> Iterator[Row]:
        """Rows one by one, for a caller that may stop early."""
        try:
            yield from self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise _explain(error, self._path, rolled_back=True) from error

    def epoch(self) -> str:
        """See `Store.epoch`."""
        return self._meta("epoch")

    def renew_epoch(self) -> None:
        """See `Store.renew_epoch`."""
        with self._transaction() as db:
            db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (secrets.token_hex(8),))


def _open(path: Path) -> sqlite3.Connection:
    db = None
    try:
        # SQLite would make the file with the umask's mode, and copies that mode to -wal and -shm.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        schema_of(db, str(path))  # nothing is changed in a file that is not ours
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_mode = WAL")
        # What is erased or pruned must be gone from the file, too. It costs housekeeping 3 % of its
        # time, and delivery nothing: it deletes nothing.
        db.execute("PRAGMA secure_delete = ON")
        migrate(db, str(path))
        db.execute("PRAGMA foreign_keys = ON")
        _check(db, path)
    except BaseException as error:
        if db is not None:
            db.close()
        raise _explain_opening(error, path) from error
    return db


def _open_to_read(path: Path) -> sqlite3.Connection:
    db = None
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5)
        # One transaction from now to the end: whatever is read belongs together.
        db.execute("BEGIN")
        check_schema(db, str(path))
    except BaseException as error:
        if db is not None:
            db.close()
        raise _explain_opening(error, path) from error
    return db


def _explain_opening(error: BaseException, path: Path) -> BaseException:
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{path}: may not be read and written by this user")
    if isinstance(error, OSError):
        return StoreError(f"{path}: {error.strerror}")
    if isinstance(error, sqlite3.Error):
        return _explain(error, path, rolled_back=True)
    return error


def _check(db: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size <= _CHECKED_SIZE:
        verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0].splitlines()[-1]
        if verdict != "ok":
            raise StoreDamagedError(f"{path}: the store is damaged ({verdict}); restore it from a backup")


def _cut_wal(path: Path) -> bool:
    """Cut off what stands in the WAL behind its last commit; return whether that went well.

    When there is no room for the WAL's index, a commit fails after it was written to the WAL whole.
    It does not count, but after a crash it would, although its messages were refused.
    Both files' formats: https://sqlite.org/walformat.html.
    """
    try:
        with Path(f"{path}-shm").open("rb") as index:
            index.seek(14)
            page_size, last_frame = struct.unpack("=HI", index.read(6))
        size = _WAL_HEADER + last_frame * (_FRAME_HEADER + (page_size if page_size > 1 else 1 << 16))
        with Path(f"{path}-wal").open("r+b") as wal:
            if os.fstat(wal.fileno()).st_size > size:
                os.ftruncate(wal.fileno(), size)
                os.fsync(wal.fileno())
    except OSError:
        return False
    return True


def _code(error: BaseException) -> int | None:
    """SQLite's extended code of an error."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code


def _explain(error: sqlite3.Error, path: Path, *, rolled_back: bool) -> StoreError:
    """Turn SQLite's error into ours."""
    code = _code(error)
    primary = code & 0xFF if code is not None else None
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamagedError(f"{path}: the store is damaged ({error}); restore it from a backup")
    # SHMSIZE: no room for the index of the WAL, which is a file, too.
    if rolled_back and (primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE):
        return StoreFullError(f"{path}: no room on the disk")
    if rolled_back and primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(f"{path}: locked by another program")
    return StoreError(f"{path}: {error}")
