"""Reading a backup that anybody may have made: regular files, known sizes, text that is safe to print."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from qscp.hints import show_invisible
from qscpd.errors import QscpdError
from qscpd.privileges import SystemUser, acting_as

_BLOCK: Final = 1 << 20

_SHOWN: Final = 1000
"""Characters of a sentence that are printed."""

_BREAKS: Final = {ord(each): f"<U+{ord(each):04X}>" for each in "\t\n\r"}
"""What `show_invisible` leaves, because a file has it."""


class Fingerprint(NamedTuple):
    """Size and hash of a file's content."""

    size: int
    sha256: str


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file to read it.

    A link is not followed: it can lead out of the backup. A pipe or a device is not waited for. A hard
    link is a regular file: what is read is copied, so a restored file is never another name of it.

    Raises:
        QscpdError: It is something else.
        OSError: It can't be opened.
    """
    if path.is_symlink():
        raise QscpdError(f"{path}: is a symbolic link; a backup has regular files only")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise QscpdError(f"{path}: is not a regular file; a backup has regular files only")
        yield file


def copy_stream(source: BinaryIO, target: BinaryIO | None, limit: int | None = None) -> Fingerprint:
    """Read a stream to its end, copy it to the target if given, and return its fingerprint.

    Args:
        source: The stream.
        target: Where it is copied to.
        limit: Bytes after which reading stops; None: there is no limit.
    """
    digest = hashlib.sha256()
    size = 0
    while block := source.read(_BLOCK if limit is None else min(_BLOCK, limit - size)):
        digest.update(block)
        size += len(block)
        if target is not None:
            target.write(block)
    return Fingerprint(size, digest.hexdigest())


def copy_checked(
    source: Path, expected: tuple[int, str], target: Path, mode: int, owner: SystemUser | None = None
) -> None:
    """Copy a file of a backup to a new file, flushed to the disk, and compare it with its fingerprint.

    Args:
        source: The file.
        expected: Its size and hash.
        target: The new file.
        mode: Its mode.
        owner: Who makes it, if we are root; None: this user.

    Raises:
        QscpdError: It is not what it was when the backup was checked.
        OSError: It can't be read or written.
    """
    with open_regular(source) as file, acting_as(owner) if owner else contextlib.nullcontext():
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as copy:
            os.fchmod(descriptor, mode)
            found = copy_stream(file, copy, expected[0])
            copy.flush()
            os.fsync(descriptor)
    if found != expected:
        raise QscpdError(f"{source}: changed while it was read; nothing was restored")


def printable(text: str) -> str:
    """Return a text in one line, with `<U+001B>` for what a terminal could take for more than text."""
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return show_invisible(shown).translate(_BREAKS)
