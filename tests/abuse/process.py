"""Processes of this suite, and what they cost."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["START_LIMIT_S", "expect", "read_line", "start_attacker", "worker"]

_ROOT: Final = Path(__file__).parents[2]

START_LIMIT_S: Final = 60.0
"""Longest wait for an answer of a process."""


def start_attacker(name: str, ca: Path, port: int, seconds: float) -> "subprocess.Popen[str]":
    """Start an attack; the caller ends the process."""
    return _start("attacker", name, ca, port, seconds)


@contextlib.contextmanager
def worker(module: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """Start a process, and kill it at the end."""
    process = _start(module, *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _start(module: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.abuse.{module}", *map(str, arguments)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def read_line(process: "subprocess.Popen[str]", limit_s: float = START_LIMIT_S) -> str:
    """Return the next line of a process; kill it if it takes too long.

    Raises:
        RuntimeError: It ended.
    """
    assert process.stdout is not None
    watchdog = threading.Timer(limit_s, process.kill)
    watchdog.start()
    line = process.stdout.readline().strip()
    watchdog.cancel()
    if not line:
        raise RuntimeError(f"{process.args!r} ended with {process.wait()}")
    return line


def expect(process: "subprocess.Popen[str]", word: str) -> None:
    """Wait for a word of a process.

    Raises:
        RuntimeError: It wrote another one, or ended.
    """
    if (line := read_line(process)) != word:
        raise RuntimeError(f"{process.args!r} wrote {line!r}, not {word!r}")
