"""A configuration that others can change: no command follows it."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qscpd.cli.group import cli
from qscpd.errors import ExitCode
from tests.qscpd.cli.test_cli import Run
from tests.qscpd.cli.test_store_permissions import READING, WRITING

_OTHERS = [
    ("status",),
    ("confirmclock",),
    ("checkconfig",),
    ("config", "show"),
    ("gencert",),
    ("room", "show", "garden"),
    ("room", "archive", "garden"),
    ("room", "delete", "garden", "--yes"),
    ("room", "export", "garden"),
]


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command where `init --dev` has been."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QSCPD_CONFIG", "config/qscpd.yaml")

    def run(*arguments: str, input: str | bytes | None = None) -> Result:  # noqa: A002 - as click calls it
        return CliRunner().invoke(cli, arguments, input=input, catch_exceptions=False)

    assert run("init", "--dev").exit_code == ExitCode.OK
    return run


@pytest.mark.parametrize("command", [*WRITING, *READING, *_OTHERS], ids=" ".join)
def test_no_command_follows_it(dev: Run, command: tuple[str, ...]) -> None:
    """It could name another daemon's socket, which then gets hashes of passwords, or another store."""
    Path("config/qscpd.yaml").chmod(0o664)
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind("var/admin.sock")
        foreign.listen()
        foreign.setblocking(False)
        result = dev(*command, input="correct horse\n")
        with pytest.raises(BlockingIOError):
            foreign.accept()
    assert result.exit_code == ExitCode.PERMISSION, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert "other users can change it (mode 0664); run `chmod go-w " in result.stderr
    assert not Path("var/qscpd.db").exists()


def test_a_copy_in_a_backup_decides_nothing(dev: Run) -> None:
    """A backup whose copy has lost its mode, as on another file system, is verified and restored."""
    assert dev("adduser", "alice", "--password-stdin", input="correct horse\n").exit_code == ExitCode.OK
    assert dev("backup", "to").exit_code == ExitCode.OK
    (copy,) = Path("to").glob("*/qscpd.yaml")
    copy.chmod(0o666)
    assert dev("verify", str(copy.parent)).exit_code == ExitCode.OK
    assert dev("restore", str(copy.parent), "--into", "new").exit_code == ExitCode.OK
