"""Upgrades as a matter of files: names, links, locks, kills, and what a failed one leaves."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qscpd.errors import StoreBusyError, StoreError
from qscpd.store.damage import DamagedPlace
from qscpd.store.sqlite import rewriting
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.lock import StoreLock, is_locked
from qscpd.store.sqlite.migrations import MIGRATIONS
from qscpd.store.upgrade import UpgradeProgress
from tests.support.old_stores import dump, make_old, query, read_stored, version

NEWEST = len(MIGRATIONS)

_KILLED = """
import os, shutil, signal, sqlite3, sys
from pathlib import Path
from qscpd.store.sqlite import conversion, rewriting
from qscpd.store.sqlite.database import Database

def killing(real):
    def run(*args, **options):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*args, **options)
    return run

def upgrade(path):
    for owner, name in (
        (os, "open"), (os, "ftruncate"), (os, "fchmod"), (os, "fsync"), (os, "link"), (os, "close"),
        (Path, "replace"), (Path, "unlink"), (Path, "chmod"), (rewriting, "sync"),
        (rewriting, "remove_marker"), (sqlite3, "connect"), (conversion.Conversion, "run"),
        (conversion.Conversion, "_copy_tables"), (conversion.Conversion, "_write"),
        (conversion.Conversion, "_commit"), (conversion.Conversion, "_merge"),
    ):
        setattr(owner, name, killing(getattr(owner, name)))
    Database(path).close()

for step in range(1000):
    folder = Path(sys.argv[2], str(step))
    folder.mkdir()
    path = Path(shutil.copy(sys.argv[1], folder))
    child = os.fork()
    if not child:
        left = step
        upgrade(path)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != -signal.SIGKILL:
        break
print(step, status)
"""
"""Upgrades copies of a store in numbered folders, and kills itself before a later step in each."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of the last schema that had its messages in another form."""
    return make_old(tmp_path / "q.db", "schema5")


def names(directory: Path) -> list[str]:
    """Return the files of a directory."""
    return sorted(each.name for each in directory.iterdir())


def leave_journal(path: Path) -> None:
    """Leave a journal beside a store, with a row of it, as a run that was killed does."""
    code = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA journal_mode = WAL')\n"
        "db.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "db.execute(\"INSERT INTO meta VALUES ('only in the journal', '1')\")\n"
        "os._exit(9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == 9
    assert path.with_name(f"{path.name}-wal").stat().st_size


# --- kills


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_store(tmp_path: Path) -> None:
    """Before each step a kill leaves one whole store under its name, and the next start ends the upgrade."""
    old = make_old(tmp_path / "q.db", "schema5")
    before = dump(old)
    killed = tmp_path / "killed"
    killed.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(old), str(killed)],
        check=True,
        cwd=Path.cwd(),
        stdout=subprocess.PIPE,
        text=True,
    )
    steps, status = map(int, ended.stdout.splitlines()[-1].split())  # the others are of the log
    assert status == 0
    assert steps >= 40, "most steps were not reached"
    whole = read_upgraded(old)
    versions = []
    for step in range(steps):
        path = killed / str(step) / "q.db"
        versions.append(version(path))
        if versions[-1] == NEWEST:
            assert query(path, "PRAGMA integrity_check") == [("ok",)]
        else:
            assert dump(path) == before
        assert read_upgraded(path) == whole
        assert names(path.parent) == ["q.db", "q.db.schema5"]
        assert path.stat().st_nlink == path.with_name("q.db.schema5").stat().st_nlink == 1
        assert dump(path.with_name("q.db.schema5")) == before
    assert set(versions) == {5, NEWEST}
    assert versions == sorted(versions)


def read_upgraded(path: Path) -> tuple[object, object]:
    """Open a store, and return what is in it then."""
    with StoreLock(path):
        Database(path).close()
    return read_stored(path), query(path, "SELECT * FROM sent_ids")


