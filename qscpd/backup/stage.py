"""The directory in which a restore is prepared, beside what it will become.

It is locked while the restore runs. One without a lock is left over from a restore that was killed.
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qscpd.backup.manifest import CA_CERTIFICATE, CA_KEY, CERTIFICATE, CONFIG, KEY, STORE
from qscpd.errors import StoreBusyError

DIRECTORIES: Final = {"config": 0o755, "certs": 0o755, "var": 0o700}
"""Directories of an installation, and their modes."""

_NAME: Final = ".restoring"
_MODE: Final = 0o700

_FILES: Final = {
    "config": (CONFIG,),
    "certs": (CERTIFICATE, KEY, CA_CERTIFICATE, CA_KEY),
    "var": (STORE,),
}
"""Files of each directory; others are named after them, as `qscpd.db-wal` and `.qscpd.yaml.1f3c`."""


@contextlib.contextmanager
def stage_of(into: Path) -> Iterator[Path]:
    """Make the directory and keep others from it; it is removed unless the block removes it.

    Raises:
        StoreBusyError: Another restore has begun at the same moment.
        OSError: It can't be made.
    """
    stage = into / _NAME
    stage.mkdir(mode=_MODE)
    stage.chmod(_MODE)  # whatever the umask is
    descriptor = _lock(stage)
    if descriptor is None:
        raise _busy(stage)
    try:
        yield stage
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def remove_left_over(into: Path) -> None:
    """Remove what a killed restore left alone in a directory; keep anything that is not certainly that.

    Raises:
        StoreBusyError: That restore still runs.
        OSError: It can't be read or removed.
    """
    if not any(each.name != _NAME for each in into.iterdir()):
        clear_stage(into)


def clear_stage(into: Path) -> None:
    """Remove what a killed restore left, also beside other files.

    Raises:
        StoreBusyError: That restore still runs.
        OSError: It can't be read or removed.
    """
    stage = into / _NAME
    if not _is_ours(stage):
        return
    descriptor = _lock(stage)
    if descriptor is None:
        raise _busy(stage)
    try:
        shutil.rmtree(stage)
    finally:
        os.close(descriptor)


def _busy(stage: Path) -> StoreBusyError:
    return StoreBusyError(
        f"{stage}: another `qscpd restore` is filling this directory; wait until it has ended"
    )


def _lock(stage: Path) -> int | None:
    """Return a locked descriptor of the directory; None if another process has locked or replaced it."""
    descriptor = os.open(stage, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(stage.lstat(), os.fstat(descriptor)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _is_ours(stage: Path) -> bool:
    """Return whether a directory has the owner, the mode and only files as a restore makes them."""
    try:
        found = stage.lstat()
    except FileNotFoundError:
        return False
    # A setgid bit comes from the directory that it is in.
    made_so = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) & 0o777 == _MODE
    if not made_so or found.st_uid != os.geteuid():
        return False
    return all(
        each.name in DIRECTORIES
        and each.is_dir()
        and not each.is_symlink()
        and all(_is_file_of(each.name, file) for file in each.iterdir())
        for each in stage.iterdir()
    )


def _is_file_of(directory: str, file: Path) -> bool:
    names = "|".join(re.escape(name) for name in _FILES[directory])
    return re.fullmatch(rf"\.?({names})([-.].*)?", file.name) is not None and stat.S_ISREG(
        file.lstat().st_mode
    )
