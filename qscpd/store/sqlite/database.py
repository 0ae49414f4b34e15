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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from qscpd.domain.events import Event
from qscpd.errors import PermissionDeniedError, StoreBusyError, StoreDamagedError, StoreError, StoreFullError
from qscpd.store.sqlite.migrations import check_schema, migrate, schema_of

_CHECKED_SIZE: Final = 64 * 1024 * 1024
"""Files up to this many bytes are checked for damage when they are opened (0.2 s at most)."""

_READER_CACHE_KIB: Final = 1024
"""Page cache of a reading connection, of which the daemon has a few."""

_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24

Row = tuple[Any, ...]


class DatabaseReader:
    """Reading connection: rows, snapshots and our errors.

    Args:
        path: The file; another process may be writing to it.

    Raises:
        StoreError: The file can't be opened, or is no store with the newest schema.
        PermissionDeniedError: This user may not read it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection | None = None) -> None:
        self.path = path
        self.connection = connection or _open_to_read(path)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the file until the end, also while another connection writes.

        Inside another snapshot or a transaction, it is a part of that.
        """
        if self.connection.in_transaction:
            yield
            return
        self.run("BEGIN")
        try:
            yield
        finally:
            self.run("ROLLBACK")  # nothing was written

    def read(self, sql: str, *values: object) -> list[Row]:
        """Return all rows of a query."""
        try:
            return self.connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _explain(error, self.path, rolled_back=True) from error

    def iterate(self, sql: str, *values: object) -> Iterator[Row]:
        """Yield the rows of a query, for a caller that may stop early."""
        try:
            yield from self.connection.execute(sql, values)
        except sqlite3.Error as error:
            raise _explain(error, self.path, rolled_back=True) from error

    def run(self, sql: str) -> None:
        """Run a statement that begins or ends a transaction, or is one of its own."""
        try:
            self.connection.execute(sql)
        except sqlite3.Error as error:
            raise _explain(error, self.path, rolled_back=_roll_back(self.connection)) from error

    def meta(self, key: str) -> str:
        """Return a value of the table `meta`."""
        return str(self.read("SELECT value FROM meta WHERE key = ?", key)[0][0])

    def epoch(self) -> str:
        """See `StoreReader.epoch`."""
        return self.meta("epoch")


class Database(DatabaseReader):
    """Reading and writing connection: one writer, transactions and their time.

    Args:
        path: The file; it is made when it does not exist, readable by its owner only.
        clock_ms: Milliseconds since 1970-01-01 UTC; None: the system's clock.

    Raises:
        StoreError: The file can't be opened, is damaged, or is no store of ours.
        PermissionDeniedError: This user may not read and write it.
    """

    def __init__(self, path: Path, clock_ms: Callable[[], int] | None = None) -> None:
        super().__init__(path, _open(path))
        self._clock_ms = clock_ms
        self._in_transaction = False
        self._time_ms: int | None = None
        self._rollback_callbacks: list[Callable[[], None]] = []
        self._on_commit: Callable[[Sequence[Event]], None] | None = None
        self._events: list[Event] = []
        """Of the running transaction."""

    @property
    def now_ms(self) -> int:
        """Time of the running transaction, for which the clock is read once; outside of one, the time now."""
        if self._time_ms is not None:
            return self._time_ms
        now_ms = time.time_ns() // 1_000_000 if self._clock_ms is None else self._clock_ms()
        if self._in_transaction:
            self._time_ms = now_ms
        return now_ms

    def on_rollback(self, callback: Callable[[], None]) -> None:
        """Call something whenever a transaction is undone: what was cached of the file is void."""
        self._rollback_callbacks.append(callback)

    def listen(self, on_commit: Callable[[Sequence[Event]], None] | None) -> None:
        """See `Store.listen`."""
        self._on_commit = on_commit

    def emit(self, event: Event) -> None:
        """Report an event of the running transaction once it is committed."""
        if self._on_commit is not None:
            self._events.append(event)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """COMMIT at the end, ROLLBACK on any exception, and our errors instead of SQLite's.

        Inside another transaction, it is a part of that.
        """
        if self._in_transaction:
            yield self.connection
            return
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self._in_transaction = True
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException as error:
            self._events.clear()
            for callback in self._rollback_callbacks:
                callback()
            rolled_back = _roll_back(self.connection)
            if _code(error) == sqlite3.SQLITE_IOERR_SHMSIZE:
                rolled_back = rolled_back and _cut_wal(self.path)
            if isinstance(error, sqlite3.Error):
                raise _explain(error, self.path, rolled_back=rolled_back) from error
            if isinstance(error, StoreDamagedError) and not rolled_back:
                raise StoreError(str(error)) from error
            raise
        finally:
            self._in_transaction, self._time_ms = False, None
        if self._on_commit is not None and self._events:
            events, self._events = self._events, []
            self._on_commit(events)

    def renew_epoch(self) -> None:
        """See `Store.renew_epoch`."""
        with self.transaction() as db:
            db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (secrets.token_hex(8),))


def _roll_back(db: sqlite3.Connection) -> bool:
    """Undo the running transaction, if any; return whether that worked."""
    try:
        if db.in_transaction:
            db.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return not db.in_transaction


def _open(path: Path) -> sqlite3.Connection:
    db = None
    try:
        # SQLite would make the file with the umask's mode, and copies that mode to -wal and -shm.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        schema_of(db, str(path))  # nothing is changed in a file that is not ours
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_mode = WAL")
        # Erased and pruned text must be gone from the file, too. That costs housekeeping 3 % of its
        # time, and delivery nothing, for it deletes nothing.
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
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=5,
        )
        db.execute("PRAGMA query_only = ON")
        db.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
        check_schema(db, str(path))
    except BaseException as error:
        if db is not None:
            db.close()
        raise _explain_opening(error, path) from error
    return db


def _explain_opening(error: BaseException, path: Path) -> BaseException:
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{path}: this user has no permission to read and write it")
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
    """Cut off the WAL behind its last commit; return whether that worked.

    Without room for the WAL's index, a commit fails after it was written to the WAL as a whole. It is void,
    but after a crash it would be recovered, although its messages were refused. Both files' formats: https://sqlite.org/walformat.html.
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
    # Without an extended code, a constraint is one of FTS5's own tables, which only damage violates.
    damaged = primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or code == sqlite3.SQLITE_CONSTRAINT
    if rolled_back and damaged:
        return StoreDamagedError(f"{path}: the store is damaged ({error}); restore it from a backup")
    # SHMSIZE: no room for the index of the WAL, which is a file, too.
    if rolled_back and (primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE):
        return StoreFullError(f"{path}: no room on the disk")
    if rolled_back and primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(f"{path}: locked by another program")
    return StoreError(f"{path}: {error}")
