"""Standard streams of the program: closed ones, and output that can't be written."""

import contextlib
import errno
import os
import stat
import sys
from typing import Final, TextIO

_STDERR: Final = 2


def replace_closed_streams() -> None:
    """Open the standard streams that were closed when the process began.

    Otherwise the next file or connection would get their number, and what is printed would be lost without
    an error. Writing to stdout fails now, stderr discards, and stdin is empty.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        if descriptor == _STDERR:
            sys.stderr = open(descriptor, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open
            continue
        # Open for reading only, so that writing fails.
        os.close(descriptor)
        os.open(os.devnull, os.O_RDONLY)
        if descriptor:
            sys.stdout = open(descriptor, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open
        else:
            sys.stdin = open(descriptor, encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open
    os.close(descriptor)


def wait_for_streams() -> None:
    """Make the standard streams blocking, as this program reads and writes them.

    Another program that shares a terminal or pipe can have made it non-blocking. Then input would seem to
    end, and output to be lost.
    """
    for descriptor in range(_STDERR + 1):
        with contextlib.suppress(OSError):
            os.set_blocking(descriptor, True)


def discard_unwritable() -> None:
    """Point each output that takes no more at the null device.

    The interpreter flushes both outputs at its end, and exits with 120 where that fails.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream)


def discard(stream: TextIO) -> None:
    """Point an output at the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def has_same_reader(one: TextIO, other: TextIO) -> bool:
    """Return whether two streams go to the same terminal, pipe or socket."""
    try:
        mode = os.fstat(one.fileno()).st_mode
        can_be_stuck = one.isatty() or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        return can_be_stuck and os.path.sameopenfile(one.fileno(), other.fileno())
    except OSError:
        return False


def explain_write_error(error: OSError) -> str:
    """Return why output was not taken."""
    return "stdout is closed" if error.errno == errno.EBADF else error.strerror or str(error)
