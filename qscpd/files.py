"""Atomic writing of small files, with the right permissions from the first moment."""

import contextlib
import errno
import os
import resource
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

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


class FileChange(NamedTuple):
    """New content of a file."""

    path: Path
    content: bytes
    mode: int
    """Mode of a file that is new; others keep their owner and mode."""
    old: Path
    """New name of the old file; it must be free."""


def write_new_files(*files: tuple[Path, bytes, int]) -> None:
    """Write new files that belong together, each with its content and mode: all of them, or none.

    Raises:
        ExistsError: One exists; it is not changed.
        PermissionDeniedError: This user has no permission to write there.
        QscpdError: Any other error, such as a full disk.
    """
    with contextlib.ExitStack() as temporary, contextlib.ExitStack() as made:
        staged = [
            (path, temporary.enter_context(_complete(path, content, mode))) for path, content, mode in files
        ]
        for path, source in staged:
            with file_errors(path):
                try:
                    os.link(source, path)
                except FileExistsError:
                    raise ExistsError(f"{path}: already exists; move it to create a new one") from None
            made.callback(path.unlink, missing_ok=True)
        made.pop_all()
        for path, _ in staged:
            with file_errors(path):
                sync(path.parent)


def replace_files(
    changes: Sequence[FileChange], check: Callable[[Mapping[Path, Path]], object]
) -> tuple[Path, ...]:
    """Write or replace files that belong together.

    Nothing is replaced before all new files are complete on the disk, the old ones have their new names,
    and the check has passed. If a replacement fails all the same, the earlier ones are undone.

    Args:
        changes: The files.
        check: Called with the place of each new file until then, by its path; it raises to change nothing.

    Returns:
        Where the old files are.

    Raises:
        PermissionDeniedError: This user has no permission to write there.
        QscpdError: Any other error, such as a full disk.
    """
    with contextlib.ExitStack() as temporary, contextlib.ExitStack() as undo:
        staged = {each.path: temporary.enter_context(_replacement(each)) for each in changes}
        check(staged)
        kept = []
        for each in changes:
            with file_errors(each.path):
                if each.path.exists():
                    os.link(each.path, each.old)
                    undo.callback(each.old.unlink)
                    kept.append(each.old)
        for each in changes:
            with file_errors(each.path):
                spare = each.old if each.old in kept else None
                staged[each.path].rename(each.path)
                undo.callback(_put_back, each.path, spare)
        undo.pop_all()
        for each in changes:
            with file_errors(each.path):
                sync(each.path.parent)
    return tuple(kept)


def _put_back(path: Path, old: Path | None) -> None:
    """Undo a replacement; the old file keeps its other name until that is undone, too."""
    if old is None:
        path.unlink()
        return
    temporary = _temporary(path)
    os.link(old, temporary)
    temporary.rename(path)


@contextlib.contextmanager
def _replacement(change: FileChange) -> Iterator[Path]:
    """Yield the complete new file under a temporary name, with owner and mode of the old one."""
    path = change.path
    with file_errors(path):
        status = path.stat() if path.exists() else None
    mode = change.mode if status is None else status.st_mode & 0o777
    with _complete(path, change.content, mode) as temporary:
        if status is not None and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            with file_errors(path):
                os.chown(temporary, status.st_uid, status.st_gid)
        yield temporary


@contextlib.contextmanager
def _complete(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Yield a file beside another one whose content is on the disk, and remove it in the end."""
    temporary = _temporary(path)
    try:
        # A full disk can also be noticed when the file is closed.
        with file_errors(path), _create(temporary, mode) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


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
    temporary = _temporary(path)
    try:
        with _create(temporary, mode) as file:
            yield temporary, file
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _create(path: Path, mode: int) -> BinaryIO:
    """Open a new file for writing; its mode does not depend on the umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, mode)
    return os.fdopen(descriptor, "wb")


def _temporary(path: Path) -> Path:
    """Return a free name beside a file."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def sync(path: Path) -> None:
    """Flush a file's content, or a directory's names, to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
