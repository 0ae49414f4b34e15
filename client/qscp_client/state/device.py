"""Saved state of an account on this computer: device id, positions and outbox, in SQLite.

There is a directory for each server and account. It has numbered devices, each with a database and a lock. A
process locks one of them; a second process at the same time locks another one, which has another id. Texts of
messages are saved only until they are acknowledged.
"""

import contextlib
import dataclasses
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from qscp_client.core.changes import (
    Added,
    Change,
    Failed,
    Forgotten,
    Hidden,
    Moved,
    Removed,
    Renewed,
    Reported,
    Saved,
    SavedPosition,
)
from qscp_client.core.outbox import Entry, EntryKind
from qscp_client.errors import StateError
from qscp_client.state.filelock import FileLock

_VERSION: Final = 4
_SCHEMA: Final = """
BEGIN;
CREATE TABLE device (
    id TEXT NOT NULL, epoch TEXT NOT NULL, account TEXT NOT NULL, hidden INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE position (
    conversation TEXT PRIMARY KEY, name TEXT NOT NULL,
    seq INTEGER NOT NULL, reported INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, recipient TEXT NOT NULL, body TEXT NOT NULL,
    first_try_ms INTEGER NOT NULL, failure TEXT NOT NULL DEFAULT '',
    kind TEXT NOT NULL DEFAULT 'chat', target INTEGER NOT NULL DEFAULT 0,
    conversation TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO device VALUES ('{id}', '', '', 0);
PRAGMA user_version = {version};
COMMIT;
"""
_MIGRATIONS: Final = (
    # From 1, whose outbox had messages only.
    """
ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'chat';
ALTER TABLE outbox ADD COLUMN target INTEGER NOT NULL DEFAULT 0;
""",
    # From 2, whose messages had no conversation.
    """
ALTER TABLE outbox ADD COLUMN conversation TEXT NOT NULL DEFAULT '';
""",
    # From 3, which did not remember that the user appears offline.
    """
ALTER TABLE device ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
""",
)
"""Migrations from each version to the next."""

_ENTRY: Final = "id, recipient, body, first_try_ms, failure, kind, target, conversation"
"""Columns of an outbox entry, in the order of its fields."""


class Device:
    """A device that this process has locked; `Devices` makes it.

    Args:
        database: Its database.
        lock: Its lock, which `close` releases; None if it is in memory only.

    Attributes:
        id: 128 random bits as 32 hexadecimal digits; empty if nothing is saved.
        saved: Its state when it was opened.
    """

    def __init__(self, database: sqlite3.Connection, lock: FileLock | None) -> None:
        self._database = database
        self._lock = lock
        self.id: str
        row = database.execute("SELECT id, epoch, account, hidden FROM device").fetchone()
        self.id, epoch, account, hidden = row
        self.saved = Saved(epoch, account, tuple(self._positions()), tuple(self.entries()), bool(hidden))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def save(self, changes: Sequence[Change]) -> None:
        """Save changes, all or none of them.

        With a new message among them, they survive a power cut once this returns. Otherwise they survive the
        end of the process; a power cut can undo the last of them, which does no harm.

        Raises:
            StateError: They can't be saved.
        """
        if not changes:
            return
        durable = any(isinstance(change, Added) for change in changes)
        with _explained("can't be written"):
            self._database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for change in changes:
                    self._save(change)
                self._database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise

    def entries(self) -> Iterator[Entry]:
        """Return the outbox, in the order typed."""
        query = f"SELECT {_ENTRY} FROM outbox ORDER BY number"  # noqa: S608 - ours
        for row in self._database.execute(query):
            message_id, to, body, first_try_ms, failure, kind, target, conversation = row
            yield Entry(message_id, to, body, first_try_ms, failure, EntryKind(kind), target, conversation)

    def close(self) -> None:
        """Close the database, and release the lock."""
        self._database.close()
        if self._lock is not None:
            self._lock.release()

    def _positions(self) -> Iterator[SavedPosition]:
        query = "SELECT conversation, name, seq, reported FROM position ORDER BY conversation"
        for row in self._database.execute(query):
            yield SavedPosition(*row)

    def _save(self, change: Change) -> None:
        execute = self._database.execute
        match change:
            case Added(entry):
                execute(
                    f"INSERT OR IGNORE INTO outbox ({_ENTRY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
                    dataclasses.astuple(entry),
                )
            case Failed(message_id, failure):
                execute("UPDATE outbox SET failure = ? WHERE id = ?", (failure, message_id))
            case Removed(message_id):
                execute("DELETE FROM outbox WHERE id = ?", (message_id,))
            case Moved(conversation, name, seq):
                execute(
                    "INSERT INTO position (conversation, name, seq) VALUES (?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET seq = excluded.seq, "
                    "name = coalesce(nullif(excluded.name, ''), name)",
                    (conversation, name, seq),
                )
            case Reported(conversation, seq):
                execute("UPDATE position SET reported = ? WHERE conversation = ?", (seq, conversation))
            case Forgotten(conversation):
                execute("DELETE FROM position WHERE conversation = ?", (conversation,))
            case Hidden(hidden):
                execute("UPDATE device SET hidden = ?", (int(hidden),))
            case Renewed(epoch, account):
                execute("UPDATE device SET epoch = ?, account = ?", (epoch, account))
                execute("DELETE FROM position")
                execute("UPDATE outbox SET conversation = ''")
            case _:
                raise AssertionError(change)


