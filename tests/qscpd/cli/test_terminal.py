import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.errors import ExitCode
from tests.support.waiting import PATIENCE_S

# Makes stdin the controlling terminal of a new session, as a login does, and becomes `qscpd`.
_LOGIN = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "qscpd", *sys.argv[1:]])
"""


class Terminal:
    """A `qscpd` command at its own terminal."""

    def __init__(self, cwd: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.seen = ""
        self._expected = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LOGIN, "-c", "config/qscpd.yaml", *arguments],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def expect(self, text: str) -> None:
        """Read until a text appears behind the texts expected before."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.seen.find(text, self._expected)) < 0:
            assert self._read(deadline), f"{text!r} did not come: {self.seen!r}"
        self._expected = found + len(text)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._master, line.encode() + b"\r")

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Hang up."""
        os.close(self._master)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _read(self, deadline: float) -> bool:
        readable, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return False
        try:
            received = os.read(self._master, 4096)
        except OSError:  # EIO: the other end is closed
            return False
        self.seen += received.decode()
        return bool(received)


@contextlib.contextmanager
def at_terminal(cwd: Path, *arguments: str) -> Iterator[Terminal]:
    """Run a command at a terminal."""
    terminal = Terminal(cwd, *arguments)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory where `init --dev` has been."""
    with at_terminal(tmp_path, "init", "--dev") as terminal:
        assert terminal.end() == 0, terminal.seen
    with (tmp_path / "config/qscpd.yaml").open("a") as file:
        file.write("login: {argon2: {memory: 8KiB, iterations: 1}}\n")
    return tmp_path


def test_a_password_is_asked_for_twice_without_echo(place: Path) -> None:
    """Typed passwords are not echoed, and the account is added."""
    with at_terminal(place, "adduser", "alice") as terminal:
        terminal.expect("New password for alice: ")
        terminal.type("correct horse")
        terminal.expect("Repeat the password: ")
        terminal.type("correct horse")
        assert terminal.end() == 0
        assert "added alice" in terminal.seen
        assert "horse" not in terminal.seen


def test_mistakes_are_reported_and_asked_again(place: Path) -> None:
    """A short password and two that differ are asked for again, with the reason."""
    with at_terminal(place, "adduser", "alice") as terminal:
        terminal.expect("New password for alice: ")
        terminal.type("short")
        terminal.expect("too short")
        terminal.expect("New password for alice: ")
        terminal.type("correct horse")
        terminal.expect("Repeat the password: ")
        terminal.type("correct house")
        terminal.expect("the two passwords differ")
        terminal.expect("New password for alice: ")
        terminal.type("correct horse")
        terminal.expect("Repeat the password: ")
        terminal.type("correct horse")
        assert terminal.end() == 0


def test_after_three_mistakes_nothing_was_changed(place: Path) -> None:
    """The command gives up with the reason."""
    with at_terminal(place, "adduser", "alice") as terminal:
        for _ in range(3):
            terminal.expect("New password for alice: ")
            terminal.type("short")
        assert terminal.end() == ExitCode.USAGE
        assert "nothing was changed" in terminal.seen


def test_deluser_asks_and_no_means_no(place: Path) -> None:
    """Only "yes" deletes."""
    with at_terminal(place, "adduser", "alice", "--generate") as terminal:
        assert terminal.end() == 0
    with at_terminal(place, "deluser", "alice") as terminal:
        terminal.expect("Delete the account alice for good? [y/N]: ")
        terminal.type("n")
        assert terminal.end() == ExitCode.FAILED
    with at_terminal(place, "listusers") as terminal:
        assert terminal.end() == 0
        assert terminal.seen.split()[:4] == ["NAME", "STATE", "CREATED", "alice"]
    with at_terminal(place, "deluser", "alice") as terminal:
        terminal.expect("[y/N]: ")
        terminal.type("y")
        assert terminal.end() == 0
        assert "deleted alice" in terminal.seen


def test_ctrl_c_at_the_prompt_leaves_quietly(place: Path) -> None:
    """An interrupted prompt leaves no traceback and no account."""
    with at_terminal(place, "adduser", "alice") as terminal:
        terminal.expect("New password for alice: ")
        terminal.type("\x03")
        assert terminal.end() == ExitCode.FAILED
        assert "Traceback" not in terminal.seen
    with at_terminal(place, "listusers") as terminal:
        assert terminal.end() == 0
        assert "alice" not in terminal.seen
