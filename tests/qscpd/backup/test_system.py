"""A restore in the place of the service; most of it needs root, who gives files to the service's user."""

import contextlib
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qscpd import privileges
from qscpd.backup import SystemRestored, find_problems, make_backup, restore_system, system
from qscpd.certificates.check import check_pair
from qscpd.config import LoadedConfig, load_config
from qscpd.config.load import parse_config
from qscpd.domain.model import NewMessage
from qscpd.errors import NotFoundError, PermissionDeniedError, QscpdError, StoreBusyError, StoreFullError
from qscpd.setup.init import initialize, system_layout
from qscpd.setup.pki import AuthorityFiles, make_authority, make_server_certificate
from qscpd.store.sqlite.lock import StoreLock
from qscpd.store.sqlite.store import SqliteStore
from tests.support.crashed_store import crash, in_child
from tests.support.daemon import add_accounts
from tests.support.ids import IdMaker
from tests.support.smalldisk import fill, small_disk
from tests.support.stores import rows_of
from tests.support.users import NOBODY, as_user

make_id = IdMaker()
BACKED_UP = ["one", "two"]
KEPT = ".before-restore-*"


def append(store: Path, *bodies: str) -> None:
    """Store messages of the first account to the second one."""
    with contextlib.closing(SqliteStore(store)) as opened:
        opened.append([NewMessage(1, 2, make_id(), body) for body in bodies])


def bodies(store: Path) -> list[str | None]:
    """Return the texts of the first conversation."""
    with contextlib.closing(SqliteStore(store)) as opened:
        return [row.body for row in rows_of(opened, 1)]


def facts(path: Path) -> tuple[int, int, int]:
    """Return owner, group and mode of a file."""
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadedConfig]:
    """An installed service of the user nobody, with two accounts and two messages."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    monkeypatch.setattr(privileges, "DAEMON_USER", "nobody")
    # Not in pytest's folder, which is closed to the service's user.
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        layout = system_layout(home / "etc/qscpd.yaml", home / "etc/certs", home / "lib")
        initialize(layout, [], keep=False)
        add_accounts(layout.store, {"alice": "correct horse", "bob": "battery staple"})
        append(layout.store, *BACKED_UP)
        os.chown(layout.store, NOBODY, NOBODY)
        yield load_config(layout.config, environ={})


@pytest.fixture
def backup(service: LoadedConfig, tmp_path: Path) -> Path:
    """A backup of the service, made before "three" was written."""
    made = make_backup(tmp_path / "backups", service)
    append(service.config.store.path, "three")
    return made


Restore = Callable[..., SystemRestored]


@pytest.fixture
def restore(service: LoadedConfig, backup: Path) -> Restore:
    """Restore the backup in the place of the service."""

    def restore(*, store_only: bool = False) -> SystemRestored:
        def choose(text: str) -> LoadedConfig:
            return service if store_only else parse_config(text, service.path, cwd=Path.cwd())

        return restore_system(backup, choose, store_only=store_only)

    return restore


def kept(path: Path) -> Path:
    """Return the one file that was kept of a path."""
    (found,) = (each for each in path.parent.glob(f"{path.name}{KEPT}") if not each.name.endswith("-wal"))
    return found


def test_the_store_is_replaced_and_belongs_to_the_service(service: LoadedConfig, restore: Restore) -> None:
    """The store has the service's owner and a new epoch; the earlier one is kept whole."""
    store = service.config.store.path
    restored = restore()
    assert [(change.path, change.kept) for change in restored.changes] == [(store, kept(store))]
    assert facts(store) == (NOBODY, NOBODY, 0o600)
    assert facts(store.parent) == (NOBODY, NOBODY, 0o700)
    assert bodies(store) == BACKED_UP
    assert bodies(kept(store)) == [*BACKED_UP, "three"]
    assert restored.epoch != restored.manifest.epoch
    assert not list(store.parent.glob(".restoring"))