class Devices:
    """The devices of one account at one server, on this computer.

    Nothing is written before `acquire`, so that a misspelled name leaves no trace.

    Args:
        directory: Their directory; None if this user has no place for files.
        make_device_id: Returns the id of a new device.

    Attributes:
        device_id: The id of this process's device.
        problem: Why nothing can be saved, as a sentence; empty if it can.
    """

    def __init__(self, directory: Path | None, make_device_id: Callable[[], str]) -> None:
        self._device: Device | None = None
        self.problem = ""
        if directory is None:
            self.problem = "this user has no home; set HOME or XDG_STATE_HOME to a directory"
            self.device_id = ""
            return
        self._directory = directory
        try:
            for number in self._numbers():
                if (device := self._open(number)) is not None:
                    self._device = device
                    break
        except StateError as error:
            self.problem = str(error)
        if self.problem:
            self.device_id = ""
        else:
            self.device_id = self._device.id if self._device else make_device_id()

    @property
    def hidden(self) -> bool:
        """Whether the user was hidden on this process's device when it ended."""
        return self._device is not None and self._device.saved.hidden

    def acquire(self) -> Device:
        """Return this process's device, created if all others were locked; the caller closes it.

        The outboxes of devices that no process has locked are moved to it.
        """
        if self._device is None and not self.problem:
            try:
                self._device = self._make()
            except StateError as error:
                self.problem = str(error)
        if self._device is None:
            return Device(_connect(":memory:", ""), None)
        try:
            self._move_outboxes(self._device)
        except StateError as error:
            self.problem = str(error)
        return self._device

    def close(self) -> None:
        """Close the device; for a caller that does not `acquire` it."""
        if self._device is not None:
            self._device.close()

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StateError(f"{self._directory} can't be read: {error.strerror}") from error
        return sorted(
            int(found[1]) for name in names if (found := re.fullmatch(r"device-(\d{1,6})\.db", name))
        )

    def _open(self, number: int) -> Device | None:
        """Open a device; return None if another process has locked it, or it is damaged."""
        path = self._path(number)
        with _explained(f"{path} can't be opened"):
            lock = FileLock.take(path.with_suffix(".lock"))
            if lock is None:
                return None
            try:
                return Device(_connect(path), lock)
            except sqlite3.DatabaseError as error:
                lock.release()
                if isinstance(error, sqlite3.OperationalError):
                    raise
                # Damaged, or another program's file: keep it under another name, and make a new device.
                path.rename(path.with_suffix(f".damaged-{time.time_ns()}"))
                return None
            except BaseException:
                lock.release()
                raise

    def _make(self) -> Device:
        """Create the device whose id was sent with `auth`."""
        with _explained(f"{self._directory} can't be written"):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            number = 0
            while True:
                number += 1
                path = self._path(number)
                lock = None if path.exists() else FileLock.take(path.with_suffix(".lock"))
                if lock is None:
                    continue
                if path.exists():
                    lock.release()
                    continue
                # SQLite creates its other files with the mode of this one.
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
                return Device(_connect(path, self.device_id), lock)

    def _move_outboxes(self, device: Device) -> None:
        for number in self._numbers():
            other = self._open(number)
            if other is None:
                continue
            with other:
                # Add before removing: after a crash in between, the same id twice is still one message.
                entries = list(other.entries())
                if (other.saved.epoch, other.saved.account) != (device.saved.epoch, device.saved.account):
                    # In another history the id can be that of another conversation.
                    entries = [dataclasses.replace(entry, conversation="") for entry in entries]
                device.save([Added(entry) for entry in entries])
                other.save([Removed(entry.id) for entry in entries])
        device.saved = dataclasses.replace(device.saved, outbox=tuple(device.entries()))

    def _path(self, number: int) -> Path:
        return self._directory / f"device-{number}.db"


def _connect(path: Path | str, new_id: str | None = None) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, timeout=5)
    try:
        _prepare(database, path, new_id)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path | str, new_id: str | None) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise StateError(f"{path} was written by a newer version of this program")
    database.execute("PRAGMA journal_mode = WAL")
    if version == 0:
        if new_id is None:
            raise sqlite3.DatabaseError("not a device")
        database.executescript(_SCHEMA.format(id=new_id, version=_VERSION))
    elif version < _VERSION:
        steps = "".join(_MIGRATIONS[version - 1 :])
        database.executescript(f"BEGIN; {steps} PRAGMA user_version = {_VERSION}; COMMIT;")


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StateError(f"{what}: {error}") from error
    except OSError as error:
        raise StateError(f"{what}: {error.strerror}") from error
