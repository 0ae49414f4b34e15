"""Removing old backups, and nothing else.

Only folders with the name and the manifest of a backup are removed, only the files that the
manifest names, and never the last one that is whole.
"""

from pathlib import Path
from typing import NamedTuple

from qscpd.backup.manifest import BACKUP_NAME, MANIFEST, UNFINISHED, read_manifest
from qscpd.backup.verify import find_problems
from qscpd.errors import QscpdError
from qscpd.files import file_errors, sync

__all__ = ["Pruned", "prune_backups"]


class Pruned(NamedTuple):
    """What became of the backups in a directory."""

    kept: list[Path]
    """Newest first."""
    removed: list[Path]
    incomplete: list[Path]
    """Folders that look like backups and are not finished; they were left alone."""
    spared: Path | None
    """One that would have been removed, but those that are newer are damaged."""


def prune_backups(destination: Path, keep: int) -> Pruned:
    """Remove all but the newest backups.

    Args:
        destination: Where the backups are.
        keep: How many stay; at least one.

    Raises:
        QscpdError: The directory can't be read, or something can't be removed.
    """
    with file_errors(destination):
        folders = [each for each in destination.iterdir() if each.is_dir() and not each.is_symlink()]
    incomplete = sorted(each for each in folders if _looks_unfinished(each))
    complete = sorted((each for each in folders if _is_complete(each)), key=_age, reverse=True)
    kept, old = complete[:keep], complete[keep:]
    spared = None
    if old and all(find_problems(each) for each in kept):
        spared = next((each for each in old if not find_problems(each)), None)
    removed = [each for each in old if each != spared]
    for each in reversed(removed):
        _remove(each)
    return Pruned(kept, removed, incomplete, spared)


def _looks_unfinished(folder: Path) -> bool:
    name = folder.name.removesuffix(UNFINISHED)
    return BACKUP_NAME.fullmatch(name) is not None and (name != folder.name or not _is_complete(folder))


def _is_complete(folder: Path) -> bool:
    if BACKUP_NAME.fullmatch(folder.name) is None:
        return False
    try:
        manifest = read_manifest(folder)
    except QscpdError:
        return False
    return all((folder / file.name).is_file() for file in manifest.files)


def _age(folder: Path) -> tuple[str, int]:
    match = BACKUP_NAME.fullmatch(folder.name)
    if match is None:
        raise ValueError(folder)
    return match[1], int(match[2] or 1)


def _remove(folder: Path) -> None:
    manifest = read_manifest(folder)
    # From now on nobody takes it for a whole one, wherever this is interrupted.
    doomed = folder.with_name(folder.name + UNFINISHED)
    with file_errors(folder):
        folder.rename(doomed)
        for name in (MANIFEST, *(file.name for file in manifest.files)):
            (doomed / name).unlink(missing_ok=True)
        try:
            doomed.rmdir()
        except OSError as error:
            others = ", ".join(sorted(each.name for each in doomed.iterdir()))
            raise QscpdError(f"{doomed}: has files that qscpd did not make, and stays: {others}") from error
        sync(folder.parent)
