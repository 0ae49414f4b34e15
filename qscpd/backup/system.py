"""Restoring of a backup in the place of the installed service, for its user.

Everything is prepared and checked first. Then the store changes in one step, after it the certificates,
and the configuration last: a new one can name another store, which must be there by then.
"""

import contextlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from qscpd.backup.content import copy_checked, copy_stream, open_regular
from qscpd.backup.manifest import (
    CA_CERTIFICATE,
    CA_KEY,
    CERTIFICATE,
    CONFIG,
    KEY,
    STORE,
    BackupFile,
    Manifest,
)
from qscpd.backup.restore import checked_manifest, renew_store
from qscpd.backup.stage import clear_stage, stage_of
from qscpd.backup.swap import put_in_place, set_aside, unused_suffix
from qscpd.backup.trust import check_paths, check_relative_paths
from qscpd.config import Config, LoadedConfig
from qscpd.errors import NotFoundError, PermissionDeniedError, QscpdError, StoreBusyError, StoreFullError
from qscpd.files import file_errors
from qscpd.privileges import DAEMON_USER, ROOT, SystemUser, acting_as, owner_of, service_user
from qscpd.setup.pki import AuthorityFiles
from qscpd.store import lock_store, newest_schema, open_store, store_in_use, store_url
from qscpd.store.upgrade import UpgradeLine

STOP_FIRST: Final = "stop it first: systemctl stop qscpd. Nothing was changed"
"""End of a sentence about a daemon that runs."""

_SLACK: Final = 1 << 20
"""Bytes that must be free beside the store's: its journal while it gets a new epoch, and small files."""

_CONFIG_LIMIT: Final = 1 << 20
"""Bytes of a configuration, as in a manifest."""

_STAGED: Final = ".restoring"


class Change(NamedTuple):
    """File that was put in place, or set aside because it does not belong to the restored ones."""

    path: Path
    kept: Path | None
    """Where the earlier file is; None if none was there."""
    restored: bool = True


class SystemRestored(NamedTuple):
    """Result of `restore_system`."""

    manifest: Manifest
    config: Path
    """The configuration in force now."""
    changes: list[Change]
    epoch: str
    """Epoch of the new store."""


class _Place(NamedTuple):
    """Place of a file of the backup in the service's layout."""

    file: BackupFile
    path: Path
    mode: int
    owner: SystemUser

    @property
    def staged(self) -> Path:
        return self.path.with_name(f".{self.path.name}{_STAGED}")


def restore_system(
    directory: Path,
    choose: Callable[[str], LoadedConfig],
    *,
    present: Config | None = None,
    store_only: bool = False,
) -> SystemRestored:
    """Check a backup, and put it in the place of the installed service.

    Args:
        directory: The backup.
        choose: Called with the text of the backup's configuration; returns the configuration that is in
            force afterwards. Its paths are the places of the files, its own the place of the configuration.
        present: The configuration of this machine, if there is a valid one.
        store_only: Leave configuration and certificates as they are.

    Raises:
        PermissionDeniedError: This user is not root, or the backup must not decide where root writes.
        StoreBusyError: The daemon uses the store; nothing was changed.
        StoreFullError: There is not enough space; nothing was changed.
        NotFoundError: A directory or the user of the service is missing; nothing was changed.
        ConfigError: A relative path of the backup would lead elsewhere; nothing was changed.
        QscpdError: The backup is damaged, and nothing was changed; or the disk fails.
    """
    check_root()
    manifest = checked_manifest(directory)
    with file_errors(directory / CONFIG), open_regular(directory / CONFIG) as file:
        text = file.read(_CONFIG_LIMIT).decode()
    loaded = choose(text)
    if not store_only:
        check_relative_paths(directory, text, loaded, present)
        check_paths(directory, loaded, present)
    store = Path(os.path.realpath(loaded.config.store.path))
    if store_in_use(store_url(store)):
        raise StoreBusyError(f"{store}: a running qscpd uses this store; {STOP_FIRST}")
    owner = _owner_of_store(store)
    places = [] if store_only else list(_places(manifest, loaded, owner))
    directories = _directories(loaded.config, store, places, owner, store_only=store_only)
    _check_directories(directories)
    _check_space(store, manifest)
    for path, mode, of in directories:
        _make_directory(path, mode, of)
    _give_directory(store, owner)
    with file_errors(store), contextlib.ExitStack() as stack:
        suffix = unused_suffix([store, *(place.path for place in places)])
        stale = list(_stale(manifest, loaded.config, places))
        changed = [place for place in places if not _has_content(place)]
        staged, epoch = _stage_store(stack, directory, manifest, store, owner)
        for place in changed:
            stack.enter_context(_staged(directory, place))
        _lock_stores(stack, staged, store)
        changes = [_put_store(staged, store, suffix)]
        for path in stale:
            with file_errors(path):
                changes.append(Change(path, set_aside(path, suffix), restored=False))
        for each in changed:
            with file_errors(each.path):
                changes.append(Change(each.path, put_in_place(each.staged, each.path, suffix)))
        _give_key(places)
    return SystemRestored(manifest, loaded.path, changes, epoch)


