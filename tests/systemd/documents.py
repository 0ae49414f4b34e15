"""Commands in the operator's pages, and a terminal in a machine that runs them and answers their prompts."""

import os
import pty
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.systemd.machine import Machine

__all__ = ["Command", "commands", "cron_lines", "run_on_terminal"]

_DOCS: Final = Path(__file__).resolve().parents[2] / "docs"

_BLOCK: Final = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)

_CRON_LINE: Final = re.compile(r"(?:[\d*/,-]+ +){5}root +(.*)")

_ELSEWHERE: Final = ("needs the internet", "on a user's machine")
"""Marks, in the comment of a command, of those that can't run in the machine."""

_LIMIT_S: Final = 300


class Command(NamedTuple):
    """Line of a page that a reader types."""

    page: str
    line: str
    """The command without its comment."""
    runs_here: bool
    """Whether its comment has no mark of another place."""


def _blocks(page: str) -> list[list[str]]:
    text = (_DOCS / page).read_text(encoding="utf-8")
    return [block.rstrip("\n").replace("    ", "", 1).split("\n    ") for block in _BLOCK.findall(text)]


def commands(page: str, machine: Machine) -> list[Command]:
    """Return the commands of a page: the lines of blocks that begin with a program of the machine."""
    found = []
    for lines in _blocks(page):
        word = re.split(r"[\s=]", lines[0])[0]
        is_assignment = re.match(r"\w+=\$\(", lines[0])
        if not is_assignment and machine.attempt("sh", "-c", 'command -v "$1"', "sh", word).returncode:
            continue
        for line in lines:
            command, _, comment = line.partition(" #")
            found.append(Command(page, command.strip(), not any(mark in comment for mark in _ELSEWHERE)))
    return found


def cron_lines(page: str) -> list[str]:
    """Return the commands of the lines for `/etc/crontab` on a page."""
    return [match[1] for lines in _blocks(page) for line in lines if (match := _CRON_LINE.fullmatch(line))]


def run_on_terminal(
    machine: Machine, command: str, answers: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[int, str]:
    """Run a command in a machine, on a terminal.

    Args:
        machine: The machine.
        command: Command for the shell.
        answers: What is typed at prompts, by regular expressions of their ends.
        environment: Variables that the command gets.

    Returns:
        The exit code, and what the command wrote.
    """
    main, terminal = pty.openpty()
    variables = [f"{name}={value}" for name, value in environment.items()]
    inside = machine.arguments("env", *variables, "bash", "-ec", command)
    with subprocess.Popen(
        # The terminal becomes the controlling one, from which passwords are read.
        ["setsid", "--ctty", "--wait", "timeout", "--foreground", str(_LIMIT_S), Machine.SCRIPT, *inside],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        written = _converse(main, answers)
        os.close(main)
    return process.returncode, written


def _converse(main: int, answers: Mapping[str, str]) -> str:
    """Answer prompts until the terminal is closed, and return everything that was written."""
    written, answered = "", 0
    while True:
        try:
            written += os.read(main, 65536).decode(errors="replace")
        except OSError:  # how Linux reports that no process has the terminal open
            return written
        for prompt, answer in answers.items():
            if re.search(f"(?:{prompt})$", written[answered:]):
                answered = len(written)
                os.write(main, f"{answer}\n".encode())
                break
