"""What several commands print: times, and exports to a file or to stdout."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from qscpd.files import new_file

__all__ = ["opened_output", "output_option", "utc"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def output_option(command: CommandT) -> CommandT:
    """Add `-o`, whose value `opened_output` takes."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write to a new file that only you can read, instead of stdout.",
    )(command)


@contextlib.contextmanager
def opened_output(path: Path | None) -> Iterator[BinaryIO]:
    """Open what an export goes to: a file that is there when it is whole, or stdout."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with new_file(path, mode=0o600) as file:
        yield file


def utc(milliseconds: int) -> str:
    """Write a time as people and programs read it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
