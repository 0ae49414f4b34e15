"""Writer of standard error, on pipes and on descriptors that take nothing."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qscpd.stderr import NOT_READ, StderrWriter, takes_output
from tests.support.stuck_pipe import fill_pipe
from tests.support.waiting import PATIENCE_S

MakeWriter = Callable[..., StderrWriter]


def describe(lines: int, reason: str) -> bytes:
    """Return the notice of dropped lines."""
    return f"{lines} dropped: {reason}\n".encode()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def rest_of(reader: int, size: int) -> str:
    """Read until the filling and so many bytes were read; return the latter."""
    text = b""
    while len(text.lstrip(b"x")) < size:
        text += os.read(reader, 65536)
    return text.lstrip(b"x").decode()


def dropped_between(reader: int, count: int) -> int:
    """Read numbered lines and the notices that fill their gaps; return how many lines were dropped."""
    number = dropped = 0
    text = ""
    while number < count:
        *lines, text = (text + os.read(reader, 65536).decode().lstrip("x")).split("\n")
        for line in lines:
            if line.endswith(f" dropped: {NOT_READ}"):
                gap = int(line.split()[0])
                number, dropped = number + gap, dropped + gap
            else:
                assert line == f"{number:09}"
                number += 1
    assert (number, text) == (count, "")
    return dropped


def test_lines_come_in_order(pipe: tuple[int, int]) -> None:
    """All lines are written, in their order, and the end waits for them."""
    writer = StderrWriter(describe, fd=pipe[1])
    for number in range(1000):
        writer.put(f"{number}\n".encode())
    writer.close(PATIENCE_S)
    text = "".join(f"{number}\n" for number in range(1000))
    assert rest_of(pipe[0], len(text)) == text
    assert writer.dropped == 0


def test_a_reader_that_stops_costs_lines_and_nothing_else(pipe: tuple[int, int]) -> None:
    """Lines beyond the limit are dropped and counted at their place; the ones before it are kept."""
    fill_pipe(pipe[1])
    writer = StderrWriter(describe, fd=pipe[1], limit=1000)
    for number in range(1000):
        writer.put(f"{number:09}\n".encode())
    # The thread takes lines out of the queue once before the pipe stops it: when, the system decides.
    assert 800 <= writer.dropped <= 900
    assert dropped_between(pipe[0], 1000) == writer.dropped
    writer.put(b"later\n")
    writer.close(PATIENCE_S)
    assert rest_of(pipe[0], 6) == "later\n"


def test_the_end_does_not_wait_for_ever(pipe: tuple[int, int]) -> None:
    """A descriptor that takes nothing does not keep a process from its end."""
    fill_pipe(pipe[1])
    writer = StderrWriter(describe, fd=pipe[1])
    writer.put(b"never\n")
    writer.close(0.01)
    os.read(pipe[0], 65536)  # the thread can end now


def test_a_non_blocking_descriptor_loses_nothing(pipe: tuple[int, int]) -> None:
    """A descriptor that another program made non-blocking is waited for."""
    os.set_blocking(pipe[1], False)
    text = b"".join(b"%d\n" % number for number in range(100_000))
    writer = StderrWriter(describe, fd=pipe[1])
    writer.put(text)
    assert rest_of(pipe[0], len(text)) == text.decode()
    writer.close(PATIENCE_S)
    assert writer.dropped == 0


def test_what_a_full_disk_refuses_is_counted(tmp_path: Path) -> None:
    """Refused lines are counted; the count is written once something is taken again."""
    target = os.open("/dev/full", os.O_WRONLY)
    writer = StderrWriter(describe, fd=target)
    writer.put(b"one\ntwo\n")
    writer.close(PATIENCE_S)
    assert writer.dropped == 2
    # The same descriptor is a file with room now.
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(file, target)
    os.close(file)
    writer._write(b"three\n")
    assert (tmp_path / "log").read_text() == "2 dropped: No space left on device\nthree\n"
    assert writer.dropped == 2
    os.close(target)


def test_half_a_line_does_not_spoil_the_next(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    """After a write that failed within a line, the next line begins on a line of its own."""
    writer = StderrWriter(describe, fd=pipe[1])
    write, sizes = os.write, [4]

    def take_four_bytes(fd: int, data: bytes) -> int:
        if not sizes:
            raise OSError(errno.ENOSPC, "full")
        return write(fd, data[: sizes.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", take_four_bytes)
        writer._write(b"1\n22222\n3\n")
    writer._write(b"4\n")
    text = "1\n22\n2 dropped: full\n4\n"
    assert rest_of(pipe[0], len(text)) == text
    assert writer.dropped == 2
    writer.close(PATIENCE_S)


def test_a_reader_that_left_is_no_endless_loop() -> None:
    """Lines for a pipe without a reader are counted, and the writer ends."""
    reader, fd = os.pipe()
    os.close(reader)
    writer = StderrWriter(describe, fd=fd)
    for _ in range(10):
        writer.put(b"lost\n")
    writer.close(PATIENCE_S)
    assert writer.dropped == 10
    os.close(fd)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python warns of a fork with threads, rightly")
def test_the_child_of_a_fork_has_lines_of_its_own(pipe: tuple[int, int]) -> None:
    """A fork repeats no line of the parent, and the child can write."""
    fill_pipe(pipe[1])
    writer = StderrWriter(describe, fd=pipe[1])
    writer.put(b"parent\n")
    child = os.fork()
    if not child:
        writer.put(b"child\n")
        writer.close(PATIENCE_S)
        os._exit(0)
    assert sorted(rest_of(pipe[0], 13).split()) == ["child", "parent"]
    writer.close(PATIENCE_S)
    assert os.waitpid(child, 0)[1] == 0


def test_a_full_pipe_takes_no_output(pipe: tuple[int, int]) -> None:
    """Waiting for a descriptor is limited."""
    assert takes_output(pipe[1])
    fill_pipe(pipe[1])
    assert not takes_output(pipe[1], 0.01)
