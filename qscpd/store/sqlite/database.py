"""An open SQLite file: WAL, `synchronous=FULL`, one writer, and our errors instead of SQLite's.

FULL makes COMMIT return only after the WAL was flushed to the disk
(https://sqlite.org/pragma.html#pragma_synchronous); with NORMAL a power cut loses
the last commits although they were acknowledged.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from qscpd.domain.clock import ClockState, Now
from qscpd.domain.events import Event
from qscpd.errors import PermissionDeniedError, StoreBusyError, StoreDamagedError, StoreError, StoreFullError
from qscpd.store.clock import Clock, StoreClock
from qscpd.store.sqlite.access import check_journal_can_be_made, check_readable, check_writable
from qscpd.store.sqlite.creation import create_store
from qscpd.store.sqlite.disk_space import NO_SPACE, lacks_space
from qscpd.store.sqlite.faults import READ_ERRORS, describe, is_undecodable
from qscpd.store.sqlite.lock import resolve
from qscpd.store.sqlite.marker import new_marker, put_marker, remove_marker
from qscpd.store.sqlite.migrations import check_schema, migrate, refuse_empty, schema_of
from qscpd.store.sqlite.recovery import check_journal, forget_index
from qscpd.store.sqlite.wal import Cutter, read_header

_CHECKED_SIZE: Final = 64 * 1024 * 1024
"""Files up to this many bytes are checked for damage when they are opened (0.2 s at most)."""

_READER_CACHE_KIB: Final = 1024
"""Page cache of a reading connection, of which the daemon has a few."""

_NO_ERRNO: Final = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMOPEN})
"""Errors that can mean a full disk, and whose outcome is known: nothing was committed before the write.

`SQLITE_IOERR_FSYNC` is not among them: after a failed flush nobody knows what the disk has.
"""

_OPENING: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""Errors of opening a store that can mean a full disk: the files beside it can't be made, either."""

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
        self.path = resolve(path)
        self.connection = connection or _open_to_read(self.path)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextlib.contextmanager
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
        except READ_ERRORS as error:
            raise _explain(error, self.path, rolled_back=True) from error

    def iterate(self, sql: str, *values: object) -> Iterator[Row]:
        """Yield the rows of a query, for a caller that may stop early."""
        try:
            yield from self.connection.execute(sql, values)
        except READ_ERRORS as error:
            raise _explain(error, self.path, rolled_back=True) from error

    def run(self, sql: str) -> None:
        """Run a statement that begins or ends a transaction, or is one of its own."""
        try:
            self.connection.execute(sql)
        except READ_ERRORS as error:
            raise _explain(error, self.path, rolled_back=_roll_back(self.connection)) from error

    def meta(self, key: str) -> str:
        """Return a value of the table `meta`."""
        rows = self.read("SELECT value FROM meta WHERE key = ?", key)
        if not rows:
            raise _damaged(self.path, f"no {key}")
        return str(rows[0][0])

    def epoch(self) -> str:
        """See `StoreReader.epoch`."""
        return self.meta("epoch")

    def read_clock(self, clock: Clock | None = None) -> StoreClock:
        """Return the time of the store, judged by what it knows of the clocks.

        Args:
            clock: Reads the clocks; None: the system's.
        """
        rows = self.read("SELECT value FROM meta WHERE key = 'clock'")
        with contextlib.suppress(msgspec.DecodeError):  # of another version; the messages tell the time, too
            if rows:
                return StoreClock(clock, msgspec.json.decode(rows[0][0], type=ClockState), None)
        newest_ms = self.read("SELECT max(last_ms) FROM conversations")[0][0]
        return StoreClock(clock, None, newest_ms or None)


