"""Checks of the files that a configuration names: the daemon's user can use them, and others can't.

`run` checks as the user that it has, `checkconfig` as the user that the daemon has.
"""

import glob
import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from qscpd.config.model import Config
from qscpd.errors import PermissionDeniedError
from qscpd.privileges import user_name
from qscpd.reach import closed_directory, explain_closed, is_shared, own_command

_READ_WRITE: Final = os.R_OK | os.W_OK
_OPEN: Final = 0o027
"""Mode bits that a file with messages must not have: its group can read it, others can't."""

_FORGED: Final = stat.S_IWOTH
"""Mode bits that the session log must not have: who can write to it decides whom fail2ban bans."""

_BESIDE: Final = ("-wal", "-shm", "-wal.unusable", ".schema*")
"""Of the files beside the store that have messages."""


class OpenPlace(NamedTuple):
    """A file or directory that other users can misuse."""

    sentence: str
    refused: bool
    """Whether the daemon does not start; otherwise it is a warning."""


def check_places(config: Config) -> None:
    """Check everything that the daemon reads and writes.

    Raises:
        PermissionDeniedError: The user of this process can't use one of the files, or others can misuse one.
    """
    for problem in find_refusals(config):
        raise PermissionDeniedError(problem)


def find_refusals(config: Config, *read: tuple[str, Path]) -> Iterator[str]:
    """Yield why a daemon of this user would be refused, one sentence each.

    Args:
        config: The configuration.
        read: Further files that it reads, each with what it is.
    """
    needed = (*read, ("tls.certificate", config.tls.certificate), ("tls.key", config.tls.key))
    for key, path in needed:
        yield from _unusable(key, path, os.R_OK)
    yield from _unusable_store(config.store.path)
    yield from _unusable_log(config.log.session_log)
    yield from _unusable_socket(config.server.admin_socket)
    for place in find_open_places(config):
        if place.refused:
            yield place.sentence


def can_read_pair(config: Config) -> bool:
    """Return whether this user can read certificate and key, or they are missing."""
    paths = (config.tls.certificate, config.tls.key)
    return not any(problem for path in paths for problem in _unusable("", path, os.R_OK))


def find_open_places(config: Config) -> Iterator[OpenPlace]:
    """Yield the files that others can read or change, and the directories where they can put their own."""
    store, log, socket = config.store.path, config.log.session_log, config.server.admin_socket
    yield from _open_files("store.path", _files_of_store(store), refused=_OPEN, warned=0)
    yield from _open_files("log.session_log", [log], refused=_FORGED, warned=0o024)
    yield from _open_directory("store.path", store, sticky=False, refused=True)
    if socket.parent != store.parent:
        yield from _open_directory("server.admin_socket", socket, sticky=False, refused=True)
    if log.parent not in (store.parent, socket.parent):
        yield from _open_directory("log.session_log", log, sticky=True, refused=False)


# --- what this user can't use


def _unusable(key: str, path: Path, mode: int) -> Iterator[str]:
    """Yield why a file can't be used; a missing one is no matter of permission."""
    closed = closed_directory(path)
    if closed is not None:
        yield f"{key}: {path}: {explain_closed(closed, os.X_OK)}, or put the file elsewhere"
    elif path.exists() and not os.access(path, mode, effective_ids=True):
        if mode & os.W_OK and os.statvfs(path).f_flag & os.ST_RDONLY:
            yield (
                f"{path}: read-only file system; see the kernel's log for the cause, and remount it "
                "for writing"
            )
        else:
            yield f"{key}: {explain_closed(path, mode)}"


def _unusable_store(store: Path) -> Iterator[str]:
    """Yield the first reason why the store can't be used: a command that mends it mends all of its files."""
    store = Path(os.path.realpath(store))
    needed = (store, *(Path(f"{store}{suffix}") for suffix in ("-wal", "-shm", ".reserve")))
    for path in needed:
        for problem in _unusable("store.path", path, _READ_WRITE):
            foreign = [
                each for each in sorted(store.parent.glob(f"{glob.escape(store.name)}*")) if _is_foreign(each)
            ]
            mended = problem.rpartition("; run ")[0]
            yield f"{mended}; run `{own_command(foreign)}`" if path in foreign and mended else problem
            return
    yield from _unusable("store.path", store.parent, os.W_OK)


