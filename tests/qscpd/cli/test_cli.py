import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

import qscp
from qscpd.accounts.passwords import PasswordHasher
from qscpd.build import commit
from qscpd.cli import service
from qscpd.cli.group import cli
from qscpd.config import Config, parse_config
from qscpd.errors import ExitCode
from qscpd.setup.pki import AuthorityFiles
from qscpd.store import open_store, store_url
from qscpd.store.sqlite.lock import StoreLock
from qscpd.store.sqlite.migrations import MIGRATIONS
from tests.support.address_space import no_gigabytes
from tests.support.daemon import running_daemon

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty directory, whose configuration is config/qscpd.yaml."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("QSCPD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QSCPD_CONFIG", "config/qscpd.yaml")

    def run(*arguments: str, input: str | bytes | None = None) -> Result:  # noqa: A002 - as click calls it
        return CliRunner().invoke(cli, arguments, input=input, catch_exceptions=False)

    return run


@pytest.fixture
def dev(run: Run) -> Run:
    """Run a command where `init --dev` has been, with cheap hashes."""
    assert run("init", "--dev").exit_code == 0
    with Path("config/qscpd.yaml").open("a") as file:
        file.write("login: {argon2: {memory: 8KiB, iterations: 1}}\n")
    return run


@pytest.fixture
def password_of(dev: Run) -> Callable[[str, str], bool]:
    """Return a check whether an account has a password."""
    del dev

    def has(name: str, password: str) -> bool:
        with StoreLock(Path("var/qscpd.db")):
            store = open_store(store_url(Path("var/qscpd.db")))
            credentials = store.credentials(name)
            store.close()
        assert credentials is not None
        return PasswordHasher(Config().login.argon2).verify(password, credentials.password_hash)

    return has


def users(run: Run) -> list[tuple[str, str]]:
    """Return names and states of `listusers --json`."""
    listed = run("listusers", "--json")
    assert listed.exit_code == 0
    return [(user["name"], user["state"]) for user in json.loads(listed.stdout)]


# --- accounts


def test_the_life_of_an_account(dev: Run) -> None:
    """Each verb reports its action on stderr, and keeps stdout for data."""
    for arguments, expected in (
        (("adduser", "Alice", "--password-stdin"), "added alice"),
        (("passwd", "alice", "--password-stdin"), "changed the password of alice"),
        (("lock", "alice"), "locked alice"),
        (("unlock", "alice"), "unlocked alice"),
        (("deluser", "alice", "--yes"), "deleted alice; the name stays reserved"),
        (("adduser", "alice", "--reuse-name", "--password-stdin"), "added alice"),
    ):
        done = dev(*arguments, input="correct horse\n")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"{expected}\n")
    assert users(dev) == [("alice", "active")]


@pytest.mark.parametrize("command", ["adduser alice", "passwd bob"])
def test_a_password_that_needs_too_much_memory(dev: Run, command: str) -> None:
    """Without memory for a hash there is a sentence, and nothing is changed."""
    dev("adduser", "bob", "--generate")
    with no_gigabytes():
        done = dev(*command.split(), "--generate", "--set", "login.argon2.memory=4GiB")
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, "")
    assert "not enough memory to hash a password" in done.stderr
    assert users(dev) == [("bob", "active")]


