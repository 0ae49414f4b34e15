"""Checks that the directories exist that the daemon writes to, and that its files are files."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from qscpd.config.model import Config
from qscpd.errors import QscpdError
from qscpd.reach import closed_directory


def check_kinds(config: Config) -> None:
    """Check the places of everything that the daemon writes.

    Raises:
        QscpdError: One can't be written by any user. A disk might be mounted later, so a restart can help.
    """
    for problem in find_wrong_kinds(config):
        raise QscpdError(problem)


def find_wrong_kinds(config: Config) -> Iterator[str]:
    """Yield why no user could write to a place, one sentence each.

    What this user can't see is a matter of permissions (`qscpd.config.places`).
    """
    store, log = (Path(os.path.realpath(path)) for path in (config.store.path, config.log.session_log))
    socket = config.server.admin_socket
    yield from _missing("store.path", store)
    yield from _missing("log.session_log", log)
    yield from _missing("server.admin_socket", socket.parent)  # the daemon makes the last one
    yield from _wrong("store.path", store, "regular file", stat.S_ISREG)
    yield from _wrong("log.session_log", log, "file", lambda mode: stat.S_ISREG(mode) or stat.S_ISCHR(mode))
    yield from _wrong("server.admin_socket", socket, "socket", stat.S_ISSOCK)
    yield from _wrong("server.admin_socket", socket.parent, "directory", stat.S_ISDIR)


def _missing(key: str, path: Path) -> Iterator[str]:
    directory = path.parent
    if closed_directory(directory) is not None or directory.is_dir():
        return
    if directory.exists():
        yield f"{key}: {directory} is not a directory; move it, or choose another place"
    else:
        yield (f"{key}: the directory of {path} does not exist; mount it, or create it for the daemon's user")


def _wrong(key: str, path: Path, kind: str, is_right: Callable[[int], bool]) -> Iterator[str]:
    try:
        mode = path.lstat().st_mode if kind == "socket" else path.stat().st_mode
    except OSError:
        return  # it is made, or this user can't see it
    if not is_right(mode):
        yield f"{key}: {path} exists and is not a {kind}; move it, or choose another place"