def test_an_unfinished_file_is_replaced(old: Path) -> None:
    """What a kill has left of a new file, or of a second name of the copy, is in no later store."""
    old.with_name("q.db.part").write_bytes(b"half" * 100_000)
    old.with_name("q.db.schema5.part").write_bytes(b"half")
    Database(old).close()
    assert names(old.parent) == ["q.db", "q.db.schema5"]
    assert query(old, "PRAGMA integrity_check") == [("ok",)]


def test_an_unfinished_file_beside_a_new_store_is_removed(tmp_path: Path) -> None:
    """A store that needs no upgrade loses what an upgrade of another one had left."""
    path = tmp_path / "q.db"
    Database(path).close()
    path.with_name("q.db.part").write_bytes(b"half")
    Database(path).close()
    assert names(tmp_path) == ["q.db"]


# --- names, owner, mode


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    """The file behind a link is rewritten where it is; its copy is beside it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    link = tmp_path / "q.db"
    link.symlink_to(make_old(folder / "real.db", "schema5"))
    with StoreLock(link):
        Database(link).close()
    assert link.is_symlink()
    assert names(folder) == ["real.db", "real.db.schema5"]
    assert names(tmp_path) == ["disk", "q.db"]
    assert version(link) == NEWEST


def test_a_file_with_two_names_is_refused(old: Path) -> None:
    """A hard link would go on naming the old store, so it has to go first."""
    os.link(old, old.with_name("other.db"))
    before = dump(old)
    with pytest.raises(StoreError, match=r"has 2 names \(hard links\).*Delete the other names"):
        Database(old)
    assert dump(old) == before
    assert names(old.parent) == ["other.db", "q.db"]
    old.with_name("other.db").unlink()
    Database(old).close()
    assert version(old) == NEWEST


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_the_new_file_has_the_mode_of_the_old_one(old: Path, mode: int) -> None:
    """Who can read the store does not change; the copy is for its owner only."""
    old.chmod(mode)
    umask = os.umask(0o077)
    try:
        Database(old).close()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(old.stat().st_mode) == mode
    assert stat.S_IMODE(old.with_name("q.db.schema5").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test ARGS='-k the_same_owner'")
def test_the_new_file_has_the_same_owner(old: Path) -> None:
    """An upgrade that root makes leaves the store to its owner."""
    os.chown(old, 12345, 54321)
    Database(old).close()
    for path in (old, old.with_name("q.db.schema5")):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_a_link_in_the_place_of_the_new_file_is_not_followed(old: Path, tmp_path: Path) -> None:
    """A symbolic link that somebody has put there leads nowhere."""
    victim = tmp_path / "victim"
    victim.write_text("keep")
    old.with_name("q.db.part").symlink_to(victim)
    with pytest.raises(StoreError), StoreLock(old):
        Database(old)
    with pytest.raises(StoreError):
        Database(old)
    assert victim.read_text() == "keep"
    assert version(old) == 5


def test_the_copy_of_an_earlier_upgrade_is_replaced(old: Path) -> None:
    """After a downgrade the copy is of the newest old store."""
    old.with_name("q.db.schema5").write_text("of an earlier upgrade")
    before = dump(old)
    Database(old).close()
    assert dump(old.with_name("q.db.schema5")) == before


# --- the journal


def test_the_copy_is_a_single_file(old: Path) -> None:
    """What a killed run left in the journal is in the new store, and in the copy alone."""
    leave_journal(old)
    Database(old).close()
    copy = old.with_name("q.db.schema5")
    assert names(old.parent) == ["q.db", "q.db.schema5"]
    for path in (old, copy):
        assert query(path, "SELECT value FROM meta WHERE key = 'only in the journal'") == [("1",)]
    assert names(old.parent) == ["q.db", "q.db.schema5"]
    assert copy.read_bytes()[18:20] == b"\1\1", "its journal is not a WAL"


def test_a_lost_journal_is_reported_after_a_kill_during_the_upgrade(old: Path) -> None:
    """A store whose journal is missing says so again, until it has a new epoch."""
    with contextlib.closing(sqlite3.connect(old)) as db:
        db.execute("INSERT INTO meta VALUES ('running', 'boot 00000001')")
        db.commit()
    epoch = query(old, "SELECT value FROM meta WHERE key = 'epoch'")
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from qscpd.store.sqlite.database import Database\n"
        "Database.renew_epoch = lambda self: os._exit(9)\n"
        "Database(Path(sys.argv[1]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(old)], check=False, cwd=Path.cwd())
    assert (killed.returncode, version(old)) == (9, NEWEST)
    with contextlib.closing(Database(old)) as db:
        assert db.lost is not None
        assert db.epoch() != epoch[0][0]
    with contextlib.closing(Database(old)) as db:
        assert db.lost is None


def test_a_program_that_reads_the_store_is_waited_for(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program reads the old store, it is not exchanged, and nothing is left behind."""
    monkeypatch.setattr("qscpd.store.sqlite.opening._PATIENCE_S", 0.01)
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM accounts").fetchall()
        with pytest.raises(StoreBusyError, match="another program is reading it"):
            Database(old)
        assert version(old) == 5
    assert names(old.parent) == ["q.db"]
    Database(old).close()
    assert version(old) == NEWEST