def test_a_command_without_memory(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that gets no memory ends with a sentence."""
    monkeypatch.setattr(service, "commit", lambda: str(bytearray(2**32)))
    with no_gigabytes():
        done = run("version")
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, "")
    assert done.stderr.startswith("qscpd: not enough memory; ")


def test_listusers_is_for_people_and_for_programs(dev: Run) -> None:
    """There is a line for each account, by name, and the same as a JSON array."""
    assert (dev("listusers").stdout, users(dev)) == ("", [])
    for name in ("bob", "alice"):
        dev("adduser", name, "--generate")
    dev("lock", "bob")
    lines = [line.split() for line in dev("listusers").stdout.splitlines()]
    assert [line[:2] for line in lines] == [["alice", "active"], ["bob", "locked"]]
    rows = json.loads(dev("listusers", "--json").stdout)
    assert [sorted(row) for row in rows] == [["created", "id", "name", "state"]] * 2
    assert rows[0]["id"] == "a2"
    assert rows[0]["created"] == lines[0][2]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (("adduser", "bob", "--generate"), ExitCode.EXISTS, "account bob already exists"),
        (("adduser", "no/name", "--generate"), ExitCode.USAGE, "'no/name' is not a valid name"),
        (("passwd", "carol", "--generate"), ExitCode.NOT_FOUND, "account carol not found"),
        (("deluser", "carol", "-y"), ExitCode.NOT_FOUND, "account carol not found"),
        (("lock", "carol"), ExitCode.NOT_FOUND, "account carol not found"),
        (("unlock", "carol"), ExitCode.NOT_FOUND, "account carol not found"),
        (("status",), ExitCode.NOT_RUNNING, "no daemon answers"),
        (("adduser", "carol", "--generate", "--password-stdin"), ExitCode.USAGE, "use only one of"),
        (("adduser", "carol", "--password-file", "no"), ExitCode.USAGE, "can't be read: No such file"),
    ],
)
def test_an_error_is_one_sentence_and_a_code(
    dev: Run, arguments: tuple[str, ...], exit_code: ExitCode, sentence: str
) -> None:
    """An error is one line on stderr with its exit code, and nothing changes."""
    dev("adduser", "bob", "--generate")
    done = dev(*arguments)
    assert done.exit_code == exit_code
    assert done.stdout == ""
    assert done.stderr.startswith("qscpd: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert users(dev) == [("bob", "active")]


def test_generate_prints_the_password_alone(dev: Run, password_of: Callable[[str, str], bool]) -> None:
    """Stdout is only the password, and it is the account's."""
    for command in ("adduser", "passwd"):
        done = dev(command, "alice", "--generate")
        assert done.stdout == done.stdout.strip() + "\n"
        assert len(done.stdout.strip()) == 20
        assert password_of("alice", done.stdout.strip())


@pytest.mark.parametrize(
    ("given", "password"),
    [
        ("correct horse\n", "correct horse"),
        ("correct horse", "correct horse"),
        ("correct horse\r\n", "correct horse"),
        (" blanks count \nnext line\n", " blanks count "),
        ("пароль да\n", "пароль да"),
    ],
)
def test_the_first_line_is_the_password(
    dev: Run, password_of: Callable[[str, str], bool], given: str, password: str
) -> None:
    """The first line of stdin or of a file is the password."""
    assert dev("adduser", "alice", "--password-stdin", input=given).exit_code == 0
    Path("password").write_bytes(given.encode())
    assert dev("adduser", "bob", "--password-file", "password").exit_code == 0
    assert password_of("alice", password)
    assert password_of("bob", password)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (b"", "the first line is empty"),
        (b"\ncorrect horse\n", "the first line is empty"),
        (b"short\n", "too short; use at least 8 characters"),
        (b"x" * 1025 + b"\n", "too long; use at most 1024 bytes"),
        (b"x" * 100_000, "too long; use at most 1024 bytes"),
        (b"correct\xffhorse\n", "is not UTF-8"),
        (b"correct\thorse\n", "control characters"),
    ],
)
def test_a_bad_password_is_refused(dev: Run, given: bytes, sentence: str) -> None:
    """The error has the rule, not the password, and there is no account."""
    done = dev("adduser", "alice", "--password-stdin", input=given)
    assert done.exit_code == ExitCode.USAGE
    assert sentence in done.stderr
    assert "horse" not in done.stderr
    assert users(dev) == []


def test_the_daemon_does_it_when_it_runs(tmp_path: Path, authority: AuthorityFiles) -> None:
    """The same verbs work with the daemon running, and `status` shows it."""
    with running_daemon(tmp_path, authority, accounts=["alice"]) as daemon:
        assert (
            daemon.run("adduser", "bob", "--password-stdin", password="correct horse\n").stderr
            == "added bob\n"
        )
        assert daemon.run("lock", "alice").returncode == 0
        listed = json.loads(daemon.run("listusers", "--json").stdout)
        assert [(user["name"], user["state"]) for user in listed] == [("alice", "locked"), ("bob", "active")]
        assert daemon.run("adduser", "bob", "--generate").returncode == ExitCode.EXISTS
        status = json.loads(daemon.run("status", "--json").stdout)
        assert (status["pid"], status["version"]) == (daemon.process.pid, qscp.__version__)
        assert (status["schema"], status["commit"]) == (len(MIGRATIONS), commit())


# --- configuration


def test_init_dev_makes_everything_once(run: Run) -> None:
    """The second `init --dev` keeps all files, with exit code 0."""
    first = run("init", "--dev", "--name", "chat.example.org")
    assert first.exit_code == 0
    assert "made certs/ca.pem" in first.stdout
    assert "chat.example.org" in first.stdout
    content = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    second = run("init", "--dev")
    assert second.exit_code == 0
    assert {line.split()[0] for line in second.stdout.splitlines()} == {"kept"}
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == content
    assert run("checkconfig").exit_code == 0


