"""The command line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from qscp import __version__
from qscp_client.cli import command
from qscp_client.errors import ExitCode

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the configuration of the user running the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", "/home of alice")


def run(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(command, arguments)


def test_help_lists_the_exit_codes() -> None:
    """`--help` lists every exit code with its meaning."""
    text = run("--help").stdout
    for code in ExitCode:
        assert re.search(rf"^ +{code} +{re.escape(code.meaning[:40])}", text, re.MULTILINE)


def test_the_documentation_has_every_exit_code() -> None:
    """The documentation has every exit code with the same meaning."""
    text = (REPOSITORY / "docs" / "client.md").read_text(encoding="utf-8")
    for code in ExitCode:
        assert f"| {code.value} | {code.meaning} |" in text


def test_version_is_shown() -> None:
    """`--version` shows the package's version."""
    assert __version__ in run("--version").stdout


def test_nothing_switches_verification_off_or_takes_a_password() -> None:
    """No option turns off verification or takes a password; a new option fails this test."""
    options = {option for parameter in command.params for option in parameter.opts}
    assert options == {"--ca", "--server", "--user", "--config", "--version"}


def test_click_checks_no_file() -> None:
    """Click checks no file, so that an unreadable one has its documented exit code."""
    files = [each.type for each in command.params if isinstance(each.type, click.Path)]
    assert [(each.readable, each.exists) for each in files] == [(False, False)] * 2


def test_a_ca_is_required() -> None:
    """Without a CA, the client exits and names the option."""
    done = run()
    assert done.exit_code == ExitCode.USAGE
    assert "--ca FILE" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["--ca", "ca.pem", "--server", "host:x"], ExitCode.USAGE, "not a port"),
        (["--ca", "ca.pem", "--user", "no good"], ExitCode.USAGE, "not a valid name"),
        (["--no-verify"], ExitCode.USAGE, "No such option"),
        (["--ca", "ca.pem", "alice"], ExitCode.USAGE, "unexpected extra argument"),
        (["--config", "no-such.yaml"], ExitCode.CONFIG, "no-such.yaml: can't be read"),
        (["--ca", "no-such.pem"], ExitCode.TRUST, "no-such.pem can't be read"),
        (["--ca", "~/no-such.pem"], ExitCode.TRUST, "/home of alice/no-such.pem can't be read"),
        (["--ca", "~nobody-here/ca.pem"], ExitCode.USAGE, "no home is known; write the path in full"),
        (["--config", "~/no-such.yaml"], ExitCode.CONFIG, "/home of alice/no-such.yaml: can't be read"),
    ],
)
def test_wrong_use_has_its_exit_code(arguments: list[str], code: ExitCode, part: str) -> None:
    """Wrong use has its exit code and reason, before any prompt."""
    done = run(*arguments)
    assert done.exit_code == code
    assert part in done.stderr


def shell(command: str) -> "subprocess.CompletedProcess[str]":
    """Run the program with arguments and redirections, buffered as in a shell; 8 is a pipe without reader."""
    program = '"$PYTHON" -c "from qscp_client.cli import main; main()"'
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ["bash", "-c", f"exec 8>&{writer}; exec {program} {command}"],
        pass_fds=(writer,),
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        | {"PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(writer)
    return done


@pytest.mark.parametrize("option", ["--help", "--version", "-h"])
@pytest.mark.parametrize(
    ("stdout", "why"),
    [
        (">/dev/full", "No space left on device"),
        (">&-", "stdout is closed"),
        (">&- <&-", "stdout is closed"),
        ("1</dev/null", "stdout is closed"),
    ],
)
def test_help_that_is_lost_is_an_error(option: str, stdout: str, why: str) -> None:
    """Help and version on a full or closed stdout are one sentence and an exit code."""
    done = shell(f"{option} {stdout}")
    assert (done.returncode, done.stderr) == (
        ExitCode.OUTPUT,
        f"qscp-client: The output can't be written: {why}.\n",
    )


def test_help_to_a_reader_that_left_is_quiet() -> None:
    """`qscp-client --help | head` says nothing when it is cut, and still is no success."""
    done = shell("--help >&8")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", ">&- 2>&- <&-", "2>&- >/dev/full"])
def test_a_lost_sentence_keeps_its_exit_code(streams: str) -> None:
    """An error that stderr does not take has its exit code all the same."""
    assert shell(f"--server host:x {streams}").returncode == ExitCode.USAGE
    assert shell(f"--no-such-option {streams}").returncode == ExitCode.USAGE
