"""Output shared by several commands: times, and exports to a file or to stdout."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from qscpd.cli.streams import report
from qscpd.errors import ExitCode
from qscpd.files import new_file
from qscpd.store.damage import DamagedPlace, DamageLog, OnDamage

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def output_option(command: CommandT) -> CommandT:
    """Add `-o`, the argument of `opened_output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write to a new file that only you can read, instead of stdout.",
    )(command)


@contextlib.contextmanager
def opened_output(path: Path | None) -> Iterator[BinaryIO]:
    """Open the target of an export: stdout, or a new file that appears only when complete."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with new_file(path, mode=0o600) as file:
        yield file


def echo_damage(place: DamagedPlace) -> None:
    """Print that messages can't be read."""
    report(f"qscpd: damaged: {place}")


@contextlib.contextmanager
def damage_as_failure(ctx: click.Context) -> Iterator[OnDamage]:
    """Print each damaged place that is read inside; if there is one, the exit code is 1."""
    log = DamageLog(echo_damage)
    yield log
    if log.count:
        report(f"qscpd: {log.count} damaged places were left out; see docs/operations.md")
        ctx.exit(ExitCode.FAILED)


def utc(milliseconds: int) -> str:
    """Return a time in UTC, such as 2026-11-24T07:00:00Z."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def roughly(seconds: int) -> str:
    """Return a duration for a sentence, such as "7 hours", in the largest unit of which it has two."""
    for unit, name in ((86_400, "days"), (3600, "hours")):
        if seconds >= 2 * unit:
            return f"{round(seconds / unit)} {name}"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' * (minutes > 1)}"
