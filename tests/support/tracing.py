"""System calls of a daemon, as strace records them: whether it flushes before it answers."""

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

__all__ = ["Answer", "answers", "strace"]

_CALLS: Final = "accept,accept4,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync"

_LINE: Final = re.compile(
    r"(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\((?P<rest>.*?))"
    r"(?P<more>.*?)(?: = (?P<result>-?\d+).*| <unfinished \.\.\.>)$"
)


class _Call(NamedTuple):
    """The beginning or the end of a system call."""

    name: str
    text: str
    begins: bool
    result: int | None
    """None until the call returns."""


class Answer(NamedTuple):
    """Answer of the daemon: its first write to a peer after a read."""

    flushed: bool
    """Whether the store's log was flushed to the disk in between."""


def strace(output: Path) -> list[str]:
    """Return the command that runs another one under strace, as a process with the same id.

    Skip the test if strace is missing.
    """
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is missing; get it by: apt-get install strace")
    return [
        program,
        "-D",
        "-f",
        "--seccomp-bpf",
        "-yy",
        "-s",
        "0",
        "-e",
        f"trace={_CALLS}",
        "-o",
        str(output),
        "--",
    ]


def answers(trace: Path, client_port: int, store: Path) -> list[Answer]:
    """Return the daemon's answers to a peer after the last `accept` in a trace."""
    peer = f"->127.0.0.1:{client_port}]"
    journal = f"{store}-wal>"
    found: list[Answer] = []
    waiting = flushed = False
    for call in _after_last_accept(_calls(trace.read_text().splitlines())):
        if peer in call.text and call.name in ("read", "readv", "recvfrom", "recvmsg"):
            if call.result is not None and call.result > 0:
                waiting, flushed = True, False
        elif journal in call.text and call.name in ("fsync", "fdatasync"):
            flushed = flushed or call.result == 0
        elif peer in call.text and call.begins and waiting:
            found.append(Answer(flushed))
            waiting = False
    return found


def _after_last_accept(calls: Iterable[_Call]) -> list[_Call]:
    """Return the calls after the marker, a connection that a test opens only to mark the trace."""
    kept: list[_Call] = []
    for call in calls:
        if call.name.startswith("accept") and call.result is not None and call.result >= 0:
            kept.clear()
        kept.append(call)
    return kept


def _calls(lines: Iterable[str]) -> Iterator[_Call]:
    begun: dict[str, str] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue  # a signal, or the end of a thread
        result = int(match["result"]) if match["result"] is not None else None
        if match["resumed"]:
            yield _Call(match["resumed"], begun.pop(match["thread"], ""), begins=False, result=result)
        else:
            if result is None:
                begun[match["thread"]] = line
            yield _Call(match["call"], line, begins=True, result=result)
