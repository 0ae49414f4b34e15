import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qscpd import owners
from qscpd.cli.group import cli
from qscpd.errors import ExitCode
from qscpd.store.sqlite.lock import StoreLock
from tests.support.daemon import add_accounts

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a directory with an installation of two accounts."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("QSCPD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QSCPD_CONFIG", "config/qscpd.yaml")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, catch_exceptions=False)

    assert run("init", "--dev").exit_code == 0
    add_accounts(Path("var/qscpd.db"), {"alice": "correct horse", "bob": "battery staple"})
    return run


@pytest.fixture
def backup(run: Run) -> str:
    """A backup, by the name that the command printed."""
    return run("backup", "backups").stdout.strip()


def test_backup_prints_the_new_folder(run: Run) -> None:
    """Stdout has only the path, for scripts; stderr has the content."""
    with StoreLock(Path("var/qscpd.db")):  # as a running daemon has it
        result = run("backup", "backups")
    assert result.exit_code == 0
    assert Path(result.stdout.strip()).parent == Path("backups")
    assert result.stderr == "backed up 2 accounts, 0 conversations, 0 messages\n"


def test_backup_reports_a_missing_ca_key(run: Run) -> None:
    """A missing CA key is reported, because renewals need it."""
    Path("certs/ca.key").unlink()
    assert "the CA key is not included, because it is not on this machine" in run("backup", "backups").stderr


def test_backup_to_nowhere(run: Run) -> None:
    """A destination with a missing parent, such as an unmounted disk, is not created."""
    result = run("backup", "mnt/backups")
    assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")
    assert result.stderr == "qscpd: mnt/backups: No such file or directory\n"


def test_verify_whole_ones(run: Run, backup: str) -> None:
    """Each intact backup is a line with its content."""
    other = run("backup", "backups").stdout.strip()
    result = run("verify", backup, other)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [backup, other]
    assert lines[0].endswith(": 2 accounts, 0 conversations, 0 messages")


def test_verify_damaged_ones(run: Run, backup: str) -> None:
    """Each problem is one sentence, and the exit code is 1 even if others are intact."""
    other = run("backup", "backups").stdout.strip()
    Path(backup, "ca.pem").unlink()
    Path(backup, "server.key").write_text("x")
    result = run("verify", backup, other)
    assert result.exit_code == ExitCode.FAILED
    assert result.stdout.startswith(f"{other}: ok")
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        f"{backup}/server.key",
        f"{backup}/ca.pem",
    ]


def test_restore_says_what_to_do_next(run: Run, backup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The restored configuration passes the check that the output names."""
    # Where QSCP is installed, root gives the store to the service's user, who may not read a test's folder.
    monkeypatch.setattr(owners, "SERVICE_USER", "no-such-user")
    result = run("restore", backup, "--into", "new")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "`qscpd -c new/config/qscpd.yaml run`" in result.stderr
    assert run("-c", "new/config/qscpd.yaml", "checkconfig").exit_code == 0
    assert "alice" in run("-c", "new/config/qscpd.yaml", "listusers").stdout


@pytest.mark.parametrize(
    ("into", "code", "expected"),
    [
        (
            ".",
            ExitCode.EXISTS,
            "qscpd: .: is not empty (backups and 3 more); restore into an empty directory\n",
        ),
        ("certs/ca.pem", ExitCode.FAILED, "qscpd: certs/ca.pem: Not a directory\n"),
        ("no/where", ExitCode.FAILED, "qscpd: no/where: No such file or directory\n"),
    ],
)
def test_restore_refuses_a_bad_place(run: Run, backup: str, into: str, code: ExitCode, expected: str) -> None:
    """A bad target is one sentence, and nothing is changed."""
    before = sorted(map(str, Path().rglob("*")))
    result = run("restore", backup, "--into", into)
    assert (result.exit_code, result.stderr) == (code, expected)
    assert sorted(map(str, Path().rglob("*"))) == before


def test_restore_refuses_a_running_daemon_s_place(run: Run, backup: str) -> None:
    """The error names the running daemon as the reason."""
    with StoreLock(Path("var/qscpd.db")):
        result = run("restore", backup, "--into", "var")
    assert result.exit_code == ExitCode.FAILED
    assert "var/qscpd.db: a running qscpd uses this store" in result.stderr


def test_prune(run: Run, backup: str) -> None:
    """Stdout has the removed backups, stderr those that need attention."""
    newest = run("backup", "backups").stdout.strip()
    Path("backups/qscp-20260101T000000Z.part").mkdir()
    result = run("prune", "backups", "--keep", "1")
    assert (result.exit_code, result.stdout) == (0, f"removed {backup}\n")
    assert result.stderr == (
        "qscpd: backups/qscp-20260101T000000Z.part: is not finished; check it and remove it by hand\n"
    )
    assert run("verify", newest).exit_code == 0


@pytest.mark.parametrize("keep", ["0", "-1", "x"])
def test_prune_keeps_at_least_one(run: Run, backup: str, keep: str) -> None:
    """--keep 0 is refused."""
    assert run("prune", "backups", "--keep", keep).exit_code == ExitCode.USAGE
    assert run("prune", "backups").exit_code == ExitCode.USAGE
    assert Path(backup).is_dir()
