import contextlib
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from qscpd.backup import find_problems, make_backup, prune_backups, read_manifest, restore_backup
from qscpd.certificates.check import check_pair
from qscpd.config import LoadedConfig, load_config
from qscpd.domain.model import NewMessage
from qscpd.errors import (
    ConfigError,
    ExistsError,
    PermissionDeniedError,
    QscpdError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from qscpd.setup.pki import AuthorityFiles, make_authority, make_server_certificate
from qscpd.store.sqlite.lock import StoreLock
from qscpd.store.sqlite.store import SqliteStore
from tests.support.backups import forge
from tests.support.ids import IdMaker
from tests.support.smalldisk import fill, largest_file, small_disk
from tests.support.stores import rows_of
from tests.support.users import NOBODY, as_user

SCHEMA_1 = Path(__file__).parents[1] / "store/sqlite/schema1.sql"
ALL = ["ca.key", "ca.pem", "manifest.json", "qscpd.db", "qscpd.yaml", "server.key", "server.pem"]

make_id = IdMaker()


def names(directory: Path) -> list[str]:
    """Return the names in a directory."""
    return sorted(each.name for each in directory.iterdir())


def bodies(store: Path) -> list[str | None]:
    """Return the texts of the first conversation."""
    with contextlib.closing(SqliteStore(store)) as opened:
        return [row.body for row in rows_of(opened, 1)]


def epoch(store: Path) -> str:
    """Return a store's epoch."""
    with contextlib.closing(SqliteStore(store)) as opened:
        return opened.epoch()


# --- making one


def test_a_backup_is_complete_and_private(
    backup: Path, loaded: LoadedConfig, authority: AuthorityFiles
) -> None:
    """A backup has store, configuration, CA, certificate and keys, unreadable to other users."""
    assert names(backup) == ALL
    assert stat.S_IMODE(backup.stat().st_mode) == stat.S_IMODE(backup.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in backup.iterdir()} == {0o600}
    assert (backup / "qscpd.yaml").read_bytes() == loaded.path.read_bytes()
    for name in ("ca.pem", "ca.key", "server.pem", "server.key"):
        assert (backup / name).read_bytes() == (authority.directory / name).read_bytes()
    assert names(backup.parent) == [backup.name]


def test_the_manifest_says_what_is_in_it(backup: Path, loaded: LoadedConfig) -> None:
    """The manifest has the store's counts, schema and epoch, and size and hash of each file."""
    manifest = read_manifest(backup)
    assert (manifest.accounts, manifest.conversations, manifest.messages) == (2, 1, 3)
    assert manifest.epoch == epoch(loaded.config.store.path)
    assert sorted(file.name for file in manifest.files) == [each for each in ALL if each != "manifest.json"]
    for file in manifest.files:
        content = (backup / file.name).read_bytes()
        assert (file.size, file.sha256) == (len(content), sha256(content).hexdigest())


def test_a_store_in_use_is_copied_with_its_journal(loaded: LoadedConfig, tmp_path: Path) -> None:
    """Committed data is in the backup even if it is only in the WAL; uncommitted data is not."""
    path = loaded.config.store.path
    with StoreLock(path), contextlib.closing(SqliteStore(path)) as store:
        store.append([NewMessage(2, 1, make_id(), "four")])
        assert path.with_name("qscpd.db-wal").stat().st_size
        store._db.connection.execute("BEGIN IMMEDIATE")
        store._db.connection.execute("DELETE FROM chunks")
        backup = make_backup(tmp_path / "backups", loaded)
        store._db.connection.execute("ROLLBACK")
    assert bodies(backup / "qscpd.db") == ["one", "two", "three", "four"]


def test_a_store_that_changes_while_it_is_copied_is_as_it_was(
    loaded: LoadedConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy in many steps has the state of its begin, and does not restart."""
    monkeypatch.setattr("qscpd.store.sqlite.snapshot._PAGES", 1)
    path = loaded.config.store.path
    steps = 0
    with contextlib.closing(SqliteStore(path)) as store:

        def meanwhile(_: float) -> None:
            nonlocal steps
            steps += 1
            store.append([NewMessage(1, 2, make_id(), f"later {steps}" * 1000)])

        monkeypatch.setattr("qscpd.backup.make.time.sleep", meanwhile)
        backup = make_backup(tmp_path / "backups", loaded)
    pages = (backup / "qscpd.db").stat().st_size // 4096
    assert pages - 1 <= steps <= pages
    assert bodies(backup / "qscpd.db") == ["one", "two", "three"]


def test_two_backups_in_a_second_have_two_names(loaded: LoadedConfig, tmp_path: Path) -> None:
    """The second backup of a second does not overwrite the first."""
    made = [make_backup(tmp_path / "backups", loaded) for _ in range(5)]
    assert names(tmp_path / "backups") == sorted(each.name for each in made)
    assert not any(find_problems(each) for each in made)


def test_without_an_authority_there_is_none_in_it(loaded: LoadedConfig, tmp_path: Path) -> None:
    """Without CA files on this machine the backup is complete without them."""
    certs = loaded.config.tls.certificate.parent
    (certs / "ca.key").unlink()
    without_key = make_backup(tmp_path / "backups", loaded)
    assert names(without_key) == [each for each in ALL if each != "ca.key"]
    (certs / "ca.pem").unlink()
    without_both = make_backup(tmp_path / "backups", loaded)
    assert names(without_both) == [each for each in ALL if not each.startswith("ca.")]
    assert find_problems(without_key) == find_problems(without_both) == []


@pytest.mark.parametrize("missing", ["qscpd.db", "qscpd.yaml", "certs/server.pem", "certs/server.key"])
def test_without_something_needed_there_is_no_backup(
    loaded: LoadedConfig, tmp_path: Path, missing: str
) -> None:
    """The error names the missing file, and no partial backup remains."""
    (loaded.path.parent / missing).unlink()
    with pytest.raises(QscpdError, match=f"{missing}: No such file"):
        make_backup(tmp_path / "backups", loaded)
    assert names(tmp_path / "backups") == []


def test_a_pair_that_is_none_is_not_backed_up(loaded: LoadedConfig, tmp_path: Path) -> None:
    """A key that does not match its certificate prevents a backup."""
    key = loaded.config.tls.key
    key.write_bytes((key.parent / "ca.key").read_bytes())
    with pytest.raises(QscpdError, match=r"server.key: does not match the certificate server.pem"):
        make_backup(tmp_path / "backups", loaded)
    assert names(tmp_path / "backups") == []


def test_an_interruption_leaves_nothing(
    loaded: LoadedConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle removes the partial backup."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qscpd.backup.make.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_backup(tmp_path / "backups", loaded)
    assert names(tmp_path / "backups") == []


def test_a_full_disk_leaves_nothing(loaded: LoadedConfig, tmp_path: Path) -> None:
    """A full disk is one sentence, and the partial backup is removed."""
    with small_disk(tmp_path / "disk", 128) as disk:
        fill(disk, leave=20_000)
        with pytest.raises(StoreError, match=r"can't be copied to .*full"):
            make_backup(disk, loaded)
        assert names(disk) == ["filler"]


def test_a_copy_that_can_not_grow_leaves_nothing(loaded: LoadedConfig, tmp_path: Path) -> None:
    """A quota, or a limit on the size of files, is reported as a full disk is."""
    with largest_file(20_000), pytest.raises(StoreFullError, match=r"can't be copied to .*full"):
        make_backup(tmp_path / "backups", loaded)
    assert names(tmp_path / "backups") == []


def test_a_backup_needs_permission_to_read_the_keys(loaded: LoadedConfig, tmp_path: Path) -> None:
    """A user without access to the keys gets the file in a sentence, and exit code 6."""
    backups = tmp_path / "backups"
    backups.mkdir(mode=0o777)
    backups.chmod(0o777)
    with as_user(loaded.path.parent), pytest.raises(PermissionDeniedError, match=r"qscpd.db: "):
        make_backup(backups, loaded)
    assert names(backups) == []


# --- verifying one


def test_a_whole_backup_has_no_problems(backup: Path) -> None:
    """Verification of an intact backup finds nothing, and changes nothing."""
    before = {each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in backup.iterdir()}
    assert find_problems(backup) == []
    assert before == {each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in backup.iterdir()}


@pytest.mark.parametrize("name", [each for each in ALL if each != "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
def test_any_damage_to_a_file_is_seen(backup: Path, name: str, damage: str) -> None:
    """A flipped bit, a truncated file and a missing file are one sentence each, with the file."""
    path = backup / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        expected = "was changed after the backup was made"
    elif damage == "cut":
        path.write_bytes(content[:-1])
        expected = f"has {len(content) - 1} bytes; the manifest has {len(content)}"
    else:
        path.unlink()
        expected = "is missing"
    problems = find_problems(backup)
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}: {expected}")


def test_all_problems_are_reported(backup: Path) -> None:
    """Verification reports all problems, not only the first."""
    (backup / "server.pem").unlink()
    (backup / "qscpd.db").write_bytes(b"")
    (backup / "ca.key").write_bytes(b"x")
    assert [problem.split(":")[0].rpartition("/")[2] for problem in find_problems(backup)] == [
        "qscpd.db",
        "server.pem",
        "ca.key",
    ]


def test_a_store_that_is_damaged_itself_is_seen(backup: Path) -> None:
    """Damage with correct hashes is found: the store is read to its last message."""
    with contextlib.closing(sqlite3.connect(backup / "qscpd.db")) as db:
        db.execute("UPDATE chunks SET messages = X'93'")
        db.commit()
    forge(backup)
    assert find_problems(backup)[0].startswith("messages in the store are damaged")
    content = bytearray((backup / "qscpd.db").read_bytes())
    content[4096 : 4096 + 200] = bytes(200)
    (backup / "qscpd.db").write_bytes(content)
    forge(backup)
    assert "the store is damaged" in find_problems(backup)[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"messages": 4}, "messages is 3; the manifest has 4"),
        ({"accounts": 1}, "accounts is 2; the manifest has 1"),
        ({"conversations": 0}, "conversations is 1; the manifest has 0"),
        ({"epoch": "0" * 16}, "epoch is "),
        ({"format": 2}, "in format 2; this version reads format 1"),
        ({"files": []}, "its list of files is not one of qscpd"),
        ({"created": 1}, "is not a manifest: Expected `str`, got `int`"),
    ],
)
def test_a_manifest_that_is_wrong_is_seen(backup: Path, changes: dict[str, object], expected: str) -> None:
    """Each statement of the manifest is compared."""
    forge(backup, **changes)
    problems = find_problems(backup)
    assert len(problems) == 1
    assert expected in problems[0]


def test_a_manifest_names_no_other_files(backup: Path) -> None:
    """A manifest can not make verification read or remove files outside of the folder."""
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest["files"][0]["name"] = "../../home/qscpd.db"
    (backup / "manifest.json").write_text(json.dumps(manifest))
    assert "its list of files is not one of qscpd" in find_problems(backup)[0]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"{" * 70_000])
def test_a_manifest_that_is_none(backup: Path, content: bytes) -> None:
    """Any invalid manifest is one sentence."""
    (backup / "manifest.json").write_bytes(content)
    assert "is not a manifest" in find_problems(backup)[0]


def test_a_folder_that_is_no_backup(tmp_path: Path) -> None:
    """A folder without a manifest and a missing folder have different errors."""
    assert "it has no manifest.json" in find_problems(tmp_path)[0]
    assert "backup not found" in find_problems(tmp_path / "nothing")[0]


def test_a_newer_schema_is_reported(backup: Path) -> None:
    """A backup of a newer schema is reported with its version."""
    with contextlib.closing(sqlite3.connect(backup / "qscpd.db")) as db:
        db.execute("PRAGMA user_version = 99")
    forge(backup, schema=99, version="9.0")
    problems = find_problems(backup)
    assert len(problems) == 1
    assert "made by qscpd 9.0 with schema 99" in problems[0]


def test_keys_must_fit(backup: Path, tmp_path: Path) -> None:
    """Keys and CA of another installation are found, although their hashes are right."""
    other = AuthorityFiles(tmp_path / "other")
    other.directory.mkdir()
    make_authority(other)
    make_server_certificate(other, ["localhost"])
    for name in ("ca.pem", "server.key"):
        shutil.copy(other.directory / name, backup / name)
    forge(backup)
    assert [problem.removeprefix(f"{backup}/") for problem in find_problems(backup)] == [
        "server.key: does not match the certificate server.pem",
        "ca.pem: did not issue server.pem",
        "ca.key: does not match the certificate ca.pem",
    ]


@pytest.mark.parametrize("name", ["server.pem", "server.key", "ca.pem", "ca.key"])
def test_keys_must_be_keys(backup: Path, name: str) -> None:
    """Invalid certificates and keys are reported by name."""
    (backup / name).write_text("-----BEGIN NONSENSE-----\n")
    forge(backup)
    assert any(name in problem for problem in find_problems(backup))


def test_a_configuration_must_be_one(backup: Path) -> None:
    """An invalid configuration is reported with line and key."""
    (backup / "qscpd.yaml").write_text("log: {level: loud}\n")
    forge(backup)
    assert "qscpd.yaml:1: log.level: " in find_problems(backup)[0]


# --- restoring one


def test_a_restored_installation_is_ready(backup: Path, tmp_path: Path, loaded: LoadedConfig) -> None:
    """All files are where the configuration says, with the messages, and with the modes of `init`."""
    into = tmp_path / "new"
    restored = restore_backup(backup, into)
    assert names(into) == ["certs", "config", "var"]
    config = load_config(restored.config, environ={}).config
    assert config.store.path == into / "var" / "qscpd.db"
    assert config.log.session_log == into / "var" / "sessions.log"
    assert config.server.admin_socket == into / "var" / "admin.sock"
    check_pair(config.tls.certificate, config.tls.key)
    assert config.login == loaded.config.login
    assert config.server.listen == loaded.config.server.listen
    assert bodies(config.store.path) == ["one", "two", "three"]
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in into.glob("*/*")}
    assert (modes["qscpd.db"], modes["ca.key"], modes["ca.pem"]) == (0o600, 0o600, 0o644)
    assert (into / "config" / "qscpd.yaml.original").read_bytes() == loaded.path.read_bytes()


def test_a_restored_installation_may_move(backup: Path, tmp_path: Path) -> None:
    """The paths of a restored installation are relative."""
    restore_backup(backup, tmp_path / "new")
    (tmp_path / "new").rename(tmp_path / "moved")
    config = load_config(tmp_path / "moved" / "config" / "qscpd.yaml", environ={}).config
    check_pair(config.tls.certificate, config.tls.key)
    assert bodies(config.store.path) == ["one", "two", "three"]


def test_a_restored_store_has_another_epoch(backup: Path, tmp_path: Path) -> None:
    """Each restore gets a new epoch; the backup does not change."""
    epochs = {restore_backup(backup, tmp_path / f"new{number}").epoch for number in range(3)}
    found = {epoch(tmp_path / f"new{number}" / "var" / "qscpd.db") for number in range(3)}
    assert found == epochs
    assert len(epochs | {read_manifest(backup).epoch}) == 4
    assert find_problems(backup) == []


def test_an_empty_directory_will_do(backup: Path, tmp_path: Path) -> None:
    """The target can be an empty directory, such as a mounted disk."""
    (tmp_path / "new").mkdir(mode=0o750)
    restore_backup(backup, tmp_path / "new")
    assert names(tmp_path / "new") == ["certs", "config", "var"]


def test_nothing_is_overwritten(backup: Path, tmp_path: Path) -> None:
    """A directory that is not empty is refused and not changed."""
    into = tmp_path / "new"
    into.mkdir()
    (into / "letter.txt").write_text("dear")
    with pytest.raises(ExistsError, match=r"new: is not empty \(letter.txt\)"):
        restore_backup(backup, into)
    assert names(into) == ["letter.txt"]


@pytest.mark.parametrize("deep", [True, False])
def test_a_live_store_is_refused(backup: Path, tmp_path: Path, deep: bool) -> None:
    """A directory with a store in use is refused for that reason."""
    into = tmp_path / "new"
    where = into / "var" if deep else into
    where.mkdir(parents=True)
    with (
        StoreLock(where / "qscpd.db"),
        pytest.raises(StoreBusyError, match="a running qscpd uses this store"),
    ):
        restore_backup(backup, into)
    with pytest.raises(ExistsError, match="is not empty"):
        restore_backup(backup, into)


def test_a_damaged_backup_is_not_restored(backup: Path, tmp_path: Path) -> None:
    """A backup is verified first; a damaged one creates nothing."""
    (backup / "server.pem").unlink()
    (backup / "ca.key").unlink()
    with pytest.raises(
        QscpdError, match=r"nothing was restored: .*server.pem: is missing \(`qscpd verify .* 2 p"
    ):
        restore_backup(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_place_that_can_t_work_is_refused(backup: Path, tmp_path: Path) -> None:
    """A path too long for the admin socket is refused before anything is created."""
    into = tmp_path / ("long" * 30)
    with pytest.raises(ConfigError, match="admin_socket"):
        restore_backup(backup, into)
    assert not into.exists()


def test_a_full_disk_leaves_no_half_installation(backup: Path, tmp_path: Path) -> None:
    """A full disk leaves no partial installation."""
    with small_disk(tmp_path / "disk", 256) as disk:
        filler = fill(disk, leave=60_000)
        filler.rename(tmp_path / "disk" / "filler")
        into = disk / "new"
        with pytest.raises(QscpdError, match="No space left"):
            restore_backup(backup, into)
        assert list(into.iterdir()) == []


def test_a_backup_of_the_oldest_schema_is_upgraded(loaded: LoadedConfig, tmp_path: Path) -> None:
    """An old backup verifies as it is, and restores into a current store."""
    path = loaded.config.store.path
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA_1.read_text())
    backup = make_backup(tmp_path / "backups", loaded)
    manifest = read_manifest(backup)
    assert (manifest.schema, manifest.epoch, manifest.messages) == (1, "", 6)
    restored = restore_backup(backup, tmp_path / "new")
    assert len(restored.epoch) == 16
    assert bodies(tmp_path / "new" / "var" / "qscpd.db")[0] == "the first letter"


# --- removing old ones


@pytest.fixture
def copies(backup: Path) -> Callable[..., list[Path]]:
    """Copy a folder to other names, oldest first."""

    def make(*stamps: str) -> list[Path]:
        made = []
        for stamp in stamps:
            folder = backup.parent / f"qscp-{stamp}"
            shutil.copytree(backup, folder)
            made.append(folder)
        shutil.rmtree(backup)
        return made

    return make


def test_the_newest_stay(copies: Callable[..., list[Path]]) -> None:
    """The newest by name stay; the number within a second compares as a number."""
    made = copies("20250101T000000Z", "20260101T000000Z", "20260101T000000Z-2", "20260101T000000Z-10")
    pruned = prune_backups(made[0].parent, 2)
    assert pruned.kept == [made[3], made[2]]
    assert sorted(pruned.removed) == made[:2]
    assert names(made[0].parent) == sorted([made[2].name, made[3].name])
    assert prune_backups(made[0].parent, 2).removed == []


def test_after_the_clock_was_set_back_the_newest_stays(
    copies: Callable[..., list[Path]], loaded: LoadedConfig
) -> None:
    """A backup of a clock that is behind is the newest one nevertheless, also when others were removed."""
    made = copies("20250101T000000Z", "20990101T000000Z-2", "20990101T000000Z-10")
    newest = make_backup(made[0].parent, loaded)
    assert newest.name == "qscp-20990101T000000Z-11"
    assert prune_backups(newest.parent, 1).kept == [newest]
    again = make_backup(newest.parent, loaded)
    assert prune_backups(newest.parent, 1).kept == [again]


def test_only_finished_backups_count_and_go(copies: Callable[..., list[Path]], tmp_path: Path) -> None:
    """Unfinished backups are listed, and other files are not touched."""
    made = copies("20250101T000000Z", "20250102T000000Z", "20250103T000000Z")
    home = made[0].parent
    (home / "qscp-20260101T000000Z.part").mkdir()
    (home / "qscp-20260102T000000Z").mkdir()
    (home / "qscp-20260103T000000Z").write_text("a file")
    (home / "qscp-holiday").mkdir()
    (home / "photos").mkdir()
    elsewhere = tmp_path / "elsewhere"
    made[0].rename(elsewhere)
    (home / "qscp-20240101T000000Z").symlink_to(elsewhere)
    pruned = prune_backups(home, 1)
    assert pruned.removed == [made[1]]
    assert [each.name for each in pruned.incomplete] == [
        "qscp-20260101T000000Z.part",
        "qscp-20260102T000000Z",
    ]
    assert names(home) == [
        "photos",
        "qscp-20240101T000000Z",
        "qscp-20250103T000000Z",
        "qscp-20260101T000000Z.part",
        "qscp-20260102T000000Z",
        "qscp-20260103T000000Z",
        "qscp-holiday",
    ]
    assert find_problems(elsewhere) == []


def test_backups_of_another_user_are_not_counted(copies: Callable[..., list[Path]]) -> None:
    """A user who can't read some backups, as root's, removes none of their own on account of them."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    made = copies("20250101T000000Z", "20250102T000000Z", "20250103T000000Z")
    for path in (made[0].parent, made[0], made[1], *made[0].iterdir(), *made[1].iterdir()):
        os.chown(path, NOBODY, NOBODY)
    with as_user(made[0].parent):
        pruned = prune_backups(made[0].parent, 1)
    assert (pruned.kept, pruned.removed, pruned.closed, pruned.incomplete) == (
        [made[1]],
        [made[0]],
        [made[2]],
        [],
    )


def test_the_last_good_one_is_spared(copies: Callable[..., list[Path]]) -> None:
    """If all newer ones are damaged, the newest intact backup stays."""
    made = copies("20250101T000000Z", "20250102T000000Z", "20250103T000000Z", "20250104T000000Z")
    for folder in made[2:]:
        (folder / "server.pem").write_text("rust")
    pruned = prune_backups(made[0].parent, 2)
    assert pruned.spared == made[1]
    assert pruned.removed == [made[0]]
    assert names(made[0].parent) == [each.name for each in made[1:]]


def test_a_file_of_another_program_is_not_removed(copies: Callable[..., list[Path]]) -> None:
    """Only files of the manifest are removed; the remaining folder is no backup any more."""
    made = copies("20250101T000000Z", "20250102T000000Z")
    (made[0] / "notes.txt").write_text("mine")
    with pytest.raises(QscpdError, match=r"not removed, because it contains files of others: notes.txt"):
        prune_backups(made[0].parent, 1)
    left = made[0].with_name(made[0].name + ".part")
    assert names(left) == ["notes.txt"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """A missing directory is an error, not an empty list."""
    with pytest.raises(QscpdError, match="No such file or directory"):
        prune_backups(tmp_path / "nothing", 1)


def test_the_manifest_is_for_people_too(backup: Path) -> None:
    """The manifest is indented JSON."""
    text = (backup / "manifest.json").read_text()
    assert text.splitlines()[1] == '  "format": 1,'
    assert msgspec.json.decode(text) == json.loads(text)


@pytest.fixture(autouse=True)
def _no_root_left() -> Iterator[None]:
    """Check that no test stayed another user."""
    before = os.geteuid()
    yield
    assert os.geteuid() == before