class Database(DatabaseReader):
    """Reading and writing connection: one writer, transactions and their time.

    Args:
        path: The file; it is made when it does not exist, readable by its owner only. Hold its `StoreLock`.
        clock: Reads the clocks; None: the system's.

    Raises:
        StoreError: The file can't be opened, is damaged, or is no store of ours.
        PermissionDeniedError: This user may not read and write it.
    """

    lost: str | None
    """What was lost with the journal of the last run, and what to do, as one line."""
    marked: bool
    """Whether a loss of the journal of this run would be noticed; False: no room for its marker."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        connection, self.lost = _open(resolve(path))
        super().__init__(path, connection)
        self._cutter = Cutter(self.path)
        self._in_transaction = False
        self._now: Now | None = None
        self._rollback_callbacks: list[Callable[[], None]] = []
        self._on_commit: Callable[[Sequence[Event]], None] | None = None
        self._events: list[Event] = []
        """Of the running transaction."""
        try:
            self.clock = self.read_clock(clock)
            if self.lost is not None:
                self.renew_epoch()
                forget_index(self.path)
            self.mark_running()
        except BaseException:
            self._close(everything=self.lost is None)
            raise

    def close(self) -> None:
        """Close the file, after a note in it that everything is in it."""
        self._close(everything=True)

    def _close(self, *, everything: bool) -> None:
        if everything:
            _note_clean_end(self.connection)
        super().close()
        self._cutter.close()

    def mark_running(self) -> None:
        """Note in the database file that the newest commits are in its journal, if there is room for that."""
        self.marked = False
        with contextlib.suppress(StoreFullError):
            if not self._put_marker():
                self._put_marker()  # the first one made the journal's header
            # While a backup runs, only a later checkpoint moves the marker into the file.
            self.read("PRAGMA wal_checkpoint(PASSIVE)")
            self.marked = True

    def remove_marker(self) -> None:
        """Note that the journal can be emptied; nothing else is to be committed before `mark_running`."""
        with self.transaction() as db:
            remove_marker(db)

    def _put_marker(self) -> bool:
        """Set the marker of this run; return whether it has the round of the journal."""
        try:
            marker = new_marker(self.path)
            with self.transaction() as db:
                put_marker(db, marker)
            header = read_header(self.path)
        except OSError as error:
            raise StoreError(f"{self.path}: its journal can't be read: {error.strerror}") from error
        return header is not None and marker.precedes(header)

    @property
    def now(self) -> Now:
        """Time of the running transaction, which reads the clocks once; outside of one, the time now."""
        if self._now is not None:
            return self._now
        now = self.clock.now()
        if self._in_transaction:
            self._now = now
        return now

    @property
    def now_ms(self) -> int:
        """Time of `now` for what is written."""
        return self.now.stamp_ms

    def save_clock(self) -> None:
        """Store what is known of the clocks, for the next process."""
        with self.transaction() as db:
            state = msgspec.json.encode(self.clock.state).decode()
            db.execute("REPLACE INTO meta VALUES ('clock', ?)", (state,))

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

    @contextlib.contextmanager
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
            # A query inside the transaction has explained its error already.
            cause = error.__cause__ if isinstance(error, StoreError) else error
            if isinstance(cause, READ_ERRORS):
                raise self._explain_undone(cause, rolled_back=rolled_back) from cause
            if isinstance(error, StoreDamagedError) and not rolled_back:
                raise StoreError(str(error)) from error
            raise
        finally:
            self._in_transaction, self._now = False, None
        if self._on_commit is not None and self._events:
            events, self._events = self._events, []
            self._on_commit(events)

    def _explain_undone(self, error: sqlite3.Error | UnicodeDecodeError, *, rolled_back: bool) -> StoreError:
        """Turn the error of a transaction into ours, and see to it that a refused one is never recovered."""
        explained = _explain(error, self.path, rolled_back=rolled_back)
        # What is left of it in the WAL would look like damage after a crash. The cut comes after `_explain`,
        # which looks for space on the disk, because it makes some.
        if isinstance(explained, StoreFullError) and not self._cutter.cut():
            # SQLite gives SQLITE_FULL before a commit is complete in the WAL; of the others nobody says so.
            return _explain(error, self.path, rolled_back=_code(error) == sqlite3.SQLITE_FULL)
        return explained

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


def _open(path: Path) -> tuple[sqlite3.Connection, str | None]:
    """Open a store for writing; return also what was lost with its journal."""
    db = None
    lost = None
    try:
        check_writable(path)
        # SQLite would make the file with the umask's mode, and copies that mode to -wal and -shm.
        create_store(path)
        refuse_empty(path.stat().st_size, str(path))
        lost = check_journal(path)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        refuse_empty(schema_of(db, str(path)), str(path))  # nothing is changed in a file that is not ours
        if lost is None:
            forget_index(path)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_mode = WAL")
        # Erased and pruned text must be gone from the file, too. That costs housekeeping 3 % of its
        # time, and delivery nothing, for it deletes nothing.
        db.execute("PRAGMA secure_delete = ON")
        migrate(db, str(path))
        db.execute("PRAGMA foreign_keys = ON")
        _check(db, path, always=lost is not None)
    except BaseException as error:
        if db is not None:
            if lost is None:
                _note_clean_end(db)
            db.close()
        explained = _explain_opening(error, path)
        if lost is not None and isinstance(explained, StoreError):
            explained = type(explained)(f"{explained}. {lost}")
        raise explained from error
    return db, lost


def _note_clean_end(db: sqlite3.Connection) -> None:
    """Remove the marker of the run, before SQLite moves the journal into the file and deletes it."""
    with contextlib.suppress(*READ_ERRORS):
        try:
            remove_marker(db)
        except sqlite3.OperationalError:
            # On a full disk, the journal still has the room from its beginning.
            db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            remove_marker(db)


def _open_to_read(path: Path) -> sqlite3.Connection:
    db = None
    try:
        check_readable(path)
        path.stat()
        db = sqlite3.connect(
            f"{path.as_uri()}?mode=ro",
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
        if isinstance(error, sqlite3.OperationalError):
            check_journal_can_be_made(path)
        raise _explain_opening(error, path) from error
    return db


def _explain_opening(error: BaseException, path: Path) -> BaseException:
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{path}: this user has no permission to read and write it")
    if isinstance(error, OSError):
        return _no_room(path) if error.errno in NO_SPACE else StoreError(f"{path}: {error.strerror}")
    if isinstance(error, READ_ERRORS):
        code = _code(error)
        # Nothing was promised yet, so any failure on a full disk can be tried again.
        if code is not None and code & 0xFF in _OPENING and lacks_space(_journal(path)):
            return _no_room(path)
        return _explain(error, path, rolled_back=True)
    return error


def _check(db: sqlite3.Connection, path: Path, *, always: bool) -> None:
    if always or path.stat().st_size <= _CHECKED_SIZE:
        verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0].splitlines()[-1]
        if verdict != "ok":
            raise _damaged(path, verdict)


def _code(error: BaseException) -> int | None:
    """SQLite's extended code of an error."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code