def check_root() -> None:
    """Check that this user is root, who alone can write the files of a service.

    Raises:
        PermissionDeniedError: It is another user.
    """
    if os.geteuid() != 0:
        raise PermissionDeniedError("--system writes files of root and of the service; run this as root")


def _places(manifest: Manifest, loaded: LoadedConfig, owner: SystemUser) -> Iterator[_Place]:
    """Yield the places of all files but the store, in the order in which they are put there."""
    tls = loaded.config.tls
    authority = AuthorityFiles(tls.certificate.parent)
    found = {
        KEY: (tls.key, 0o640 if owner.uid else 0o600, ROOT._replace(gid=owner.gid)),
        CERTIFICATE: (tls.certificate, 0o644, ROOT),
        CA_CERTIFICATE: (authority.ca_certificate, 0o644, ROOT),
        CA_KEY: (authority.ca_key, 0o600, ROOT),
        CONFIG: (loaded.path, 0o644, ROOT),
    }
    files = {file.name: file for file in manifest.files}
    seen = set()
    for name, (path, mode, of) in found.items():
        real = Path(os.path.realpath(path))
        # Certificate and key can be in one file, which then has the mode of a key.
        if name in files and real not in seen:
            seen.add(real)
            yield _Place(files[name], real, mode, of)


def _stale(manifest: Manifest, config: Config, places: list[_Place]) -> Iterator[Path]:
    """Yield files of another authority than the restored one, which the backup does not have."""
    changed = {place.file.name for place in places if not _has_content(place)}
    authority = AuthorityFiles(config.tls.certificate.parent)
    if CERTIFICATE in changed and not manifest.has(CA_CERTIFICATE) and authority.ca_certificate.exists():
        yield authority.ca_certificate
    other = CA_CERTIFICATE in changed if manifest.has(CA_CERTIFICATE) else CERTIFICATE in changed
    if other and not manifest.has(CA_KEY) and authority.ca_key.exists():
        yield authority.ca_key


def _has_content(place: _Place) -> bool:
    """Return whether a file is in its place already."""
    try:
        with place.path.open("rb") as file:
            return copy_stream(file, None, place.file.size + 1) == (place.file.size, place.file.sha256)
    except OSError:
        return False


def _owner_of_store(store: Path) -> SystemUser:
    """Return the future owner of the store: that of its directory, or the user of the service."""
    user = service_user()
    directory = store.parent
    if not directory.exists():
        if user is None:
            raise NotFoundError(
                f"the system user {DAEMON_USER} does not exist; create it with `make install`. "
                "Nothing was changed"
            )
        return user
    with file_errors(directory):
        found = owner_of(directory)
        if found.uid != 0 or user is None:
            return found
        others = sorted(each.name for each in directory.iterdir() if not each.name.startswith(store.name))
    if others:
        raise PermissionDeniedError(
            f"{directory}: belongs to root and has other files than the store ({others[0]}), so it was not "
            f"given to the service; run `chown {DAEMON_USER}: {shlex.quote(str(directory))}`. "
            "Nothing was changed"
        )
    return user


def _directories(
    config: Config, store: Path, places: list[_Place], owner: SystemUser, *, store_only: bool
) -> list[tuple[Path, int, SystemUser]]:
    """Return the directories that are needed, with the modes and owners of new ones."""
    needed = [(store.parent, 0o700, owner)]
    if not store_only:
        needed.append((config.log.session_log.parent, 0o750, owner))
        needed += [(place.path.parent, 0o755, ROOT) for place in reversed(places)]
    return needed


def _check_directories(needed: list[tuple[Path, int, SystemUser]]) -> None:
    """Check that each directory exists or can be made; a deeper one is rather on a disk that is missing."""
    made = {path for path, _, _ in needed}
    for path, _, _ in needed:
        if not path.is_dir() and not path.parent.is_dir() and path.parent not in made:
            raise NotFoundError(
                f"{path}: the directory does not exist, nor does the one above; mount it, or create it. "
                "Nothing was changed"
            )


