"""New stores: made complete beside their place, then linked into it.

A crash leaves no empty or half file under the store's name, so an empty one there is never ours.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qscpd.errors import (
    PermissionDeniedError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)
from qscpd.files import sync
from qscpd.store.sqlite.migrations import create_tables
from qscpd.store.sqlite.wal import wal_path

_SUFFIX: Final = ".new"
"""Of the file that is made. What a crash leaves of it is overwritten by the next attempt."""


def create_store(path: Path) -> None:
    """Make a store with the newest schema, readable by its owner only; keep a file that exists.

    Args:
        path: The file, its symbolic links resolved.

    Raises:
        StoreBusyError: Another process is making it.
        StoreDamagedError: A store was there, and only its journal is left.
        StoreFullError: No room on the disk; nothing is left behind.
        PermissionDeniedError: This user may not write there.
        StoreError: The directory does not exist, or the like.
    """
    new = Path(f"{path}{_SUFFIX}")
    if os.path.lexists(path):
        _remove_left_over(path, new)
        return
    _refuse_orphan(path)
    try:
        with _locked(new) as descriptor:
            if os.path.lexists(path):
                new.unlink(missing_ok=True)  # ours: another process has just made the store
                return
            _fill(new, descriptor)
            # A hard link fails where rename() would replace.
            with contextlib.suppress(FileExistsError):
                os.link(new, path)
            new.unlink(missing_ok=True)
            sync(path.parent)
    except PermissionError as error:
        raise PermissionDeniedError(f"{path}: this user has no permission to make it") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _refuse_orphan(path: Path) -> None:
    """Refuse to make a store where one was: SQLite would apply the old journal to the new file."""
    journal = wal_path(path)
    with contextlib.suppress(FileNotFoundError):
        if journal.stat().st_size:
            raise StoreDamagedError(
                f"{path}: the file is missing, but its journal {journal} is there. Put the file back, or "
                "restore a backup (`qscpd restore`); for a new installation, delete the journal"
            )


def _remove_left_over(path: Path, new: Path) -> None:
    """Remove the second name of a store whose making was cut off just before its end."""
    with contextlib.suppress(OSError):
        if new.samefile(path):
            new.unlink()


@contextlib.contextmanager
def _locked(new: Path) -> Iterator[int]:
    """Open the new file, and keep others from making it."""
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        links = os.fstat(descriptor).st_nlink
        if links != 1:
            if links:
                new.unlink(missing_ok=True)  # a store that was moved before its making ended
            raise StoreBusyError(f"{new}: another qscpd process was making this store; try again")
        yield descriptor
    except BlockingIOError as error:
        raise StoreBusyError(f"{new}: another qscpd process is making this store") from error
    finally:
        os.close(descriptor)  # SQLite has closed it before


def _fill(new: Path, descriptor: int) -> None:
    try:
        os.ftruncate(descriptor, 0)
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = MEMORY")  # a crash leaves no journal beside it
            create_tables(db)
        os.fsync(descriptor)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, sqlite3.Error):
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise StoreFullError(f"{new}: no room on the disk") from error
            raise StoreError(f"{new}: {error}") from error
        raise
