"""Stores that this user can't write: every command exits with 6, and names the file."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import qscpd.app
import qscpd.cli.backups
import qscpd.cli.history
import qscpd.cli.rooms
import qscpd.cli.service
import qscpd.cli.users
from qscpd.cli.group import cli
from qscpd.errors import ExitCode
from tests.qscpd.cli.test_cli import Run
from tests.support.smalldisk import small_disk
from tests.support.users import NOBODY, as_user

_IMPORTED = (
    qscpd.app,
    qscpd.cli.backups,
    qscpd.cli.history,
    qscpd.cli.rooms,
    qscpd.cli.service,
    qscpd.cli.users,
)
"""Imported by root: another user can't read every directory of modules."""

WRITING = [
    ("listusers",),
    ("adduser", "carol", "--password-stdin"),
    ("passwd", "alice", "--password-stdin"),
    ("lock", "alice"),
    ("unlock", "alice"),
    ("deluser", "alice", "--yes"),
    ("erase", "bob", "--yes"),
    ("room", "create", "garden", "--owner", "alice"),
    ("run",),
]
READING = [("export", "alice"), ("room", "list"), ("backup", "to")]


def give_to_nobody(*paths: str) -> None:
    """Make another user the owner of files."""
    for path in paths:
        os.chown(path, NOBODY, NOBODY)


def closed_directory() -> str:
    """Make the directory unwritable."""
    give_to_nobody("var/qscpd.db")
    Path("var").chmod(0o755)
    return "var"


def closed_file() -> str:
    """Make the file unwritable."""
    give_to_nobody("var")
    Path("var/qscpd.db").chmod(0o444)
    return "var/qscpd.db"


def journal_of_root() -> str:
    """Leave a journal of root, as a crash of a daemon that root ran."""
    give_to_nobody("var", "var/qscpd.db")
    Path("var/qscpd.db-wal").touch(mode=0o600)
    return "var/qscpd.db-wal"


def index_of_root() -> str:
    """Leave the index of a journal of root."""
    give_to_nobody("var", "var/qscpd.db")
    Path("var/qscpd.db-shm").touch(mode=0o600)
    return "var/qscpd.db-shm"


def hidden_directory() -> str:
    """Make the directory unsearchable."""
    give_to_nobody("var/qscpd.db")
    Path("var").chmod(0o700)
    return "var"


def new_store_in_a_closed_directory() -> str:
    """Leave no store, and no way to make one."""
    Path("var/qscpd.db").unlink()
    Path("var").chmod(0o755)
    return "var"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach; pytest's own are private."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def installation(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a command in an installation with alice, of a user who can read its certificates."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("QSCPD_CONFIG", "config/qscpd.yaml")

    def run(*arguments: str, input: str | bytes | None = None) -> Result:  # noqa: A002 - as click calls it
        return CliRunner().invoke(cli, arguments, input=input, catch_exceptions=False)

    assert run("init", "--dev").exit_code == ExitCode.OK
    with Path("config/qscpd.yaml").open("a") as file:
        file.write("login: {argon2: {memory: 8KiB, iterations: 1}}\n")
    assert run("adduser", "alice", "--password-stdin", input="correct horse\n").exit_code == ExitCode.OK
    Path("certs").chmod(0o755)
    give_to_nobody("certs/server.key")
    yield run
    monkeypatch.undo()


def assert_refused(run: Run, command: tuple[str, ...], culprit: str) -> None:
    """Check that a command exits with 6 and one sentence."""
    result = run(*command, input="correct horse\n")
    assert result.exit_code == ExitCode.PERMISSION, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert culprit in result.stderr


@pytest.mark.parametrize("command", WRITING, ids=lambda command: command[0])
@pytest.mark.parametrize(
    "close",
    [
        closed_directory,
        closed_file,
        journal_of_root,
        index_of_root,
        hidden_directory,
        new_store_in_a_closed_directory,
    ],
)
def test_commands_that_write(
    installation: Run, place: Path, command: tuple[str, ...], close: Callable[[], str]
) -> None:
    """A command that writes needs the file, its journal and its directory."""
    culprit = close()
    with as_user(place):
        assert_refused(installation, command, culprit)


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
@pytest.mark.parametrize("close", [closed_directory, journal_of_root, index_of_root, hidden_directory])
def test_commands_that_read(
    installation: Run, place: Path, command: tuple[str, ...], close: Callable[[], str]
) -> None:
    """A command that reads needs the journal, too; it says so."""
    culprit = close()
    (place / "to").mkdir()
    give_to_nobody("to", "config/qscpd.yaml", "certs/ca.key")
    with as_user(place):
        assert_refused(installation, command, culprit)


@pytest.mark.parametrize("command", WRITING, ids=lambda command: command[0])
def test_a_read_only_file_system(installation: Run, place: Path, command: tuple[str, ...]) -> None:
    """After a disk error, a file system is read-only even for root."""
    with small_disk(place / "disk", 1024) as disk:
        shutil.move("var/qscpd.db", disk / "qscpd.db")
        Path("var").rmdir()
        Path("var").symlink_to(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert_refused(installation, command, "read-only file system")
