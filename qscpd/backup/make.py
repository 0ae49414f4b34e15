"""Creation of a backup, also while the daemon runs.

The folder is written under an unfinished name, flushed to the disk, read back and checked.
Only then it gets its final name: a folder with that name is complete.
"""

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from qscp import __version__
from qscpd.backup.content import copy_stream
from qscpd.backup.manifest import (
    BACKUP_FORMAT,
    BACKUP_NAME,
    CA_CERTIFICATE,
    CA_KEY,
    CERTIFICATE,
    CONFIG,
    KEY,
    MANIFEST,
    STORE,
    UNFINISHED,
    BackupFile,
    Manifest,
    backup_order,
)
from qscpd.backup.verify import find_problems
from qscpd.config import LoadedConfig
from qscpd.errors import QscpdError
from qscpd.files import file_errors, sync
from qscpd.setup.pki import AuthorityFiles
from qscpd.store import copy_store, inspect_copy, store_url
from qscpd.store.damage import OnDamage

_PAUSE_S: Final = 0.005
"""Pause after every few megabytes of the store, so that the daemon's commits reach the disk too."""


def make_backup(destination: Path, loaded: LoadedConfig, on_damage: OnDamage | None = None) -> Path:
    """Create a backup in a new folder.

    Args:
        destination: Parent of the new folder; created if its own parent exists.
        loaded: The configuration whose store and certificates are copied.
        on_damage: Called with each place whose messages can't be read; the backup is made all the same.

    Returns:
        The folder.

    Raises:
        PermissionDeniedError: This user can't read all files, or can't write there.
        QscpdError: Any other error; no unfinished folder remains.
    """
    with file_errors(destination):
        destination.mkdir(mode=0o700, exist_ok=True)
    now = datetime.now(UTC)
    folder = _free_name(destination, f"{now:%Y%m%dT%H%M%SZ}")
    unfinished = folder.with_name(folder.name + UNFINISHED)
    with file_errors(unfinished):
        unfinished.mkdir(mode=0o700)
    try:
        _fill(unfinished, loaded, f"{now:%Y-%m-%dT%H:%M:%SZ}")
        _check(unfinished, on_damage)
        with file_errors(folder):
            sync(unfinished)
            unfinished.rename(folder)
            sync(destination)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder


def _free_name(destination: Path, stamp: str) -> Path:
    """Return the name of a new backup, which sorts after all others: `prune` keeps the last ones.

    If the clock was set back, it is the newest backup's time with a number.
    """
    with file_errors(destination):
        names = [each.name.removesuffix(UNFINISHED) for each in destination.iterdir()]
    used = [backup_order(match) for name in names if (match := BACKUP_NAME.fullmatch(name))]
    newest, number = max(used, default=("", 0))
    return destination / (f"qscp-{stamp}" if stamp > newest else f"qscp-{newest}-{number + 1}")


def _fill(folder: Path, loaded: LoadedConfig, created: str) -> None:
    """Write all files into an empty folder."""
    config = loaded.config
    authority = AuthorityFiles(config.tls.certificate.parent)
    files = [_copy_of_store(config.store.path, folder / STORE)]
    for source, name in (
        (loaded.path, CONFIG),
        (config.tls.certificate, CERTIFICATE),
        (config.tls.key, KEY),
    ):
        files.append(_copy(source, folder / name))
    # The certificate can be from elsewhere, and the CA key can be on another machine.
    if authority.ca_certificate.exists():
        files.append(_copy(authority.ca_certificate, folder / CA_CERTIFICATE))
    if authority.ca_key.exists() and _is_for_us(authority.ca_key):
        files.append(_copy(authority.ca_key, folder / CA_KEY))
    # Each damaged place is reported when the backup is checked.
    contents = inspect_copy(store_url(folder / STORE), on_damage=lambda _: None)
    manifest = Manifest(
        format=BACKUP_FORMAT,
        version=__version__,
        created=created,
        files=tuple(files),
        **contents._asdict(),
    )
    with file_errors(folder / MANIFEST):
        descriptor = _create(folder / MANIFEST)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
            file.flush()
            os.fsync(descriptor)


def _is_for_us(ca_key: Path) -> bool:
    """Return False if root has closed the CA key to this user: the daemon's has no use for it."""
    return os.geteuid() == 0 or os.access(ca_key, os.R_OK, effective_ids=True)


def _check(folder: Path, on_damage: OnDamage | None) -> None:
    problems = find_problems(folder, on_damage)
    if problems:
        raise QscpdError(f"no backup was made, because it would be incomplete: {problems[0]}")


def _copy_of_store(store: Path, target: Path) -> BackupFile:
    with file_errors(target):
        os.close(_create(target))
        copy_store(store_url(store), target, lambda: time.sleep(_PAUSE_S))
        sync(target)
        with target.open("rb") as file:
            return BackupFile(target.name, *copy_stream(file, None))


def _copy(source: Path, target: Path) -> BackupFile:
    with file_errors(source), source.open("rb") as file, file_errors(target):
        descriptor = _create(target)
        with os.fdopen(descriptor, "wb") as copy:
            fingerprint = copy_stream(file, copy)
            copy.flush()
            os.fsync(descriptor)
    return BackupFile(target.name, *fingerprint)


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
