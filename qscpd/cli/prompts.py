"""Prompts at the terminal: new passwords, and confirmation of what can't be undone.

A password comes from the terminal, stdin, a file or the generator; never from argv or the environment.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import click

from qscp.limits import PASSWORD_LIMIT
from qscpd.accounts.passwords import check_new_password, generate_password
from qscpd.errors import PermissionDeniedError, UsageError

_ATTEMPTS: Final = 3

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def password_options(command: CommandT) -> CommandT:
    """Add the options of `PasswordSource` to a command."""
    command = click.option(
        "--generate", is_flag=True, help="Generate a random password and print only it on stdout."
    )(command)
    command = click.option(
        "--password-file",
        type=click.Path(path_type=Path, readable=False),  # reading it has its own error and exit code
        metavar="FILE",
        help="Read the password from the first line of FILE.",
    )(command)
    return click.option(
        "--password-stdin", is_flag=True, help="Read the password from the first line of stdin."
    )(command)


class PasswordSource(NamedTuple):
    """Values of the password options; without any, the terminal is asked."""

    stdin: bool
    file: Path | None
    generate: bool


def ask_password(name: str, source: PasswordSource) -> str:
    """Return a new password that passes the rules.

    Raises:
        UsageError: Several sources, no terminal to ask, or a password that breaks the rules.
        PermissionDeniedError: This user has no permission to read the file.
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
    """Return whether a terminal is available for a prompt."""
    if sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def confirm_by_name(name: str, *, action: str, warning: str) -> None:
    """Make the user type a name again; for a room, with or without its `#`.

    Args:
        name: Name of the account or room.
        action: The action for an error message, such as "erase alice".
        warning: Its consequences, as a sentence without its full stop.

    Raises:
        UsageError: The user typed another text, or there is no terminal.
    """
    _require_terminal(action)
    typed: str = click.prompt(f"{warning}. Type the name again to confirm", err=True)
    if typed.strip() not in (name, name.removeprefix("#")):
        raise UsageError(f"that is not {name}; nothing was changed")


def confirm(question: str, *, action: str) -> None:
    """Ask a yes-or-no question, and abort unless the answer is yes.

    Args:
        question: The question.
        action: The action for an error message, such as "delete alice".

    Raises:
        UsageError: There is no terminal.
        click.Abort: The answer is no.
    """
    _require_terminal(action)
    click.confirm(question, abort=True, err=True)


def _require_terminal(action: str) -> None:
    if not has_terminal():
        raise UsageError(f"no terminal to confirm: {action}; add --yes to skip the question")


def _prompt(name: str) -> str:
    """Ask twice, without echo."""
    if not has_terminal():
        raise UsageError(
            "no terminal to ask for the password; use --password-stdin, --password-file or --generate"
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
        if click.prompt("Repeat the password", hide_input=True, err=True) == password:
            return password
        problem = "the two passwords differ"
    raise UsageError(f"{problem}; nothing was changed")


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _first_line(file, str(path))
    except PermissionError:
        raise PermissionDeniedError(f"{path}: this user has no permission to read the password") from None
    except OSError as error:
        raise UsageError(f"{path}: the password can't be read: {error.strerror}") from error


def _first_line(file: BinaryIO, where: str) -> str:
    # One byte over the limit, and the line's end, so that a longer password is detected.
    line = file.readline(PASSWORD_LIMIT + 3)
    try:
        password = line.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{where}: the password is not UTF-8") from None
    if not password:
        raise UsageError(f"{where}: the first line is empty; write the password there")
    return password