@pytest.mark.parametrize("umask", [0o000, 0o277], ids=oct)
def test_the_umask_does_not_matter(service: LoadedConfig, restore: Restore, umask: int) -> None:
    """Every file gets its mode, whatever the umask of root is."""
    shutil.rmtree(service.path.parent)
    before = os.umask(umask)
    try:
        restore()
    finally:
        os.umask(before)
    tls = service.config.tls
    assert facts(service.config.store.path) == (NOBODY, NOBODY, 0o600)
    assert facts(service.path) == facts(tls.certificate) == (0, 0, 0o644)
    assert facts(tls.key) == (0, NOBODY, 0o640)
    assert facts(service.path.parent) == facts(tls.key.parent) == (0, 0, 0o755)


def test_restoring_twice_keeps_both(service: LoadedConfig, restore: Restore) -> None:
    """What an earlier restore has kept is never overwritten, also within a second."""
    for _ in range(3):
        restore()
    store = service.config.store.path
    texts = [bodies(each) for each in store.parent.glob(f"{store.name}{KEPT}")]
    assert sorted(texts) == [BACKED_UP, BACKED_UP, [*BACKED_UP, "three"]]


def test_a_new_machine_gets_everything(service: LoadedConfig, restore: Restore, backup: Path) -> None:
    """Configuration, CA, certificate and keys are those of the backup, where `init` has made others."""
    home = service.path.parents[1]
    shutil.rmtree(home / "etc")
    shutil.rmtree(home / "lib")
    layout = system_layout(service.path, service.config.tls.certificate.parent, home / "lib")
    initialize(layout, [], keep=False)
    service.path.write_text(service.path.read_text() + "history: {keep_for: 1d}\n")
    restore()
    certs = layout.authority
    for name in ("ca.pem", "ca.key", "server.pem", "server.key"):
        assert (certs.directory / name).read_bytes() == (backup / name).read_bytes()
        assert kept(certs.directory / name).read_bytes() != (backup / name).read_bytes()
    assert service.path.read_bytes() == (backup / "qscpd.yaml").read_bytes()
    assert facts(certs.key) == (0, NOBODY, 0o640)
    assert facts(certs.ca_key) == (0, 0, 0o600)
    assert facts(kept(certs.ca_key)) == (0, 0, 0o600)
    assert facts(certs.ca_certificate) == facts(service.path) == (0, 0, 0o644)
    assert bodies(layout.store) == BACKED_UP


def test_directories_that_are_gone_are_made(service: LoadedConfig, restore: Restore) -> None:
    """Without any file of the service left, a restore makes the directories as `init` does."""
    home = service.path.parents[1]
    shutil.rmtree(home / "etc")
    shutil.rmtree(home / "lib")
    restored = restore()
    assert all(change.kept is None for change in restored.changes)
    assert len(restored.changes) == len(("store", "key", "certificate", "ca.pem", "ca.key", "configuration"))
    assert facts(home / "lib") == (NOBODY, NOBODY, 0o700)
    assert facts(home / "etc/certs") == facts(home / "etc") == (0, 0, 0o755)
    check_pair(service.config.tls.certificate, service.config.tls.key)
    assert bodies(service.config.store.path) == BACKED_UP


def test_a_ca_key_of_another_authority_is_set_aside(service: LoadedConfig, tmp_path: Path) -> None:
    """Without a CA key in the backup, none stays beside a CA certificate that it does not belong to."""
    certs = AuthorityFiles(service.config.tls.certificate.parent)
    key = certs.ca_key.read_bytes()
    certs.ca_key.unlink()
    backup = make_backup(tmp_path / "backups", service)

    def restore() -> list[Path]:
        restored = restore_system(backup, lambda text: parse_config(text, service.path, cwd=Path.cwd()))
        return [change.path for change in restored.changes if not change.restored]

    certs.ca_key.write_bytes(key)
    assert restore() == [], "it belongs to the restored certificate"
    shutil.rmtree(certs.directory)
    certs.directory.mkdir()
    make_authority(certs)
    make_server_certificate(certs, ["localhost"])
    assert restore() == [certs.ca_key]
    assert not certs.ca_key.exists()
    assert kept(certs.ca_key).exists()