def test_all_mistakes_of_a_configuration_are_reported(dev: Run) -> None:
    """Every command that loads the configuration reports all of its problems, with exit code 3."""
    Path("config/qscpd.yaml").write_text("log: {levle: x}\nlogin:\n  timeout: 1\n")
    for command in ("checkconfig", "run", "listusers", "status", "gencert"):
        done = dev(command)
        assert done.exit_code == ExitCode.CONFIG
        lines = done.stderr.splitlines()
        assert [line.split(": ")[:2] for line in lines] == [
            ["config/qscpd.yaml:1", "log.levle"],
            ["config/qscpd.yaml:3", "login.timeout"],
        ]


def test_checkconfig_lists_all_problems_at_once(dev: Run) -> None:
    """Files, certificate and addresses, in the order in which `run` would give up; the first one's code."""
    Path("var").chmod(0o777)
    Path("certs/server.pem").unlink()
    listen = ("--set", "server.listen=127.0.0.1:7727, localhost:7727")
    result = dev("checkconfig", *listen)
    permission, certificate, address = result.stderr.splitlines()
    assert permission.startswith("qscpd: store.path: other users can put files of their own")
    assert certificate.endswith("server.pem: the certificate can't be read: No such file or directory")
    assert address.startswith("server.listen: 127.0.0.1:7727 and localhost:7727 both listen")
    assert result.exit_code == ExitCode.PERMISSION
    result = dev("checkconfig", *listen, "--set", "store.path=no/q.db")
    assert result.exit_code == ExitCode.CONFIG
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("store.path: the directory of ")
    assert last == address


def test_checkconfig_looks_at_certificate_and_directories(dev: Run) -> None:
    """`checkconfig` finds what would make `run` fail."""
    assert "config/qscpd.yaml: no problems" in dev("checkconfig").stdout
    missing = dev("checkconfig", "--set", "store.path=no/q.db")
    assert missing.exit_code == ExitCode.CONFIG
    assert "store.path: the directory" in missing.stderr
    missing = dev("checkconfig", "--set", "server.admin_socket=no/run/admin.sock")
    assert missing.exit_code == ExitCode.CONFIG
    assert "server.admin_socket: the directory" in missing.stderr
    Path("certs/server.key").chmod(0o644)
    opened = dev("checkconfig")
    assert opened.exit_code == ExitCode.PERMISSION
    assert "open to other users" in opened.stderr
    Path("certs/server.key").unlink()
    assert dev("checkconfig").exit_code == ExitCode.CONFIG


def test_checkconfig_warns_of_cheap_hashes(dev: Run) -> None:
    """A weak setting is a sentence on stderr, and no error."""
    done = dev("checkconfig")
    assert done.exit_code == 0
    assert done.stderr.startswith("qscpd: warning: login.argon2: memory 8KiB and iterations 1 are less than")
    assert dev("checkconfig", "--set", "login.argon2.memory=46MiB").stderr == ""


def test_init_says_that_it_made_no_authority(dev: Run) -> None:
    """Beside a certificate of another CA none is made, and none is to be handed out."""
    for name in ("certs/ca.pem", "certs/ca.key", "config/qscpd.yaml"):
        Path(name).unlink()
    done = dev("init", "--dev")
    assert done.exit_code == 0
    assert done.stdout.startswith("left out certs/ca.pem  (no CA was made, because certs/server.pem has one")
    assert "give the certificate of its CA to every user." in done.stdout
    assert not Path("certs/ca.pem").exists()


@pytest.mark.parametrize("command", [("checkconfig",), ("gencert",), ("init", "--dev")])
def test_files_open_to_others_are_refused(dev: Run, command: tuple[str, ...]) -> None:
    """The configuration and both keys are checked before anything is made."""
    before = Path("certs/server.pem").read_bytes()
    for name, mode, opened in (
        ("config/qscpd.yaml", 0o644, 0o664),
        ("certs/ca.key", 0o600, 0o644),
        ("certs/server.key", 0o600, 0o602),
    ):
        Path(name).chmod(opened)
        done = dev(*command)
        assert done.exit_code == ExitCode.PERMISSION, name
        assert f"mode {opened:04o}); run `chmod" in done.stderr
        Path(name).chmod(mode)
    assert Path("certs/server.pem").read_bytes() == before
    assert dev(*command).exit_code == 0


