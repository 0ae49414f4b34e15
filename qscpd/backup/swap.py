"""Files that take the place of others, in one step each; the earlier ones are kept beside them, dated."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from qscpd.files import sync

_SUFFIX: Final = ".before-restore-"


def unused_suffix(targets: Iterable[Path]) -> str:
    """Return a dated suffix under which no file of the targets was kept before."""
    stamp = f"{_SUFFIX}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    directories = {each.parent for each in targets if each.parent.is_dir()}
    taken = {path.name for directory in directories for path in directory.iterdir()}
    number = 1
    suffix = stamp
    while any(suffix in name for name in taken):
        number += 1
        suffix = f"{stamp}-{number}"
    return suffix


def put_in_place(new: Path, target: Path, suffix: str) -> Path | None:
    """Give a file the name of another one, so that the name is there at every moment.

    Args:
        new: The file, on the same file system; it loses its present name.
        target: The name that it gets.
        suffix: As of `unused_suffix`.

    Returns:
        Where the file is that had the name; None if none had it.

    Raises:
        FileExistsError: The name was free before, and a file has just got it.
        OSError: The directory can't be written.
    """
    if not os.path.lexists(target):
        os.link(new, target)  # where rename() would replace
        new.unlink()
        sync(target.parent)
        return None
    kept = Path(f"{target}{suffix}")
    os.link(target, kept, follow_symlinks=False)
    new.rename(target)
    sync(target.parent)
    return kept


def set_aside(path: Path, suffix: str) -> Path:
    """Rename a file that nothing replaces, and return its new name."""
    kept = Path(f"{path}{suffix}")
    path.rename(kept)
    sync(path.parent)
    return kept
