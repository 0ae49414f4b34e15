"""Ways to a file: the directories that have to be entered, and who can enter them."""

import grp
import os
import shlex
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qscpd.privileges import user_name

_LINKS: Final = 40
"""Most symbolic links on the way to a file (path_resolution(7))."""

_SHARED: Final = frozenset(
    Path("/", name)
    for name in (
        "", "boot", "dev", "etc", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp",
        "usr", "usr/local", "var", "var/backups", "var/cache", "var/lib", "var/log", "var/spool", "var/tmp",
    )
)  # fmt: skip
"""Directories of the whole system (hier(7)), whose owner and mode are not ours to change."""

_ENTER: Final = {os.X_OK: "enter", os.R_OK: "read", os.W_OK: "write", os.R_OK | os.W_OK: "read and write"}
_LETTERS: Final = {os.X_OK: "x", os.R_OK: "r", os.W_OK: "w", os.R_OK | os.W_OK: "rw"}


def way_to(path: Path) -> Iterator[Path]:
    """Yield each directory on the way to a file, in the order of entering, also those of links.

    A directory is yielded before anything in it is looked up.
    """
    at = Path("/")
    parts = deque(Path.cwd().joinpath(path).parts[1:])
    links = 0
    while parts:
        yield at
        part = parts.popleft()
        if part == "..":
            at = at.parent
            continue
        entry = at / part
        if entry.is_symlink() and links < _LINKS:
            links += 1
            target = entry.readlink()
            if target.is_absolute():
                at = Path("/")
            parts.extendleft(reversed([each for each in target.parts if each != "/"]))
            continue
        at = entry


def closed_directory(path: Path) -> Path | None:
    """Return the first directory on the way that this user can't enter; None if there is none."""
    for directory in way_to(path):
        if directory.is_dir() and not os.access(directory, os.X_OK, effective_ids=True):
            return directory
    return None


def explain_closed(path: Path, mode: int) -> str:
    """Return the sentence for a file or directory that this user can't use, with the command that mends it.

    Args:
        path: It exists, and the directories on the way can be entered.
        mode: What is needed, such as `os.X_OK`.
    """
    status = path.stat()
    user = user_name(os.geteuid())
    owner = f"mode {status.st_mode & 0o7777:04o}, owner {user_name(status.st_uid)}"
    cure = f"run {_command(path, status, mode)}"
    if is_shared(path):
        cure = "choose another directory" if mode == os.X_OK else f"choose a directory that belongs to {user}"
    return f"user {user} can't {_ENTER[mode]} {path} ({owner}); {cure}"


def is_shared(directory: Path) -> bool:
    """Return whether a directory is one of the whole system, whose owner and mode have to stay."""
    return directory in _SHARED


def _command(path: Path, status: os.stat_result, mode: int) -> str:
    """Return the command that opens a file to this user, and to as few others as possible."""
    shown, letters = shlex.quote(str(path)), _LETTERS[mode]
    if status.st_uid == os.geteuid():
        return f"`chmod u+{letters} {shown}`"
    if mode & os.W_OK:
        return f"`{own_command([path])}`"
    if status.st_gid in (os.getegid(), *os.getgroups()):
        return f"`chmod g+{letters} {shown}`"
    if status.st_gid == 0 or not status.st_mode & 0o070:
        return f"`chgrp {_group_name(os.getegid())} {shown} && chmod g+{letters} {shown}`"
    return f"`setfacl -m u:{user_name(os.geteuid())}:{letters} {shown}`"


def own_command(paths: Sequence[Path]) -> str:
    """Return the command that gives files to this user."""
    return f"chown {user_name(os.geteuid())}:{_group_name(os.getegid())} {shlex.join(map(str, paths))}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
