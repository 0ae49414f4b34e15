"""The root command, and what all commands have in common: the configuration's options and errors."""

import contextlib
import errno
import os
import platform
import ssl
import sys
from typing import Any

import click

from qscp import ALPN, __version__
from qscp.errors import InvalidNameError
from qscpd.cli.options import config_options
from qscpd.errors import ConfigError, ExitCode, QscpdError
from qscpd.systemd import logs_to_journal

__all__ = ["main"]

_COMMANDS = {
    "run": "service",
    "checkconfig": "service",
    "config": "service",
    "status": "service",
    "init": "certificates",
    "gencert": "certificates",
    "adduser": "users",
    "passwd": "users",
    "deluser": "users",
    "listusers": "users",
    "lock": "users",
    "unlock": "users",
    "room": "rooms",
    "export": "history",
    "erase": "history",
    "backup": "backups",
    "verify": "backups",
    "restore": "backups",
    "prune": "backups",
}
"""Which module has a command: modules are imported when one of their commands is needed."""


class _Group(click.Group):
    """Loads commands when they are called, and turns errors into a sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands, in the order in which an operator meets them."""
        return [*_COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module."""
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        namespace = __import__(f"qscpd.cli.{module}", fromlist=["COMMANDS"])
        command: click.Command = namespace.COMMANDS[cmd_name]
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; help and version are written here."""
        try:
            return super().parse_args(ctx, args)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            _tell(f"qscpd: {error.strerror or error}")
            ctx.exit(ExitCode.FAILED)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run a command; its errors are told on stderr, never as a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                _tell(problem)
            ctx.exit(error.exit_code)
        except QscpdError as error:
            _tell(f"qscpd: {error}")
            ctx.exit(error.exit_code)
        except InvalidNameError as error:
            _tell(f"qscpd: {error}")
            ctx.exit(ExitCode.USAGE)
        except OSError as error:
            # A reader that left (EPIPE) is click's business; a bug of the daemon needs its traceback.
            if error.errno == errno.EPIPE or ctx.invoked_subcommand == "run":
                raise
            _tell(f"qscpd: {error.strerror or error}")
            ctx.exit(ExitCode.FAILED)


def _tell(sentence: str) -> None:
    """Write an error; where stderr is the journal's, with the priority of one."""
    with contextlib.suppress(OSError):
        click.echo(f"<3>{sentence}" if logs_to_journal() else sentence, err=True)
    _discard_unwritable()


def _discard_unwritable() -> None:
    """Point an output that takes no more at /dev/null.

    The interpreter flushes both at its end, and exits with 120 where that fails.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 not found, 5 exists, 6 permission, "
    "7 daemon not running.",
)
@config_options(envvar=True)
@click.version_option(__version__, prog_name="qscpd", message="%(prog)s %(version)s")
def cli() -> None:
    """Run and look after a QSCP chat server."""


@cli.command()
def version() -> None:
    """Show the version of qscpd and of what it stands on."""
    click.echo(
        f"qscpd {__version__} ({ALPN}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, "
        f"{os.uname().sysname} {os.uname().release})"
    )


def main() -> None:
    """Run the command line of this process."""
    cli(prog_name="qscpd")
