import itertools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd import admin
from qscpd.admin.messages import Failed, decode_request, encode
from qscpd.errors import ExitCode
from tests.support.waiting import PATIENCE_S

_ENV = {name: value for name, value in os.environ.items() if not name.startswith("QSCPD_")}


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A directory with an installation that has the account bob."""
    shell(tmp_path, "init --dev")
    with (tmp_path / "config/qscpd.yaml").open("a") as file:
        file.write("login: {argon2: {memory: 8KiB, iterations: 1}}\n")
    assert shell(tmp_path, "adduser bob --generate").returncode == 0
    return tmp_path


@pytest.fixture
def daemon_that_fails(installation: Path) -> Iterator[list[bytes]]:
    """A daemon that grants a check, then gives one of the answers that the test puts into the list."""
    answers: list[bytes] = []

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                request = decode_request(connection.makefile("rb").readline())
                checks = isinstance(request, admin.CheckUser | admin.CheckNewUser)
                connection.sendall(encode(admin.Checked()) if checks else answers[0])

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(installation / "var/admin.sock"))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield answers
        thread.join(PATIENCE_S)


def shell(directory: Path, command: str) -> "subprocess.CompletedProcess[str]":
    """Run the program with arguments and redirections, buffered as in a shell; 8 is a pipe without reader."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ["bash", "-c", f'exec 8>&{writer}; exec "$PYTHON" -m qscpd {command}'],
        pass_fds=(writer,),
        cwd=directory,
        env={name: value for name, value in _ENV.items() if name != "PYTHONUNBUFFERED"}
        | {"PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(sys.path)}
        | {"QSCPD_CONFIG": "config/qscpd.yaml"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(writer)
    return done


@pytest.mark.parametrize(
    ("stdout", "why"),
    [
        (">/dev/full", "No space left on device"),
        (">&-", "stdout is closed"),
        (">&- <&-", "stdout is closed"),
        ("1</dev/null", "stdout is closed"),
        (">&8", "Broken pipe"),
    ],
)
@pytest.mark.parametrize("command", ["adduser alice", "passwd bob"])
def test_a_password_that_was_not_printed_is_not_set(
    installation: Path, command: str, stdout: str, why: str
) -> None:
    """If stdout does not take the only copy of a password, nothing is changed."""
    before = (installation / "var/qscpd.db").read_bytes()
    done = shell(installation, f"{command} --generate {stdout}")
    assert done.returncode == ExitCode.FAILED
    assert done.stderr == f"qscpd: the password can't be printed: {why}; nothing was changed\n"
    assert (installation / "var/qscpd.db").read_bytes() == before


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2>&8"])
def test_a_lost_sentence_does_not_make_a_command_fail(installation: Path, stderr: str) -> None:
    """A password that was printed and set is not called a failure because stderr takes nothing."""
    done = shell(installation, f"adduser alice --generate {stderr}")
    assert (done.returncode, len(done.stdout), done.stderr) == (ExitCode.OK, 21, "")
    assert shell(installation, f"lock alice {stderr}").returncode == ExitCode.OK
    assert "locked" in shell(installation, "listusers").stdout


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2>&8", "2>/dev/full >/dev/full"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("nonsense", ExitCode.USAGE),
        ("adduser", ExitCode.USAGE),
        ("listusers --nonsense", ExitCode.USAGE),
        ("lock nobody", ExitCode.NOT_FOUND),
        ("status", ExitCode.NOT_RUNNING),
    ],
)
def test_a_lost_error_keeps_its_exit_code(
    installation: Path, command: str, code: ExitCode, stderr: str
) -> None:
    """An error that stderr does not take has its exit code all the same."""
    assert shell(installation, f"{command} {stderr}").returncode == code


STREAMS = [
    " ".join(each) for count in range(4) for each in itertools.combinations(("<&-", ">&-", "2>&-"), count)
]


@pytest.mark.parametrize("streams", [*STREAMS, ">/dev/full 2>/dev/full", ">&8 2>&8 <&-"])
def test_any_stream_can_be_closed(installation: Path, streams: str) -> None:
    """With any of the three streams closed, commands do what they do, and never end with a traceback."""
    is_lost = ">&-" in streams.replace("2>&-", "") or "full" in streams or ">&8" in streams
    output = ExitCode.FAILED if is_lost else ExitCode.OK
    for command, code in (
        ("export bob", output),
        ("lock bob", ExitCode.OK),
        ("backup copy", output),
        ("passwd bob --password-stdin", ExitCode.USAGE),
        ("status", ExitCode.NOT_RUNNING),
    ):
        done = shell(installation, f"{command} {streams}")
        assert done.returncode == code, (command, done)
        assert "Traceback" not in done.stderr
    assert (installation / "copy").exists()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (encode(Failed(ExitCode.FAILED, "the disk is full")), "is void, because it was not set"),
        (b"", "keep the printed password of {name}: it is not known whether it was set"),
    ],
)
@pytest.mark.parametrize("command", ["adduser alice", "passwd bob"])
def test_a_printed_password_that_was_not_set_is_called_void(
    installation: Path, daemon_that_fails: list[bytes], command: str, answer: bytes, sentence: str
) -> None:
    """If the change fails after the password was printed, the user learns whether it is worth anything."""
    daemon_that_fails.append(answer)
    done = shell(installation, f"{command} --generate")
    assert done.returncode == ExitCode.FAILED
    assert len(done.stdout) == 21
    assert sentence.format(name=command.split()[1]) in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("adduser bob --generate", ExitCode.EXISTS),
        ("adduser gone --generate", ExitCode.EXISTS),
        ("passwd alice --generate", ExitCode.NOT_FOUND),
        ("passwd gone --generate", ExitCode.NOT_FOUND),
        ("adduser alice --generate --set store.path=none/qscpd.db", ExitCode.FAILED),
    ],
)
def test_no_password_is_printed_for_nothing(installation: Path, command: str, code: ExitCode) -> None:
    """What is known to fail is refused before a password is printed."""
    shell(installation, "adduser gone --generate")
    shell(installation, "deluser gone --yes")
    done = shell(installation, command)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["--help", "--version", "version", "listusers", "adduser --help"])
@pytest.mark.parametrize(
    ("stdout", "why"), [(">&-", "stdout is closed"), (">/dev/full", "No space left on device")]
)
def test_output_that_is_lost_is_an_error(installation: Path, command: str, stdout: str, why: str) -> None:
    """A closed stdout is an error like a full disk, and never a traceback."""
    done = shell(installation, f"{command} {stdout}")
    assert (done.returncode, done.stderr) == (ExitCode.FAILED, f"qscpd: {why}\n")


def test_a_closed_stdin_has_no_password(installation: Path) -> None:
    """A closed stdin is an empty one."""
    done = shell(installation, "passwd bob --password-stdin <&-")
    assert done.returncode == ExitCode.USAGE
    assert "stdin: the first line is empty" in done.stderr
