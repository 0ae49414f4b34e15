import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qscpd import privileges
from qscpd.cli.group import cli
from qscpd.errors import ExitCode
from qscpd.store.sqlite.lock import StoreLock
from tests.support.daemon import add_accounts
from tests.support.users import NOBODY, as_user, passable

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


def test_quiet_commands_print_nothing_when_all_is_well(run: Run, backup: str) -> None:
    """With --quiet, a backup and the removal of old ones have no output, as cron wants it."""
    Path("certs/ca.key").unlink()
    for command in (("backup", "backups", "--quiet"), ("prune", "backups", "--keep", "1", "--quiet")):
        result = run(*command)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert not Path(backup).exists()
    assert len(list(Path("backups").iterdir())) == 1


def test_quiet_commands_print_what_needs_attention(run: Run, backup: str) -> None:
    """With --quiet, errors and unfinished backups are still printed."""
    Path(backup).rename(f"{backup}.part")
    assert "is not finished" in run("prune", "backups", "--keep", "1", "--quiet").stderr
    Path("certs/server.pem").unlink()
    result = run("backup", "backups", "--quiet")
    assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")
    assert "certs/server.pem: No such file" in result.stderr


def test_backup_leaves_out_a_ca_key_that_is_closed_to_this_user(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The service's user makes a whole backup without the CA key; the command says so."""
    target = tmp_path_factory.mktemp("target")
    if os.geteuid() == 0:
        for path in (*Path("var").iterdir(), Path("var"), Path("certs/server.key"), target):
            os.chown(path, NOBODY, NOBODY)
    with as_user(Path.cwd()), passable(target):
        result = run("backup", str(target))
    assert result.exit_code == 0
    assert "the CA key is not included, because this user has no permission to read it" in result.stderr
    assert run("verify", result.stdout.strip()).exit_code == 0


@pytest.mark.parametrize(
    "command",
    [
        ("prune", "{}", "--keep", "3"),
        ("backup", "{}/a/b"),
        ("verify", "{}"),
        ("restore", "{}", "--into", "new"),
        ("restore", "--system", "{}"),
        ("-c", "{}", "listusers"),
        ("gencert", "--certs", "{}"),
    ],
)
def test_an_argument_can_t_control_the_terminal(run: Run, command: tuple[str, ...]) -> None:
    """Escape sequences and other invisible characters of an argument are shown as their codes."""
    result = run(*(each.format("no\x1b[31m\r\u202e\nwhere") for each in command))
    assert result.exit_code != 0
    assert not set("\x1b\r\u202e") & set(result.stderr)
    assert "<U+001B>[31m" in result.stderr


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
    monkeypatch.setattr(privileges, "DAEMON_USER", "no-such-user")
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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "name the target: either --system or --into DIR"),
        (("--system", "--into", "new"), "name the target: either --system or --into DIR"),
        (("--into", "new", "--store-only"), "--store-only needs --system"),
    ],
)
def test_restore_needs_one_target(run: Run, backup: str, options: tuple[str, ...], expected: str) -> None:
    """Neither and both targets are wrong usage, and nothing is restored."""
    result = run("restore", backup, *options)
    assert result.exit_code == ExitCode.USAGE
    assert expected in result.stderr
    assert not Path("new").exists()


@pytest.fixture
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has the service of this test, whose folder the service's user can't reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can restore a service")
    monkeypatch.setattr(privileges, "DAEMON_USER", "no-such-user")


@pytest.mark.usefixtures("own_store")
def test_restore_system_says_what_it_did_and_what_is_next(run: Run, backup: str) -> None:
    """Stderr names each restored file and the earlier one, then the commands that check and start it."""
    add_accounts(Path("var/qscpd.db"), {"carol": "correct horse"})
    Path("config/qscpd.yaml").write_text("broken: [\n")
    result = run("restore", "--system", backup)
    assert (result.exit_code, result.stdout) == (0, "")
    assert re.search(r"/var/qscpd.db: restored; the earlier one is /.*/var/qscpd.db.before-", result.stderr)
    assert re.search(r"/config/qscpd.yaml: restored; the earlier one is ", result.stderr)
    assert "`qscpd -c config/qscpd.yaml checkconfig`" in result.stderr
    assert "`systemctl start qscpd`" in result.stderr
    assert "server.key" not in result.stderr, "it was in place already"
    assert "carol" not in run("listusers").stdout
    assert run("checkconfig").exit_code == 0


@pytest.mark.usefixtures("own_store")
def test_restore_system_of_the_store_alone(run: Run, backup: str) -> None:
    """With --store-only the configuration stays, and says where the store is."""
    add_accounts(Path("var/qscpd.db"), {"carol": "correct horse"})
    with Path("config/qscpd.yaml").open("a") as config:
        config.write("history: {keep_for: 1d}\n")
    result = run("restore", "--system", "--store-only", backup)
    assert result.exit_code == 0
    assert "qscpd.yaml: restored" not in result.stderr
    assert "carol" not in run("listusers").stdout
    assert "keep_for: 1d" in Path("config/qscpd.yaml").read_text()


@pytest.mark.usefixtures("own_store")
def test_restore_system_refuses_while_something_listens(run: Run, backup: str) -> None:
    """A daemon that has the admin socket open is running, though it hangs and its store's file is gone."""
    Path("var/qscpd.db").unlink()
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind("var/admin.sock")
        daemon.listen(0)
        for _ in range(2):  # then its queue is full, too
            result = run("restore", "--system", backup)
            assert result.exit_code == ExitCode.FAILED
            assert "the daemon is running; stop it first: systemctl stop qscpd" in result.stderr
            assert not Path("var/qscpd.db").exists()


def test_restore_system_needs_root(run: Run, backup: str) -> None:
    """Another user gets a sentence and exit code 6."""
    with as_user(Path.cwd()):
        result = run("restore", "--system", str(Path(backup).absolute()))
    assert result.exit_code == ExitCode.PERMISSION
    assert result.stderr == "qscpd: --system writes files of root and of the service; run this as root\n"


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