def test_the_store_alone(service: LoadedConfig, restore: Restore) -> None:
    """With `store_only`, a newer configuration and certificate stay, and say where the store is."""
    service.path.write_text("broken: [\n")
    service.config.tls.certificate.write_text("renewed")
    (change,) = restore(store_only=True).changes
    assert change.path == service.config.store.path
    assert service.path.read_text() == "broken: [\n"
    assert service.config.tls.certificate.read_text() == "renewed"
    assert bodies(service.config.store.path) == BACKED_UP


@pytest.mark.parametrize("content", [b"", b"no store at all", None], ids=["empty", "other", "root's"])
def test_a_present_store_that_is_of_no_use(
    service: LoadedConfig, restore: Restore, content: bytes | None
) -> None:
    """An empty, a foreign and a root-owned store with a journal are kept; the new one has its owner."""
    store = service.config.store.path
    if content is not None:
        store.write_bytes(content)
        store.with_name(f"{store.name}-wal").write_bytes(b"a journal")
    os.chown(store, 0, 0)
    before = store.read_bytes()
    restore()
    assert kept(store).read_bytes() == before if content is not None else bodies(kept(store))
    assert facts(store) == (NOBODY, NOBODY, 0o600)
    assert bodies(store) == BACKED_UP
    if content is not None:
        assert kept(store).with_name(f"{kept(store).name}-wal").read_bytes() == b"a journal"


def test_what_a_crash_left_in_the_journal_is_kept(service: LoadedConfig, restore: Restore) -> None:
    """Messages that were in the journal only are in the store that is kept."""
    store = service.config.store.path

    def crash() -> None:
        opened = SqliteStore(store)
        opened.append([NewMessage(1, 2, make_id(), "four")])
        os.kill(os.getpid(), signal.SIGKILL)

    in_child(crash)
    assert store.with_name(f"{store.name}-wal").stat().st_size
    restore()
    assert bodies(store) == BACKED_UP
    assert bodies(kept(store)) == [*BACKED_UP, "three", "four"]


def test_a_root_owned_directory_becomes_the_service_s(service: LoadedConfig, restore: Restore) -> None:
    """A directory with nothing but a store, as `sudo cp -r` makes it, is given to the service."""
    store = service.config.store.path
    for path in (store.parent, store):
        os.chown(path, 0, 0)
    restore()
    assert facts(store.parent) == (NOBODY, NOBODY, 0o700)
    assert facts(store) == (NOBODY, NOBODY, 0o600)


def test_a_root_owned_directory_with_other_files_stays(service: LoadedConfig, restore: Restore) -> None:
    """A directory such as /srv is not given away; the error has the command."""
    store = service.config.store.path
    os.chown(store.parent, 0, 0)
    (store.parent / "letters").mkdir()
    with pytest.raises(PermissionDeniedError, match=r"has other files .*\(letters\).*run `chown qscpd: /"):
        restore()
    assert facts(store.parent)[0] == 0
    assert bodies(store) == [*BACKED_UP, "three"]


def test_a_running_daemon_is_refused(service: LoadedConfig, restore: Restore) -> None:
    """The error names the command that stops the daemon, and nothing changes."""
    before = sorted(service.path.parents[1].rglob("*"))
    with (
        StoreLock(service.config.store.path),
        pytest.raises(StoreBusyError, match="stop it first: systemctl stop qscpd"),
    ):
        restore()
    assert sorted(service.path.parents[1].rglob("*")) == before


