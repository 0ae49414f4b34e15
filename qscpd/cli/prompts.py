"""Where a new password comes from: a terminal, stdin, a file, or chance. Never argv or the environment."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import click

from qscp.limits import PASSWORD_LIMIT
from qscpd.accounts.passwords import check_new_password, generate_password
from qscpd.errors import PermissionDeniedError, UsageError

__all__ = ["PasswordSource", "ask_password", "has_terminal", "password_options"]

_ATTEMPTS: Final = 3

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def password_options(command: CommandT) -> CommandT:
    """Add the options whose values `ask_password` takes."""
    command = click.option(
        "--generate", is_flag=True, help="Make a random one and print it on stdout, alone."
    )(command)
    command = click.option(
        "--password-file",
        type=click.Path(path_type=Path, readable=False),  # reading it has its own sentence and exit code
        metavar="FILE",
        help="Take the first line of a file.",
    )(command)
    return click.option("--password-stdin", is_flag=True, help="Take the first line of stdin.")(command)


class PasswordSource(NamedTuple):
    """What the options of `password_options` say; none of them means a terminal."""

    stdin: bool
    file: Path | None
    generate: bool


def ask_password(name: str, source: PasswordSource) -> str:
    """Return a new password that keeps the rules.

    Raises:
        UsageError: More than one source, no source, or a password that breaks the rules.
        PermissionDeniedError: The file may not be read.
    """
    if source.stdin + (source.file is not None) + source.generate > 1:
        raise UsageError("use only one of --password-stdin, --password-file and --generate")
    if source.generate:
        return generate_password()
    if source.stdin:
        password = _first_line(sys.stdin.buffer, "stdin")
    elif source.file is not None:
        password = _read_file(source.file)
    else:
        return _prompt(name)
    check_new_password(password)
    return password


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    if sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _prompt(name: str) -> str:
    """Ask twice, without echo."""
    if not has_terminal():
        raise UsageError(
            "there is no terminal to ask for the password; "
            "use --password-stdin, --password-file or --generate"
        )
    problem = ""
    for _ in range(_ATTEMPTS):
        if problem:
            click.echo(f"qscpd: {problem}", err=True)
        password: str = click.prompt(f"New password for {name}", hide_input=True, err=True)
        try:
            check_new_password(password)
        except UsageError as error:
            problem = str(error)
            continue
        if click.prompt("The same again", hide_input=True, err=True) == password:
            return password
        problem = "the two passwords are not the same"
    raise UsageError(f"{problem}; nothing was changed")


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _first_line(file, str(path))
    except PermissionError:
        raise PermissionDeniedError(f"{path}: this user may not read the password") from None
    except OSError as error:
        raise UsageError(f"{path}: the password can't be read: {error.strerror}") from error


def _first_line(file: BinaryIO, where: str) -> str:
    # One byte more than allowed, and the line's end, so that too long is seen as such.
    line = file.readline(PASSWORD_LIMIT + 3)
    try:
        password = line.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{where}: the password is not UTF-8") from None
    if not password:
        raise UsageError(f"{where}: the first line is empty; the password must be there")
    return password
