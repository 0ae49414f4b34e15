"""Checks that other users can neither read a private key nor change the configuration."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qscpd.errors import PermissionDeniedError
from qscpd.privileges import user_name

_OPEN_KEY: Final = 0o027
"""Mode bits that a key must not have: the group can read (`root:qscpd` 0640), others can't."""

_CHANGEABLE: Final = stat.S_IWGRP | stat.S_IWOTH

_LINKS: Final = 40
"""Most symbolic links on the way to a file (path_resolution(7))."""


def check_key_mode(path: Path, mode: int) -> None:
    """Check that only its owner can read and change a private key, and at most a group read it.

    Raises:
        PermissionDeniedError: Others can; the text has the command that changes it.
    """
    if mode & _OPEN_KEY:
        shown = shlex.quote(str(path))
        raise PermissionDeniedError(
            f"{path}: the private key is open to other users (mode {mode & 0o777:04o}); "
            f"run `chmod 600 {shown}`, or `chmod 640 {shown}` if the daemon's own group must read it"
        )


def check_key_if_exists(path: Path) -> None:
    """Check the mode of a private key that this user might not be able to read.

    Raises:
        PermissionDeniedError: As in `check_key_mode`.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    check_key_mode(path, mode)


def check_unchangeable(path: Path, status: os.stat_result) -> None:
    """Check that only root and the user of this process can change a file, or replace it.

    Pipes and devices pass: the user who opened them has chosen what comes through.

    Args:
        path: The file as it was named, perhaps a symbolic link.
        status: Status of the file itself.

    Raises:
        PermissionDeniedError: Others can; the text has the command that changes it.
    """
    if not stat.S_ISREG(status.st_mode):
        return
    target = Path(os.path.realpath(path))
    shown = shlex.quote(str(target))
    if status.st_uid not in (0, os.geteuid()):
        owner, user = user_name(status.st_uid), user_name(os.geteuid())
        raise PermissionDeniedError(
            f"{path}: belongs to {owner}, who could change what {user} does; "
            f"run `chown {user} {shown}` as root, or this command as {owner}"
        )
    if status.st_mode & _CHANGEABLE:
        raise PermissionDeniedError(
            f"{path}: other users can change it (mode {status.st_mode & 0o777:04o}); run `chmod go-w {shown}`"
        )
    for directory in _directories(path):
        _check_directory(directory, path)


def _check_directory(directory: Path, path: Path) -> None:
    try:
        status = directory.stat()
    except OSError:
        return
    shown = shlex.quote(str(directory))
    if status.st_uid not in (0, os.geteuid()):
        owner, user = user_name(status.st_uid), user_name(os.geteuid())
        raise PermissionDeniedError(
            f"{path}: {owner} can replace it, because {directory} belongs to {owner}; "
            f"run `chown {user} {shown}` as root, or this command as {owner}"
        )
    # A group may write: with umask 002 it has only its user, and git makes all directories so.
    # In a sticky directory, such as /tmp, only the owner of a file can replace it.
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise PermissionDeniedError(
            f"{path}: other users can replace it, because they can write to {directory} "
            f"(mode {status.st_mode & 0o777:04o}); run `chmod o-w {shown}`"
        )


def _directories(path: Path) -> Iterator[Path]:
    """Yield the directory of a file, and those of the links that lead to it."""
    place = Path(os.path.abspath(path))  # noqa: PTH100 - `absolute` keeps `..`, and `resolve` follows links
    for _ in range(_LINKS):
        yield place.parent
        if not place.is_symlink():
            break
        place = place.parent / place.readlink()
    yield Path(os.path.realpath(path)).parent