def test_config_show_is_yaml_with_origins(dev: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output loads again, and has the origin of each value."""
    monkeypatch.setenv("QSCPD_LIMITS__PING_AFTER", "5s")
    shown = dev("--set", "log.level=debug", "config", "show", "--set", "log.format=json", "--origin")
    assert shown.exit_code == 0
    config = parse_config(shown.stdout, Path("x"), cwd=Path.cwd()).config
    assert (config.log.level, config.log.format, config.limits.ping_after_s) == ("debug", "json", 5.0)
    assert "level: debug  # --set log.level" in shown.stdout
    assert "ping_after: 5s  # QSCPD_LIMITS__PING_AFTER" in shown.stdout
    assert 'path: "' + str(Path("var/qscpd.db").absolute()) in shown.stdout
    assert "attempts: 3  # default" in shown.stdout
    assert "#" not in dev("config", "show").stdout.replace("/#", "")


def test_the_file_may_be_named_before_and_after_the_command(dev: Run) -> None:
    """The command's own option overrides the root's, which overrides the environment."""
    Path("other.yaml").write_text("log: {level: error}")
    assert "level: error" in dev("-c", "other.yaml", "config", "show").stdout
    assert "level: error" in dev("config", "show", "-c", "other.yaml").stdout
    assert "level: error" in dev("-c", "nowhere.yaml", "config", "show", "-c", "other.yaml").stdout
    done = dev("-c", "nowhere.yaml", "config", "show")
    assert (done.exit_code, done.stderr.startswith("nowhere.yaml: not found")) == (3, True)


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("adduser",), ("lock", "a", "b"), ("--set", "x", "listusers"), ("run", "--loud")],
)
def test_wrong_usage_ends_with_2(dev: Run, arguments: tuple[str, ...]) -> None:
    """Usage errors of click have the documented exit code too."""
    assert dev(*arguments).exit_code == ExitCode.USAGE


def test_click_looks_at_no_file_that_is_read() -> None:
    """An unreadable file has the documented exit code, not that of wrong usage."""
    context = click.Context(cli)
    names = cli.list_commands(context)
    checked = {
        option
        for command in [cli, *filter(None, (cli.get_command(context, name) for name in names))]
        for parameter in command.params
        if isinstance(parameter.type, click.Path) and parameter.type.readable
        for option in parameter.opts
    }
    assert not checked & {"--config", "--password-file"}


def test_gencert_renews(dev: Run) -> None:
    """Renewal works with the configuration, and with a directory alone."""
    before = Path("certs/server.pem").read_bytes()
    done = dev("gencert", "--name", "new.example.org")
    assert done.exit_code == 0
    assert "new.example.org" in done.stdout
    assert Path(f"certs/server.pem.{datetime.now(UTC):%Y-%m-%d}").read_bytes() == before
    assert "added: new.example.org\n" in done.stdout
    assert f"/certs/server.pem.{datetime.now(UTC):%Y-%m-%d}\n" in done.stdout
    again = dev("gencert", "--name", "b.example.org", "--drop-name", "new.example.org")
    assert "kept: localhost, " in again.stdout
    assert "added: b.example.org\ndropped: new.example.org\n" in again.stdout
    assert dev("gencert", "--drop-name", "new.example.org").exit_code == ExitCode.USAGE
    assert dev("-c", "nowhere", "gencert", "--certs", "certs", "--new-key").exit_code == 0
    assert dev("checkconfig").exit_code == 0
    assert "for localhost" in dev("gencert").stdout
    assert f"until {datetime.now(UTC) + timedelta(30):%Y-%m-%d}" in dev("gencert", "--days", "30").stdout
    assert "Apple" not in dev("gencert", "--days", "824").stdout
    assert "Apple's systems refuse it" in dev("gencert", "--days", "825").stdout
    assert dev("gencert", "--days", "0").exit_code == ExitCode.USAGE
    Path("certs/ca.key").unlink()
    assert dev("gencert").exit_code == ExitCode.NOT_FOUND
    other = dev("gencert", "--set", "tls.certificate=certs/other.pem")
    assert other.exit_code == ExitCode.USAGE
    assert "which `qscpd init` did not make" in other.stderr


def test_version_and_help(run: Run) -> None:
    """The version is shown, and the overview and each command have a help text."""
    version = run("version").stdout
    assert version.startswith(f"qscpd {qscp.__version__} (qscp/1, Python 3.")
    assert re.search(rf", schema {len(MIGRATIONS)}(, commit [0-9a-f]{{12}})?\)\n$", version)
    assert run("--version").stdout == f"qscpd {qscp.__version__}\n"
    overview = run("--help").stdout
    for command in cli.list_commands(None):  # type: ignore[arg-type]  # the context is not looked at
        assert f"\n  {command} " in overview
        details = run(command, "--help")
        assert details.exit_code == 0
        assert re.search(r"\nExamples?:\n  qscpd|\nCommands:\n", details.stdout), command
    assert "..." not in overview.partition("Setup commands:")[2].partition("Options:")[0]


# --- a real process


def qscpd(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m qscpd` with nothing on stdin and no terminal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QSCPD_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "qscpd", *arguments],
        cwd=cwd,
        env=kept | {"PYTHONPATH": os.pathsep.join(sys.path)} | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )


def test_without_a_terminal_there_is_no_prompt(tmp_path: Path) -> None:
    """A script that forgot an option gets an error at once, not a prompt."""
    assert qscpd("init", "--dev", cwd=tmp_path).returncode == 0
    added = qscpd("-c", "config/qscpd.yaml", "adduser", "alice", cwd=tmp_path)
    assert (added.returncode, added.stdout) == (ExitCode.USAGE, "")
    assert "no terminal to ask for the password; use --password-stdin" in added.stderr
    deleted = qscpd("-c", "config/qscpd.yaml", "deluser", "alice", cwd=tmp_path)
    assert (deleted.returncode, deleted.stdout) == (ExitCode.USAGE, "")
    assert "add --yes" in deleted.stderr


def test_without_a_configuration_the_sentence_names_init(tmp_path: Path) -> None:
    """Without a configuration the error names `qscpd init`."""
    done = qscpd("run", cwd=tmp_path, env={"QSCPD_CONFIG": "qscpd.yaml"})
    assert (done.returncode, done.stdout) == (ExitCode.CONFIG, "")
    assert done.stderr == (
        "qscpd.yaml: not found; create it with `qscpd init`, or name another file with -c FILE\n"
    )


def write_to_full_disk(directory: Path, *arguments: str, stream: str) -> subprocess.CompletedProcess[str]:
    """Run `qscpd` with one of its outputs on a full disk, buffered as in a shell."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    outputs: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Path("/dev/full").open("w") as outputs[stream]:
        return subprocess.run(
            [sys.executable, "-m", "qscpd", *arguments],
            cwd=directory,
            env=env | {"PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
            check=False,
            **outputs,
        )


@pytest.mark.parametrize("command", ["config show", "listusers --json", "version", "--version", "--help"])
def test_a_full_disk_behind_stdout_is_a_sentence(tmp_path: Path, command: str) -> None:
    """Output that can't be written is an error, and no traceback; nor is the exit code the interpreter's."""
    assert qscpd("init", "--dev", cwd=tmp_path).returncode == 0
    done = write_to_full_disk(tmp_path, "-c", "config/qscpd.yaml", *command.split(), stream="stdout")
    assert (done.returncode, done.stderr) == (ExitCode.FAILED, "qscpd: No space left on device\n")


def test_a_full_disk_behind_stderr_leaves_the_exit_code(tmp_path: Path) -> None:
    """A script still sees what was wrong."""
    done = write_to_full_disk(tmp_path, "-c", "none.yaml", "config", "show", stream="stderr")
    assert (done.returncode, done.stdout) == (ExitCode.CONFIG, "")


def test_shell_completion_knows_commands_and_keys(tmp_path: Path) -> None:
    """Completion works with late imports, and completes `--set`."""

    def completions(words: str) -> str:
        env = {"_QSCPD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return qscpd(cwd=tmp_path, env=env).stdout

    assert "plain,adduser" in completions("qscpd add")
    assert "plain,--generate" in completions("qscpd adduser --gen")
    assert "plain,log.level=" in completions("qscpd run --set log.l")
    assert "plain,archive" in completions("qscpd room ar")
    assert "plain,announcement" in completions("qscpd room create dev --kind ann")


def test_the_dev_configuration_is_plain_yaml_that_moves(tmp_path: Path) -> None:
    """Its paths are relative, and only this machine can connect."""
    (tmp_path / "here").mkdir()
    assert qscpd("init", "--dev", cwd=tmp_path / "here").returncode == 0
    (tmp_path / "here").rename(tmp_path / "there")
    assert qscpd("-c", "config/qscpd.yaml", "checkconfig", cwd=tmp_path / "there").returncode == 0
    written = yaml.safe_load((tmp_path / "there/config/qscpd.yaml").read_text())
    assert written["server"]["listen"] == ["127.0.0.1:7727", "[::1]:7727"]
    assert written["tls"]["certificate"] == "../certs/server.pem"
