"""What a killed restore leaves: it is removed by the next one, and nothing else is."""

import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from qscpd.backup import make_backup, restore, restore_backup
from qscpd.config import load_config
from qscpd.errors import ExistsError, StoreBusyError
from qscpd.setup.init import dev_layout, initialize
from tests.support.crashed_store import in_child
from tests.support.daemon import add_accounts


@pytest.fixture
def backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup of an installation with alice."""
    monkeypatch.chdir(tmp_path)
    initialize(dev_layout(), [], keep=False)
    add_accounts(Path("var/qscpd.db"), {"alice": "correct horse"})
    return make_backup(tmp_path / "backups", load_config(Path("config/qscpd.yaml"), environ={}))


def kill_in(moment: str, backup: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore, and be killed after the first call of a function of `restore`."""
    real = getattr(restore, moment)

    def killed(*arguments: object, **more: object) -> object:
        real(*arguments, **more)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    with monkeypatch.context() as patch:
        patch.setattr(restore, moment, killed)
        in_child(lambda: restore_backup(backup, into))


@pytest.mark.parametrize(
    "moment", ["_copy_file", "_adjusted_config", "renew_store", "_set_owners", "write_new_file", "sync"]
)
def test_a_killed_restore_is_no_obstacle(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whenever a restore is killed before the end, the next one removes its rest and succeeds."""
    into = tmp_path / "new"
    kill_in(moment, backup, into, monkeypatch)
    assert moment == "_adjusted_config" or (into / ".restoring").exists()
    restore_backup(backup, into)
    assert sorted(each.name for each in into.iterdir()) == ["certs", "config", "var"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277], ids=oct)
@pytest.mark.parametrize("mode", [0o755, 0o2755], ids=oct)
def test_whatever_the_umask_and_the_directory_are(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, umask: int
) -> None:
    """What a killed restore left is known again in a setgid directory, and after any umask."""
    into = tmp_path / "new"
    into.mkdir()
    into.chmod(mode)
    before = os.umask(umask)
    try:
        kill_in("write_new_file", backup, into, monkeypatch)
        assert (into / ".restoring").stat().st_mode & 0o777 == 0o700
        restore_backup(backup, into)
    finally:
        os.umask(before)
    assert sorted(each.name for each in into.iterdir()) == ["certs", "config", "var"]


def test_killed_at_the_very_beginning(backup: Path, tmp_path: Path) -> None:
    """A directory that still has an inherited setgid bit, as before its mode is set, is known again."""
    stage = tmp_path / "new" / ".restoring"
    stage.mkdir(parents=True)
    stage.chmod(0o2700)
    restore_backup(backup, tmp_path / "new")
    assert not stage.exists()


def foreign_file(stage: Path) -> None:
    """Put a file of another program into it."""
    (stage / "var").mkdir(exist_ok=True)
    (stage / "var" / "letter.txt").write_text("dear")


def foreign_directory(stage: Path) -> None:
    """Put another directory into it."""
    (stage / "letters").mkdir()


def link(stage: Path) -> None:
    """Put a link to another directory into it."""
    (stage / "var").symlink_to("/etc")


def other_mode(stage: Path) -> None:
    """Open it to others, as a restore does not."""
    stage.chmod(0o755)


def neighbour(stage: Path) -> None:
    """Put a file beside it."""
    (stage.parent / "letter.txt").write_text("dear")


@pytest.mark.parametrize("change", [foreign_file, foreign_directory, link, other_mode, neighbour])
def test_anything_else_is_kept(backup: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    """A directory of that name with anything else in it is refused and kept."""
    stage = tmp_path / "new" / ".restoring"
    stage.mkdir(mode=0o700, parents=True)
    change(stage)
    before = sorted(stage.parent.rglob("*"))
    with pytest.raises(ExistsError, match="is not empty"):
        restore_backup(backup, tmp_path / "new")
    assert sorted(stage.parent.rglob("*")) == before


def test_a_restore_that_still_runs(backup: Path, tmp_path: Path) -> None:
    """A second restore into the same directory is refused while the first one runs."""
    stage = tmp_path / "new" / ".restoring"
    stage.mkdir(mode=0o700, parents=True)
    descriptor = os.open(stage, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(StoreBusyError, match="another `qscpd restore`"):
        restore_backup(backup, tmp_path / "new")
    assert stage.exists()
    os.close(descriptor)
    restore_backup(backup, tmp_path / "new")
