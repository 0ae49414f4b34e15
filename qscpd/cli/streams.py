"""Standard streams of a command: closed ones, full disks behind them, and lines that exist nowhere else."""

import contextlib
import errno
import io
import os
import stat
import sys
from typing import Final, TextIO

import click

from qscp.hints import one_line
from qscpd.errors import ConfigError, QscpdError

_STDERR: Final = 2


def replace_closed_streams() -> None:
    """Open the standard streams that were closed when the process began.

    Otherwise the next file to be opened would get their number, and what is printed would be lost
    without an error: writing to stdout fails now, stderr discards, and stdin is empty.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        if descriptor == _STDERR:
            sys.stderr = open(descriptor, "w")  # noqa: SIM115, PTH123 - it stays open
            continue
        # Open for reading only, so that writing fails.
        os.close(descriptor)
        os.open(os.devnull, os.O_RDONLY)
        if descriptor:
            sys.stdout = open(descriptor, "w")  # noqa: SIM115, PTH123 - it stays open
        else:
            sys.stdin = open(descriptor)  # noqa: SIM115, PTH123 - it stays open
    os.close(descriptor)


def error_lines(error: QscpdError) -> list[str]:
    """Return the lines that an error of a command has on stderr: one, or one for each problem."""
    return error.problems if isinstance(error, ConfigError) else [f"qscpd: {error}"]


def report(sentence: str) -> None:
    """Write a sentence to stderr; if stderr can't take it, the command goes on with its exit code.

    What it quotes can't control the terminal: only its line ends are written as they are.
    """
    with contextlib.suppress(OSError):
        click.echo("\n".join(map(one_line, sentence.split("\n"))), err=True)
    discard_unwritable(sys.stderr)


def discard_unwritable(*streams: TextIO) -> None:
    """Point each output that takes no more at /dev/null.

    The interpreter flushes both outputs at its end, and exits with 120 where that fails.
    """
    for stream in streams:
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def explain_write_error(error: OSError) -> str:
    """Return why stdout did not take something."""
    return "stdout is closed" if error.errno == errno.EBADF else error.strerror or str(error)


def print_only_copy(secret: str) -> None:
    """Print a password that exists nowhere else, and make sure that stdout has taken it.

    Raises:
        QscpdError: Stdout can't take it.
    """
    try:
        click.echo(secret)
        _sync_stdout()
    except OSError as error:
        # Also a reader that left, which is no error for other output.
        discard_unwritable(sys.stdout)
        raise QscpdError(
            f"the password can't be printed: {explain_write_error(error)}; nothing was changed"
        ) from error


def _sync_stdout() -> None:
    """Flush stdout to the disk if it is a file: some file systems report a full disk only then."""
    try:
        descriptor = sys.stdout.fileno()
    except io.UnsupportedOperation:  # not a file of the system, as in a test
        return
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fsync(descriptor)
