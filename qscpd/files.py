"""Write small files whole or not at all, with the right permissions from the first moment."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from qscpd.errors import ExistsError, PermissionDeniedError, QscpdError

__all__ = ["file_errors", "new_file", "replace_file", "sync", "write_new_file"]


def write_new_file(path: Path, content: bytes, *, mode: int) -> None:
    """Make a file that must not be there yet.

    Raises:
        ExistsError: It is there, and stays as it is.
        PermissionDeniedError: This user may not write there.
        QscpdError: Anything else, such as a full disk.
    """
    with new_file(path, mode=mode) as file:
        file.write(content)


@contextlib.contextmanager
def new_file(path: Path, *, mode: int) -> Iterator[BinaryIO]:
    """Make a file that must not be there yet out of what the block writes; nothing if it raises.

    Raises:
        ExistsError: It is there, and stays as it is.
        PermissionDeniedError: This user may not write there.
        QscpdError: Anything else, such as a full disk.
    """
    there = ExistsError(f"{path}: is there already; move it away if a new one should be made")
    if path.exists():
        raise there
    with file_errors(path), _written_beside(path, mode) as (temporary, file):
        yield file
        file.flush()
        os.fsync(file.fileno())
        try:
            # A hard link fails where rename() would replace.
            os.link(temporary, path)
        except FileExistsError:
            raise there from None


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Make or replace a file; an old one keeps its owner and its mode, and stays as `<name>.old`.

    Raises:
        PermissionDeniedError: This user may not write there.
        QscpdError: Anything else, such as a full disk.
    """
    with file_errors(path):
        try:
            old = path.stat()
        except FileNotFoundError:
            old = None
        mode = mode if old is None else old.st_mode & 0o777
        with _written_beside(path, mode) as (temporary, file):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if old is not None:
                backup = path.with_name(f"{path.name}.old")
                backup.unlink(missing_ok=True)
                os.link(path, backup)
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    os.chown(temporary, old.st_uid, old.st_gid)
            temporary.rename(path)
        sync(path.parent)


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about a file into one sentence.

    Raises:
        PermissionDeniedError: This user may not do that.
        QscpdError: Anything else of the system.
    """
    try:
        yield
    except PermissionError as error:
        raise PermissionDeniedError(f"{path}: this user may not do that here: {error.strerror}") from error
    except OSError as error:
        raise QscpdError(f"{path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _written_beside(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a temporary file in the same directory, and leave none behind."""
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
    """Make a file's content, or the names in a directory, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