# --- the lock


def test_the_new_file_is_locked_from_the_beginning(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process can have the store while it is exchanged, nor afterwards."""
    swap = rewriting.Rewriting._swap
    seen = []

    def look(self: rewriting.Rewriting, part: Path, copy: Path) -> None:
        seen.append(is_locked(old))
        assert is_locked(part)
        swap(self, part, copy)
        seen.append(is_locked(old))

    monkeypatch.setattr(rewriting.Rewriting, "_swap", look)
    with StoreLock(old):
        Database(old).close()
        assert is_locked(old)
        with pytest.raises(StoreBusyError), StoreLock(old):
            pass
    assert seen == [True, True]
    assert not is_locked(old)
    assert names(old.parent) == ["q.db", "q.db.schema5"]


def test_a_lock_without_an_upgrade_leaves_nothing(old: Path) -> None:
    """The lock of a store with an old schema removes what it made for an upgrade."""
    with StoreLock(old):
        assert names(old.parent) == ["q.db", "q.db.part"]
    assert names(old.parent) == ["q.db"]


# --- progress


def test_the_progress_is_reported(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins without a number, never falls, and ends with all messages, also those that are lost."""
    monkeypatch.setattr(rewriting, "_PROGRESS_S", 0.0)
    monkeypatch.setattr(rewriting, "_INSTRUCTIONS", 10)
    seen: list[UpgradeProgress] = []
    Database(old, on_upgrade=seen.append).close()
    assert (seen[0].done, seen[0].total) == (0, 0)
    assert (seen[-1].done, seen[-1].total) == (71, 71)
    assert [each.done for each in seen] == sorted(each.done for each in seen)
    assert len({each.done for each in seen}) > 5
    assert {each.store for each in seen} == {old}


@pytest.mark.parametrize("reports", range(2, 40, 6))
def test_an_interrupted_upgrade_changes_nothing(
    old: Path, reports: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends an upgrade wherever it is; no table is taken for damaged, and the store is as it was."""
    monkeypatch.setattr(rewriting, "_PROGRESS_S", 0.0)
    monkeypatch.setattr(rewriting, "_INSTRUCTIONS", 50)
    before = dump(old)
    damage: list[DamagedPlace] = []
    left = reports

    def interrupt(_: UpgradeProgress) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Database(old, on_damage=damage.append, on_upgrade=interrupt)
    assert [each for each in damage if not each.conversation] == []
    assert dump(old) == before
    assert names(old.parent) == ["q.db"]
