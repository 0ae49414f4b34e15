"""The files of an open store: whether their names are still theirs, and a lock on the journal.

Who replaces or removes the file of a running daemon (`mv`, `rsync`, `rm`) leaves it with one that has no
name. What is committed there is lost when it ends.
"""

import contextlib
import ctypes
import fcntl
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from qscpd.errors import StoreBusyError, StoreError
from qscpd.store.sqlite.wal import wal_path

_EVERY_S: Final = 0.1
"""Seconds between two checks: a check costs a third of a small commit."""


class Place:
    """The database file and the journal of an open store.

    The journal is locked, too: SQLite opens it by its name, also for another file of the store's name.

    Args:
        store: The file, its symbolic links resolved; SQLite has it open.

    Attributes:
        due_s: When the next check is due, by `time.monotonic`.

    Raises:
        StoreBusyError: Another process has locked the journal.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._paths = tuple(str(path) for path in (store, wal_path(store)) if path.exists())
        self._files = tuple(map(_identity, self._paths))
        self._descriptor = _lock_journal(store)
        self.due_s = time.monotonic() + _EVERY_S

    def check(self) -> None:
        """Check that the files still have their names.

        Raises:
            StoreError: One was replaced or removed, so nothing can be promised any more.
        """
        for path, file in zip(self._paths, self._files, strict=True):
            if _identity(path) != file:
                raise StoreError(
                    f"{path}: was replaced or removed while qscpd was using it, so nothing more is stored. "
                    "Put the file back in its place, or restore a backup, then start qscpd"
                )
        self.due_s = time.monotonic() + _EVERY_S

    def close(self, connection: sqlite3.Connection) -> None:
        """Close a connection, and release the journal.

        SQLite deletes the journal by its name, which can be that of another store by now. Then the
        connection stays open until the process ends, and the journal stays where it is.
        """
        try:
            self.check()
        except StoreError:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        else:
            connection.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def check_journal_is_free(store: Path) -> None:
    """Check that no process uses the journal with another file of the store's name.

    Raises:
        StoreBusyError: One does.
    """
    descriptor = _lock_journal(store)
    if descriptor is not None:
        os.close(descriptor)


def _lock_journal(store: Path) -> int | None:
    try:
        descriptor = os.open(wal_path(store), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # it does not exist, or can't be read: opening it says why
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreBusyError(
            f"{store}: another qscpd process is using its journal, with a file that was replaced; "
            "stop that one"
        ) from error
    return descriptor


def _identity(path: str) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = os.stat(path)  # noqa: PTH116 - a third faster
        return found.st_dev, found.st_ino
    return None
