"""Restoring of a backup as an installation in an empty directory.

It has the layout of `qscpd init --dev`: config/, certs/, var/, with relative paths, so that the
whole directory can move. The configuration comes last: before that, nothing can be started.
"""

import dataclasses
import os
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from qscpd.backup.content import copy_checked
from qscpd.backup.manifest import (
    CA_CERTIFICATE,
    CA_KEY,
    CERTIFICATE,
    CONFIG,
    KEY,
    STORE,
    BackupFile,
    Manifest,
    read_manifest,
)
from qscpd.backup.stage import DIRECTORIES, remove_left_over, stage_of
from qscpd.backup.verify import find_problems_of
from qscpd.config import load_config, render_config
from qscpd.config.load import parse_config
from qscpd.errors import ExistsError, QscpdError, StoreBusyError
from qscpd.files import file_errors, sync, write_new_file
from qscpd.privileges import service_user
from qscpd.store import lock_store, open_store, store_in_use, store_url
from qscpd.store.upgrade import UpgradeLine

_PLACES = {
    STORE: ("var", 0o600),
    CERTIFICATE: ("certs", 0o644),
    KEY: ("certs", 0o600),
    CA_CERTIFICATE: ("certs", 0o644),
    CA_KEY: ("certs", 0o600),
}


class Restored(NamedTuple):
    """Result of `restore_backup`."""

    config: Path
    """Configuration to start the daemon with."""
    manifest: Manifest
    epoch: str
    """Epoch of the new store."""


def restore_backup(directory: Path, into: Path) -> Restored:
    """Check a backup and restore it into a directory.

    Args:
        directory: The backup.
        into: An empty or a new directory.

    Raises:
        ExistsError: The directory is not empty.
        StoreBusyError: A running daemon uses the directory.
        QscpdError: The backup is damaged, or the disk is full.
    """
    with file_errors(into):
        _refuse_used(into)
    manifest = checked_manifest(directory)
    config = _adjusted_config(directory / CONFIG, into / "config" / CONFIG)
    with file_errors(into):
        into.mkdir(mode=0o755, exist_ok=True)
        with stage_of(into) as stage:
            epoch = _fill(stage, directory, manifest, config)
            for name in ("var", "certs", "config"):
                (stage / name).rename(into / name)
            stage.rmdir()
            sync(into)
    return Restored(into / "config" / CONFIG, manifest, epoch)


def checked_manifest(directory: Path) -> Manifest:
    """Check a backup and return its manifest; it is read once, so what is checked is what is restored.

    Raises:
        QscpdError: The backup is damaged.
    """
    manifest = read_manifest(directory)
    problems = find_problems_of(directory, manifest)
    if problems:
        raise QscpdError(
            f"nothing was restored: {problems[0]}"
            + (f" (`qscpd verify {directory}` shows all {len(problems)} problems)" if problems[1:] else "")
        )
    return manifest


def _fill(stage: Path, directory: Path, manifest: Manifest, config: str) -> str:
    """Write all files, and return the new epoch."""
    for name, mode in DIRECTORIES.items():
        (stage / name).mkdir()
        (stage / name).chmod(mode)
    for file in manifest.files:
        _copy_file(directory, stage, file)
    write_new_file(stage / "config" / CONFIG, config.encode(), mode=0o644)
    epoch = renew_store(stage / "var" / STORE)
    _set_owners(stage)
    for name in DIRECTORIES:
        sync(stage / name)
    return epoch


def _refuse_used(into: Path) -> None:
    if not into.exists():
        return
    for file in (*into.glob("*"), *into.glob("*/*")):
        if store_in_use(store_url(file)):
            raise StoreBusyError(f"{file}: a running qscpd uses this store; restore into an empty directory")
    remove_left_over(into)
    found = sorted(each.name for each in into.iterdir())
    if found:
        more = f" and {len(found) - 1} more" if found[1:] else ""
        raise ExistsError(f"{into}: is not empty ({found[0]}{more}); restore into an empty directory")


def _adjusted_config(backup: Path, target: Path) -> str:
    """Return every setting of the backup, with the paths of the new place."""
    nothing = MappingProxyType[str, str]({})
    loaded = load_config(backup, environ=nothing)
    config, up = loaded.config, Path("..")
    adjusted = dataclasses.replace(
        config,
        server=dataclasses.replace(config.server, admin_socket=up / "var" / "admin.sock"),
        tls=dataclasses.replace(config.tls, certificate=up / "certs" / CERTIFICATE, key=up / "certs" / KEY),
        store=dataclasses.replace(config.store, path=up / "var" / STORE),
        log=dataclasses.replace(config.log, session_log=up / "var" / "sessions.log"),
    )
    text = (
        "# Restored from a backup by `qscpd restore`: every setting, with the paths of this directory.\n"
        f"# The original file is beside it, as {CONFIG}.original.\n\n"
        + render_config(dataclasses.replace(loaded, config=adjusted))
    )
    parse_config(text, target, cwd=Path.cwd())
    return text


def _copy_file(directory: Path, stage: Path, file: BackupFile) -> None:
    place, mode = _PLACES.get(file.name, ("config", 0o644))
    name = f"{CONFIG}.original" if file.name == CONFIG else file.name
    copy_checked(directory / file.name, (file.size, file.sha256), stage / place / name, mode)


def renew_store(store: Path) -> str:
    """Migrate a copied store to our schema, and return its new epoch.

    Raises:
        StoreError: It can't be opened, or the disk is full.
    """
    url = store_url(store)
    with lock_store(url):
        with UpgradeLine() as on_upgrade:
            # They are counted in the manifest, and `verify` names them.
            opened = open_store(url, on_damage=lambda _: None, on_upgrade=on_upgrade)
        try:
            opened.renew_epoch()
            return opened.epoch()
        finally:
            opened.close()


def _set_owners(stage: Path) -> None:
    """Make the service's user the owner of its files, as `qscpd init` does."""
    owner = service_user()
    if owner is None:
        return
    for path in (stage / "var", *(stage / "var").iterdir()):
        os.chown(path, owner.uid, owner.gid)
    key = stage / "certs" / KEY
    os.chown(key, 0, owner.gid)
    key.chmod(0o640)