def _is_foreign(path: Path) -> bool:
    status = _status(path)
    return status is not None and status.st_uid != os.geteuid()


def _unusable_log(log: Path) -> Iterator[str]:
    log = Path(os.path.realpath(log))
    yield from _unusable("log.session_log", log if _exists(log) else log.parent, os.W_OK)


def _unusable_socket(socket: Path) -> Iterator[str]:
    directory = socket.parent
    yield from _unusable("server.admin_socket", directory, os.W_OK)
    # The unit makes a directory in /run, and so does `run` of root.
    if not _exists(directory) and directory.parent != Path("/run"):
        yield from _unusable("server.admin_socket", directory.parent, os.W_OK)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


# --- what others can misuse


def _files_of_store(store: Path) -> list[Path]:
    store = Path(os.path.realpath(store))
    name = glob.escape(store.name)
    return [store, *(found for suffix in _BESIDE for found in sorted(store.parent.glob(name + suffix)))]


def _open_files(key: str, paths: Sequence[Path], *, refused: int, warned: int) -> Iterator[OpenPlace]:
    """Yield a sentence about files with a mode that is too wide, and one about those of another user."""
    found = [(path, status) for path in paths if (status := _status(path)) and stat.S_ISREG(status.st_mode)]
    wide = [(path, status.st_mode) for path, status in found if status.st_mode & (refused | warned)]
    if wide:
        path, mode = wide[0]
        command = f"chmod {'640' if warned else '600'} {shlex.join(str(each) for each, _ in wide)}"
        others = f"{path}: other users can {_verbs(mode)} it (mode {mode & 0o7777:04o})"
        worst = any(mode & refused for _, mode in wide)
        yield OpenPlace(f"{key}: {others}; run `{command}`", refused=worst)
    for path, status in found:
        if status.st_uid not in (0, os.geteuid()):
            owner, user = user_name(status.st_uid), user_name(os.geteuid())
            yield OpenPlace(
                f"{key}: {path}: belongs to {owner}, who can read and change it; "
                f"run `chown {user} {shlex.quote(str(path))}`",
                refused=bool(refused & stat.S_IROTH),
            )


def _verbs(mode: int) -> str:
    can = [verb for verb, bits in (("read", 0o004), ("change", 0o022)) if mode & bits]
    return " and ".join(can)


def _open_directory(key: str, path: Path, *, sticky: bool, refused: bool) -> Iterator[OpenPlace]:
    """Yield a sentence about a directory in which others can put a file of their own.

    Args:
        key: The setting.
        path: The file in it.
        sticky: Whether the sticky bit protects what is in it; not what is to be made there.
        refused: Whether a directory of another user is refused; one that all can write to always is.
    """
    directory = Path(os.path.realpath(path)).parent
    status = _status(directory)
    if status is None:
        return
    mode, shown = status.st_mode, shlex.quote(str(directory))
    # A group may write: with umask 002 it has only its user, and git makes all directories so.
    if mode & stat.S_IWOTH and not (sticky and mode & stat.S_ISVTX):
        command = "" if is_shared(directory) else f"run `chmod o-w {shown}`, or "
        yield OpenPlace(
            f"{key}: other users can put files of their own into {directory} (mode {mode & 0o7777:04o}); "
            f"{command}choose a directory of the daemon's own",
            refused=True,
        )
    if status.st_uid not in (0, os.geteuid()):
        owner, user = user_name(status.st_uid), user_name(os.geteuid())
        yield OpenPlace(
            f"{key}: {owner} can replace {path}, because {directory} belongs to {owner}; "
            f"run `chown {user} {shown}`",
            refused=refused,
        )


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
