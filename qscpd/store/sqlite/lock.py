"""One process at a time: the lock on the database file itself.

The lock is an exclusive `flock` on the file, not on a name beside it. So a symbolic link, a hard link, or
the removal of any other file lets no second process in. SQLite's own locks are of another kind
(`fcntl`), so they don't meet.

An upgrade of the schema puts another file in the store's place (`rewriting.py`). The lock has that one, too.
"""

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from qscpd.errors import StoreBusyError, StoreError
from qscpd.store.sqlite.access import check_writable
from qscpd.store.sqlite.creation import create_store
from qscpd.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS, part_path

_ATTEMPTS: Final = 10
"""How often another file may take the name of the store while we lock it."""

_APPLICATION_ID_AT: Final = 68
"""Offset in the file (https://sqlite.org/fileformat2.html#application_id)."""

_SCHEMA_AT: Final = 60
"""Offset of `PRAGMA user_version` there."""

_OLD_LOCK_SUFFIX: Final = ".lock"
"""Of the file that older versions locked. It is never made any more, but honoured where it exists: during an
upgrade the old daemon might still run."""


def resolve(store: Path) -> Path:
    """Return a store's path without symbolic links, as SQLite names the journal after it."""
    return Path(os.path.realpath(store))


class StoreLock:
    """An exclusive lock on a store, as a context manager; a missing store is made first.

    Enter it before SQLite opens the file, and leave it after SQLite has closed it. The kernel
    releases it with the process, so a crash leaves nothing to clean up.

    Raises (on entering):
        StoreBusyError: Another process has the lock.
        PermissionDeniedError: This user has no permission to write the file or its directory.
        StoreError: The directory does not exist, or the like.
    """

    def __init__(self, store: Path) -> None:
        self.path = store
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            path = resolve(self.path)
            check_writable(path)
            for old in dict.fromkeys(Path(f"{each}{_OLD_LOCK_SUFFIX}") for each in (self.path, path)):
                self._lock_old(stack, old)
            self._lock(stack, path)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _lock(self, stack: contextlib.ExitStack, path: Path) -> None:
        for _ in range(_ATTEMPTS):
            create_store(path)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # moved away just now
            except OSError as error:
                raise StoreError(f"{path}: {error.strerror}") from error
            stack.callback(os.close, descriptor)
            if not _flock(descriptor):
                raise self._busy("another qscpd process is using this store")
            if _names(path, descriptor):
                if os.pread(descriptor, 4, _SCHEMA_AT) != len(MIGRATIONS).to_bytes(4, "big"):
                    self._lock_next(stack, part_path(path))
                return
            stack.close()
        raise StoreError(f"{path}: another file takes its name again and again; stop what does that")

    def _lock_next(self, stack: contextlib.ExitStack, path: Path) -> None:
        """Lock the file that an upgrade puts in the store's place, so that it is never there unlocked."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; the upgrade of the store needs this name") from error
        stack.callback(os.close, descriptor)
        if not _flock(descriptor):
            raise self._busy(f"another qscpd process is using {path}")
        stack.callback(_remove, path, descriptor)

    def _lock_old(self, stack: contextlib.ExitStack, path: Path) -> None:
        descriptor = _open_regular(path)
        if descriptor is None:
            return
        stack.callback(os.close, descriptor)
        if not _flock(descriptor):
            raise self._busy(f"another qscpd process, of an older version, is using this store ({path})")

    def _busy(self, sentence: str) -> StoreBusyError:
        return StoreBusyError(f"{self.path}: {sentence}")


def is_locked(path: Path) -> bool:
    """Return whether a process has the lock of the store in a file; False for any other file.

    Call it only where this process has no store open.
    """
    with contextlib.ExitStack() as stack:
        descriptor = _open_regular(path)
        if descriptor is None:
            return False
        stack.callback(os.close, descriptor)
        if os.pread(descriptor, 4, _APPLICATION_ID_AT) != APPLICATION_ID.to_bytes(4, "big"):
            return False
        if not _flock(descriptor, fcntl.LOCK_SH):
            return True
        old = _open_regular(Path(f"{path}{_OLD_LOCK_SUFFIX}"))
        if old is None:
            return False
        stack.callback(os.close, old)
        return not _flock(old, fcntl.LOCK_SH)


def _flock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_regular(path: Path) -> int | None:
    """Open a regular file that this user can read; None for anything else."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None


def _remove(path: Path, descriptor: int) -> None:
    """Remove an open file, unless it was renamed."""
    if _names(path, descriptor):
        path.unlink()


def _names(path: Path, descriptor: int) -> bool:
    """Return whether the path still names the open file: it could have been moved since."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