def test_too_little_space_is_refused_first(service: LoadedConfig, restore: Restore) -> None:
    """With a full disk nothing is changed; the error has both numbers."""
    lib = service.config.store.path.parent
    shutil.rmtree(lib)
    with small_disk(lib, 4096) as disk:
        os.chown(disk, NOBODY, NOBODY)
        fill(disk, leave=500_000)
        with pytest.raises(StoreFullError, match=r"1\.\d MB are needed, .* and 0\.\d MB are free"):
            restore()
        assert [each.name for each in disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("missing", ["lib", "etc"])
def test_a_disk_that_is_not_mounted_is_refused(
    service: LoadedConfig, backup: Path, tmp_path: Path, missing: str
) -> None:
    """A directory is not made where the one above is missing, too; nothing is changed."""
    place = tmp_path / "mnt/disk"
    path = service.path if missing == "lib" else place / "etc/qscpd.yaml"
    key = f"store: {{path: {place}/lib/qscpd.db}}\n" if missing == "lib" else ""
    with pytest.raises(NotFoundError, match=rf"mnt/disk/{missing}: the directory does not exist, nor does"):
        restore_system(
            backup,
            lambda text: parse_config(text.split("store:")[0] + key, path, cwd=Path.cwd()),
        )
    assert not place.parent.exists()


def test_a_damaged_backup_changes_nothing(service: LoadedConfig, restore: Restore, backup: Path) -> None:
    """A backup is verified before anything else."""
    (backup / "server.pem").unlink()
    with pytest.raises(QscpdError, match=r"nothing was restored: .*server.pem: is missing"):
        restore()
    assert bodies(service.config.store.path) == [*BACKED_UP, "three"]


def test_a_backup_that_others_can_change_does_not_say_where_root_writes(
    service: LoadedConfig, tmp_path: Path
) -> None:
    """Its paths are used if this machine's configuration has the same; else the error names the path."""
    backup = make_backup(tmp_path / "backups", service)
    for path in (backup.parent, backup, *backup.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    store = service.config.store.path

    def choose(text: str) -> LoadedConfig:
        return parse_config(text, service.path, cwd=Path.cwd())

    with pytest.raises(PermissionDeniedError, match=rf"\(store.path: {store}\). Check its qscpd.yaml"):
        restore_system(backup, choose)
    assert not list(store.parent.glob(f"*{KEPT}"))
    restore_system(backup, choose, present=service.config)
    assert bodies(store) == BACKED_UP


def test_without_root_it_is_refused(service: LoadedConfig, restore: Restore) -> None:
    """Another user gets a sentence before anything is read."""
    with as_user(service.path.parent), pytest.raises(PermissionDeniedError, match="run this as root"):
        restore()


def kill_after(moment: str, count: int, restore: Restore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore, and be killed after some calls of a function of `system`."""
    real = getattr(system, moment)
    calls = 0

    def killed(*arguments: object, **more: object) -> object:
        nonlocal calls
        result = real(*arguments, **more)
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(system, moment, killed)
        in_child(restore)


@pytest.mark.parametrize("crashed", [False, True], ids=["stopped", "crashed"])
@pytest.mark.parametrize(
    ("moment", "count", "after"),
    [
        ("_give_directory", 1, "old"),
        ("copy_checked", 1, "old"),
        ("renew_store", 1, "old"),
        ("copy_checked", 4, "old"),
        ("_empty_journal", 1, "old"),
        ("put_in_place", 1, "new"),
        ("put_in_place", 3, "new"),
        ("_give_key", 1, "new"),
    ],
)
def test_a_restore_that_is_killed_leaves_a_whole_store(
    service: LoadedConfig,
    restore: Restore,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    count: int,
    after: str,
    crashed: bool,
) -> None:
    """At every moment there is the old or the new store; the next restore succeeds and leaves no rest."""
    home = service.path.parents[1]
    store = service.config.store.path
    for path in (home / "etc/certs").iterdir():
        path.unlink()
    initialize(system_layout(service.path, home / "etc/certs", home / "lib"), [], keep=True)
    if crashed:
        crash(store, 0)
    kill_after(moment, count, restore, monkeypatch)
    assert bodies(store) == (BACKED_UP if after == "new" else [*BACKED_UP, "three"])
    restore()
    assert bodies(store) == BACKED_UP
    assert not [path for path in home.rglob("*") if path.name.endswith(".restoring")]


def test_a_restored_service_can_be_backed_up(service: LoadedConfig, restore: Restore, tmp_path: Path) -> None:
    """After a restore, a new backup is whole."""
    restore()
    assert find_problems(make_backup(tmp_path / "backups", service)) == []