def _damaged(path: Path, what: str) -> StoreDamagedError:
    return StoreDamagedError(f"{path}: the store is damaged ({what}); restore it from a backup")


def _explain(error: sqlite3.Error | UnicodeDecodeError, path: Path, *, rolled_back: bool) -> StoreError:
    """Turn SQLite's error into ours."""
    code = _code(error)
    primary = code & 0xFF if code is not None else None
    # Without an extended code, a constraint is one of FTS5's own tables, which only damage violates.
    damaged = primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or code == sqlite3.SQLITE_CONSTRAINT
    if rolled_back and (damaged or is_undecodable(error)):
        return _damaged(path, describe(error))
    if rolled_back and (
        primary == sqlite3.SQLITE_FULL
        or code == sqlite3.SQLITE_IOERR_SHMSIZE  # no room for the index of the WAL, which is a file, too
        or (code in _NO_ERRNO and lacks_space(_journal(path)))
    ):
        return _no_room(path)
    if rolled_back and primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(f"{path}: locked by another program")
    return StoreError(f"{path}: {error}")


def _journal(path: Path) -> Path:
    return Path(f"{path}-wal")


def _no_room(path: Path) -> StoreFullError:
    return StoreFullError(f"{path}: no room on the disk, or in its quota; free some, then try again")