def _make_directory(path: Path, mode: int, owner: SystemUser) -> None:
    with file_errors(path):
        if not path.is_dir():
            path.mkdir()
            path.chmod(mode)
            os.chown(path, owner.uid, owner.gid)


def _give_directory(store: Path, owner: SystemUser) -> None:
    """Give the store's directory to its user, who must make a journal in it."""
    with file_errors(store.parent):
        present = owner_of(store.parent)
        if present != owner and present.uid == 0:
            store.parent.chmod(0o700)
            os.chown(store.parent, owner.uid, owner.gid)


def _check_space(store: Path, manifest: Manifest) -> None:
    size = next(file.size for file in manifest.files if file.name == STORE)
    # The upgrade of an older store writes a new file beside it, and keeps the old one.
    copies = 1 if manifest.schema == newest_schema(store_url(store)) else 2
    needed = copies * size + _SLACK
    directory = store.parent if store.parent.is_dir() else store.parent.parent
    with file_errors(directory):
        found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    if free < needed:
        raise StoreFullError(
            f"{directory}: {needed / 1e6:.1f} MB are needed, since the present store is kept, and "
            f"{free / 1e6:.1f} MB are free. Nothing was changed; make room, or move the present store away"
        )


def _stage_store(
    stack: contextlib.ExitStack, directory: Path, manifest: Manifest, store: Path, owner: SystemUser
) -> tuple[Path, str]:
    """Make the new store beside the present one, as its user; return its path and epoch."""
    with acting_as(owner):
        clear_stage(store.parent)
        stage = stack.enter_context(stage_of(store.parent))
        stack.callback(shutil.rmtree, stage, ignore_errors=True)
        staged = stage / "var" / STORE
        staged.parent.mkdir()
        staged.parent.chmod(0o700)  # whatever the umask is
    file = next(file for file in manifest.files if file.name == STORE)
    copy_checked(directory / file.name, (file.size, file.sha256), staged, 0o600, owner)
    with acting_as(owner):
        return staged, renew_store(staged)


@contextlib.contextmanager
def _staged(directory: Path, place: _Place) -> Iterator[None]:
    """Make a file beside its place."""
    with file_errors(place.path):
        place.staged.unlink(missing_ok=True)  # of a restore that was killed
        try:
            file = place.file
            copy_checked(directory / file.name, (file.size, file.sha256), place.staged, place.mode)
            os.chown(place.staged, place.owner.uid, place.owner.gid)
            yield
        finally:
            place.staged.unlink(missing_ok=True)


def _lock_stores(stack: contextlib.ExitStack, staged: Path, store: Path) -> None:
    """Keep every process from both stores, so that no daemon starts before the last file is in place."""
    stack.enter_context(lock_store(store_url(staged)))
    if not os.path.lexists(store):
        return
    try:
        stack.enter_context(lock_store(store_url(store)))
    except StoreBusyError as error:
        raise StoreBusyError(f"{error}; {STOP_FIRST}") from error


def _put_store(staged: Path, store: Path, suffix: str) -> Change:
    if os.path.lexists(store):
        _empty_journal(store, suffix)
    # What is left belongs to a store that can't be opened. SQLite must not find it beside the new one.
    for each in store.parent.glob(f"{store.name}-*"):
        each.rename(f"{store}{suffix}{each.name.removeprefix(store.name)}")
    try:
        return Change(store, put_in_place(staged, store, suffix))
    except FileExistsError as error:
        raise StoreBusyError(f"{store}: another qscpd process has just made it; {STOP_FIRST}") from error


def _empty_journal(store: Path, suffix: str) -> None:
    """Move what a crash left in the present store's journal into its file, or else keep the journal."""
    journal, kept = store.with_name(f"{store.name}-wal"), Path(f"{store}{suffix}-wal")
    if not journal.exists():
        return
    os.link(journal, kept, follow_symlinks=False)  # SQLite can delete that of a file which it can't read
    try:
        with acting_as(owner_of(store)), UpgradeLine() as on_upgrade:
            open_store(store_url(store), on_upgrade=on_upgrade).close()
    except QscpdError:
        journal.unlink(missing_ok=True)
    else:
        (kept if not journal.exists() else journal).unlink()


def _give_key(places: list[_Place]) -> None:
    """Let the service read its key, also where it was in place already."""
    for place in places:
        if place.file.name == KEY:
            os.chown(place.path, place.owner.uid, place.owner.gid)
            place.path.chmod(place.mode)
