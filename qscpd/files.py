"""Atomic writing of small files, with the right permissions from the first moment."""

import contextlib
import errno
import os
import resource
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from qscpd.errors import ExistsError, PermissionDeniedError, QscpdError

DESCRIPTOR_RESERVE: Final = 64
"""File descriptors that connections leave to the store and its journals, logs, admin socket, backups and
connections on their way in or out."""


def descriptor_limit() -> int:
    """Return how many files this process can have open at most, once it has raised its own limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def write_new_file(path: Path, content: bytes, *, mode: int) -> None:
    """Write a new file.

    Raises:
        ExistsError: The file exists; it is not changed.
        PermissionDeniedError: This user has no permission to write there.
        QscpdError: Any other error, such as a full disk.
    """
    with new_file(path, mode=mode) as file:
        file.write(content)


@contextlib.contextmanager
def new_file(path: Path, *, mode: int) -> Iterator[BinaryIO]:
    """Write a new file from the output of the block; no file if the block raises.

    Raises:
        ExistsError: The file exists; it is not changed.
        PermissionDeniedError: This user has no permission to write there.
        QscpdError: Any other error, such as a full disk.
    """
    exists = ExistsError(f"{path}: already exists; move it to create a new one")
    if path.exists():
        raise exists
    with file_errors(path), _written_beside(path, mode) as (temporary, file):
        yield file
        file.flush()
        os.fsync(file.fileno())
        try:
            # A hard link fails where rename() would replace.
            os.link(temporary, path)
        except FileExistsError:
            raise exists from None


def replace_file(path: Path, content: bytes, old: Path, *, mode: int) -> bool:
    """Write or replace a file; the new one gets the owner and mode of the old one.

    Args:
        path: The file.
        content: Its new content.
        old: New name of the old file; it must be free.
        mode: Mode of a file that is new.

    Returns:
        Whether there was an old file.

    Raises:
        PermissionDeniedError: This user has no permission to write there.
        QscpdError: Any other error, such as a full disk.
    """
    with file_errors(path):
        try:
            status = path.stat()
        except FileNotFoundError:
            status = None
        mode = mode if status is None else status.st_mode & 0o777
        with _written_beside(path, mode) as (temporary, file):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if status is not None:
                os.link(path, old)
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.chown(temporary, status.st_uid, status.st_gid)
            temporary.rename(path)
        sync(path.parent)
    return status is not None


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` about a file into a `QscpdError` with one sentence.

    Raises:
        PermissionDeniedError: This user has no permission, or the file system is read-only.
        QscpdError: Any other `OSError`.
    """
    try:
        yield
    except PermissionError as error:
        raise PermissionDeniedError(
            f"{path}: permission denied; run this as root or as the daemon's user"
        ) from error
    except OSError as error:
        if error.errno == errno.EROFS:
            raise PermissionDeniedError(f"{path}: read-only file system") from error
        raise QscpdError(f"{path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _written_beside(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a temporary file in the same directory, and remove it in the end."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            yield temporary, file
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file's content, or a directory's names, to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
