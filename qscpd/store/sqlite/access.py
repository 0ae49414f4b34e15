"""Permissions of a store's files, checked without opening them.

SQLite reports a missing permission as a file that it can't open. And a descriptor of the database or
its `-shm` must not be closed while SQLite has it open: with it, all locks of the process are gone
(https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
"""

import os
from pathlib import Path

from qscpd.errors import PermissionDeniedError
from qscpd.store.sqlite.wal import index_path, wal_path


def check_writable(path: Path) -> None:
    """Check that this user can read and write a store and its journal.

    Args:
        path: The file, its symbolic links resolved; it can be missing.

    Raises:
        PermissionDeniedError: The file, its journal or its directory can't be written.
    """
    _check(path, path.parent, os.X_OK)
    _check(path, path, os.R_OK | os.W_OK)
    check_journal_can_be_made(path)


def check_readable(path: Path) -> None:
    """Check that this user can read a store while another process writes it.

    Args:
        path: The file, its symbolic links resolved; it can be missing.

    Raises:
        PermissionDeniedError: The file can't be read, or its journal can't be opened.
    """
    _check(path, path.parent, os.X_OK)
    _check(path, path, os.R_OK)
    for each in _beside(path):
        _check(path, each, os.R_OK)


def check_journal_can_be_made(path: Path) -> None:
    """Check that this user can make the journal that even a reader needs.

    Raises:
        PermissionDeniedError: The directory or a file of the journal can't be written.
    """
    for each in _beside(path):
        _check(path, each, os.R_OK | os.W_OK)
    _check(path, path.parent, os.W_OK | os.X_OK)


def _beside(path: Path) -> tuple[Path, Path]:
    return wal_path(path), index_path(path)


def _check(store: Path, path: Path, mode: int) -> None:
    # The effective user's: a command of root acts as the store's owner.
    if os.access(path, os.F_OK, effective_ids=True):
        if os.access(path, mode, effective_ids=True):
            return
    elif not _is_hidden(path):
        return
    if mode & os.W_OK and _is_on_a_read_only_file_system(path):
        raise PermissionDeniedError(
            f"{store}: read-only file system; see the kernel's log for the cause, and remount it for writing"
        )
    wanted = "read and write" if mode & os.W_OK else "read"
    place = "it" if path == store else f"{path}, as the store needs"
    raise PermissionDeniedError(
        f"{store}: this user has no permission to {wanted} {place}; run this as root or as the daemon's "
        "user, or correct the file's owner"
    )


def _is_hidden(path: Path) -> bool:
    """Return whether a directory on the way can't be searched; a missing file is not hidden."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _is_on_a_read_only_file_system(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
