"""Removal of old backups.

Only folders with the name and the manifest of a backup are removed, only files that the
manifest names, and never the last intact backup.
"""

import os
from pathlib import Path
from typing import NamedTuple

from qscpd.backup.content import printable
from qscpd.backup.manifest import BACKUP_NAME, MANIFEST, UNFINISHED, backup_order, read_manifest
from qscpd.backup.verify import find_problems
from qscpd.errors import QscpdError
from qscpd.files import file_errors, sync


class Pruned(NamedTuple):
    """Result of `prune_backups`."""

    kept: list[Path]
    """Kept backups, newest first."""
    removed: list[Path]
    incomplete: list[Path]
    """Folders that look like unfinished backups; they are not touched."""
    closed: list[Path]
    """Backups that this user can't read, as another user made them; they are neither counted nor touched."""
    spared: Path | None
    """Backup that was kept only because all newer ones are damaged."""


def prune_backups(destination: Path, keep: int) -> Pruned:
    """Remove all but the newest backups.

    Args:
        destination: Directory of the backups.
        keep: Number of backups to keep; at least one.

    Raises:
        QscpdError: The directory can't be read, or a file can't be removed.
    """
    with file_errors(destination):
        folders = [each for each in destination.iterdir() if each.is_dir() and not each.is_symlink()]
    closed = sorted(each for each in folders if _is_closed(each))
    folders = [each for each in folders if each not in closed]
    incomplete = sorted(each for each in folders if _looks_unfinished(each))
    complete = sorted((each for each in folders if _is_complete(each)), key=_age, reverse=True)
    kept, old = complete[:keep], complete[keep:]
    spared = None
    if old and not any(_is_intact(each) for each in kept):
        spared = next((each for each in old if _is_intact(each)), None)
    removed = [each for each in old if each != spared]
    for each in reversed(removed):
        _remove(each)
    return Pruned(kept, removed, incomplete, closed, spared)


def _is_intact(folder: Path) -> bool:
    return not find_problems(folder) and not read_manifest(folder).damaged


def _is_closed(folder: Path) -> bool:
    named = BACKUP_NAME.fullmatch(folder.name.removesuffix(UNFINISHED)) is not None
    return named and not os.access(folder, os.R_OK | os.X_OK, effective_ids=True)


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
    return backup_order(match)


def _remove(folder: Path) -> None:
    manifest = read_manifest(folder)
    # From here on it no longer counts as a backup, wherever this is interrupted.
    doomed = folder.with_name(folder.name + UNFINISHED)
    with file_errors(folder):
        folder.rename(doomed)
        for name in (MANIFEST, *(file.name for file in manifest.files)):
            (doomed / name).unlink(missing_ok=True)
        try:
            doomed.rmdir()
        except OSError as error:
            others = printable(", ".join(sorted(each.name for each in doomed.iterdir())))
            raise QscpdError(
                f"{doomed}: not removed, because it contains files of others: {others}"
            ) from error
        sync(folder.parent)
