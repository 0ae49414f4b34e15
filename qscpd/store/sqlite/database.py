"""An open SQLite file: WAL, `synchronous=FULL`, one writer, and our errors instead of SQLite's.

FULL makes COMMIT return only after the WAL was flushed to the disk
(https://sqlite.org/pragma.html#pragma_synchronous); with NORMAL a power cut loses
the last commits although they were acknowledged.
"""

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from qscpd.domain.clock import ClockState, Now
from qscpd.domain.events import Event
from qscpd.errors import StoreDamagedError, StoreError, StoreFullError
from qscpd.store.clock import Clock, StoreClock
from qscpd.store.damage import DamageLog, OnDamage
from qscpd.store.sqlite.faults import READ_ERRORS, code_of, damaged, explain
from qscpd.store.sqlite.lock import resolve
from qscpd.store.sqlite.marker import new_marker, put_marker, remove_marker
from qscpd.store.sqlite.migrations import Migration
from qscpd.store.sqlite.opening import note_clean_end, open_to_read, open_to_write
from qscpd.store.sqlite.place import Place
from qscpd.store.sqlite.recovery import forget_index
from qscpd.store.sqlite.wal import Cutter, read_header
from qscpd.store.upgrade import OnUpgrade

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
        self.connection = connection or open_to_read(self.path)
        self._snapshot_callbacks: list[Callable[[], None]] = []

    def on_snapshot(self, callback: Callable[[], None]) -> None:
        """Call something at the beginning of each snapshot, which reads the same state."""
        self._snapshot_callbacks.append(callback)

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
            for callback in self._snapshot_callbacks:
                callback()
            self.begin_share()
            yield
        finally:
            self.run("ROLLBACK")  # nothing was written

    @property
    def is_over(self) -> bool:
        """Whether a read has had its share, and should end with what it has; here a read has no bound."""
        return False

    def begin_share(self) -> None:
        """Begin a read, which gets a share of its own."""

    def spend(self, size: int) -> None:
        """Count work that is in no row: as much as reading that many bytes."""

    def read(self, sql: str, *values: object) -> list[Row]:
        """Return all rows of a query."""
        try:
            return self.connection.execute(sql, values).fetchall()
        except READ_ERRORS as error:
            raise explain(error, self.path, rolled_back=True) from error

    def iterate(self, sql: str, *values: object) -> Iterator[Row]:
        """Yield the rows of a query, for a caller that may stop early."""
        try:
            yield from self.connection.execute(sql, values)
        except READ_ERRORS as error:
            raise explain(error, self.path, rolled_back=True) from error

    def run(self, sql: str) -> None:
        """Run a statement that begins or ends a transaction, or is one of its own."""
        try:
            self.connection.execute(sql)
        except READ_ERRORS as error:
            raise explain(error, self.path, rolled_back=_roll_back(self.connection)) from error

    def meta(self, key: str) -> str:
        """Return a value of the table `meta`."""
        rows = self.read("SELECT value FROM meta WHERE key = ?", key)
        if not rows:
            raise damaged(self.path, f"no {key}")
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
        on_damage: Called with each damaged place that an upgrade reads; None: each is logged once.
        on_upgrade: See `qscpd.store.open_store`.

    Raises:
        StoreError: The file can't be opened, is damaged, or is no store of ours.
        PermissionDeniedError: This user may not read and write it.
    """

    lost: str | None
    """What was lost with the journal of the last run, and what to do, as one line."""
    migration: Migration | None
    """How the file was brought to the newest schema; None if it had that."""
    marked: bool
    """Whether a loss of the journal of this run would be noticed; False: no room for its marker."""

    def __init__(
        self,
        path: Path,
        clock: Clock | None = None,
        *,
        on_damage: OnDamage | None = None,
        on_upgrade: OnUpgrade | None = None,
    ) -> None:
        connection, self.lost, self.migration = open_to_write(
            resolve(path), on_damage or DamageLog(), on_upgrade or (lambda _: None)
        )
        super().__init__(path, connection)
        self._cutter = Cutter(self.path)
        self._place: Place | None = None
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
            self._place = Place(self.path)
        except BaseException:
            self._close(everything=self.lost is None)
            raise

    def close(self) -> None:
        """Close the file, after a note in it that everything is in it."""
        self._close(everything=True)

    def _close(self, *, everything: bool) -> None:
        if everything:
            note_clean_end(self.connection)
        if self._place is not None:
            self._place.close(self.connection)
        else:
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
            # The next commit begins the journal anew. With the page of the marker it has the epoch, too,
            # which tells it from the journal of another store.
            self._put_marker()

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
            if self._place is not None and time.monotonic() >= self._place.due_s:
                self._place.check()
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
        explained = explain(error, self.path, rolled_back=rolled_back)
        # What is left of it in the WAL would look like damage after a crash. The cut comes after `explain`,
        # which looks for space on the disk, because it makes some.
        if isinstance(explained, StoreFullError) and not self._cutter.cut():
            # SQLite gives SQLITE_FULL before a commit is complete in the WAL; of the others nobody says so.
            return explain(error, self.path, rolled_back=code_of(error) == sqlite3.SQLITE_FULL)
        return explained

    def renew_epoch(self) -> None:
        """See `Store.renew_epoch`."""
        with self.transaction() as db:
            db.execute("REPLACE INTO meta SELECT 'former_epoch', value FROM meta WHERE key = 'epoch'")
            db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (secrets.token_hex(8),))


def _roll_back(db: sqlite3.Connection) -> bool:
    """Undo the running transaction, if any; return whether that worked."""
    try:
        if db.in_transaction:
            db.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return not db.in_transaction
