"""Two real daemons and one store: whatever its name, the second is refused."""

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qscpd.errors import ExitCode
from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import StartDaemon, write_config
from tests.support.waiting import PATIENCE_S


def linked_file(store: Path) -> Path:
    """Return a symbolic link to the file."""
    link = store.parent / "link.db"
    link.symlink_to(store)
    return link


def linked_directory(store: Path) -> Path:
    """Return the file by way of a link to its directory."""
    link = store.parent / "link"
    link.symlink_to(store.parent)
    return link / store.name


def hard_link(store: Path) -> Path:
    """Return a second name of the file."""
    link = store.parent / "second.db"
    link.hardlink_to(store)
    return link


def after_deletions(store: Path) -> Path:
    """Delete everything beside it that could be a lock."""
    for pattern in ("*.lock", "*.new", "*-shm"):
        for each in store.parent.glob(pattern):
            each.unlink()
    return store


def run(directory: Path, authority: AuthorityFiles, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with a configuration of its own, whose admin socket is in another directory."""
    directory.mkdir()
    config = write_config(directory, authority)
    return subprocess.run(
        [sys.executable, "-m", "qscpd", *arguments, "-c", str(config)],
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize("name", [linked_file, linked_directory, hard_link, after_deletions])
def test_a_second_daemon_by_another_name(
    start_daemon: StartDaemon, tmp_path: Path, authority: AuthorityFiles, name: Callable[[Path], Path]
) -> None:
    """A daemon that names the store of a running one in another way does not start, and leaves it alone."""
    daemon = start_daemon()
    other = name(daemon.store)
    second = run(tmp_path / "two", authority, "run", "--set", f"store.path={other}")
    assert second.returncode == ExitCode.FAILED
    assert second.stderr == f"qscpd: {other}: another qscpd process is using this store\n"
    assert daemon.run("listusers").returncode == ExitCode.OK


def test_commands_without_the_admin_socket(
    start_daemon: StartDaemon, tmp_path: Path, authority: AuthorityFiles
) -> None:
    """A command that can't reach the running daemon does not change its store behind its back."""
    daemon = start_daemon()
    link = linked_file(daemon.store)
    commands = (("lock", "alice"), ("erase", "bob", "--yes"))
    with ThreadPoolExecutor() as pool:  # each waits for the daemon for a while
        done = [
            pool.submit(run, tmp_path / command[0], authority, *command, "--set", f"store.path={link}")
            for command in commands
        ]
    for found in (each.result() for each in done):
        assert found.returncode == ExitCode.NOT_RUNNING, found.stderr
        assert "none answers on" in found.stderr
    assert daemon.run("listusers").stdout.count("active") == 3


def test_a_lost_journal(start_daemon: StartDaemon) -> None:
    """A journal that is lost after a crash is one critical line; the daemon serves, under a new epoch."""
    daemon = start_daemon()
    daemon.stop(signal.SIGKILL)
    Path(f"{daemon.store}-wal").unlink()
    again = start_daemon()
    again.expected_errors.add("store.journal_lost")
    line = again.wait_for_log("store.journal_lost")
    assert line["level"] == "critical"
    assert f"{daemon.store}-wal is missing" in line["found"]
    for part in ("new epoch", "load their history again", "`qscpd restore`"):
        assert part in line["found"]
    assert again.run("listusers").stdout.count("active") == 3
    assert again.stop() == 0
    third = start_daemon()
    assert not [line for line in third.log if line["event"].startswith("store.")]


def test_a_lost_journal_that_a_command_finds(start_daemon: StartDaemon) -> None:
    """A command with the daemon stopped prints it on standard error, and does its work."""
    daemon = start_daemon()
    daemon.stop(signal.SIGKILL)
    Path(f"{daemon.store}-wal").unlink()
    found = daemon.run("lock", "alice")
    assert found.returncode == ExitCode.OK
    assert "acknowledged messages" in found.stderr
    assert "locked" in daemon.run("listusers").stdout
    assert "acknowledged messages" not in daemon.run("listusers").stderr


def test_a_crash_without_a_loss(start_daemon: StartDaemon) -> None:
    """A killed daemon that lost nothing says nothing."""
    for _ in range(3):
        daemon = start_daemon()
        assert not [line for line in daemon.log if line["event"].startswith("store.")]
        daemon.stop(signal.SIGKILL)
