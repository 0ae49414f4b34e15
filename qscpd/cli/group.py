"""The root command: sections of commands, late imports, the configuration's options, errors."""

import contextlib
import errno
import sys
from typing import Any, Final

import click

from qscp import __version__
from qscp.errors import InvalidNameError
from qscp.hints import one_line
from qscpd.cli.help import write_examples, write_sections
from qscpd.cli.options import config_options
from qscpd.cli.streams import discard_unwritable, error_lines, explain_write_error, replace_closed_streams
from qscpd.errors import ExitCode, QscpdError
from qscpd.stderr import takes_output
from qscpd.systemd import logs_to_journal

_SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Setup commands": {"init": "certificates", "gencert": "certificates"},
    "Daemon commands": {
        "run": "service",
        "status": "service",
        "confirmclock": "service",
        "checkconfig": "service",
        "config": "service",
        "version": "service",
    },
    "Account commands": {
        "adduser": "users",
        "passwd": "users",
        "lock": "users",
        "unlock": "users",
        "deluser": "users",
        "listusers": "users",
    },
    "Room commands": {"room": "rooms"},
    "Data commands": {"export": "history", "erase": "history"},
    "Backup commands": {
        "backup": "backups",
        "verify": "backups",
        "restore": "backups",
        "prune": "backups",
    },
}
"""Section of the help -> command -> its module, which is imported only when the command is needed."""

_EXAMPLES: Final = ("init --name chat.example.org", "adduser alice", "run")

_MODULES: Final = {name: module for commands in _SECTIONS.values() for name, module in commands.items()}


class _Group(click.Group):
    """Group that imports commands when needed, and turns errors into a sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        del ctx
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module, and return the command."""
        del ctx
        module = _MODULES.get(cmd_name)
        if module is None:
            return None
        namespace = __import__(f"qscpd.cli.{module}", fromlist=["COMMANDS"])
        command: click.Command = namespace.COMMANDS[cmd_name]
        return command

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description and the first steps."""
        super().format_help_text(ctx, formatter)
        write_examples(formatter, _EXAMPLES)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in their sections, then the options."""
        write_sections(self, ctx, formatter, _SECTIONS)
        click.Command.format_options(self, ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; help and version are written here."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            _show_usage(error)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            _report(f"qscpd: {explain_write_error(error)}")
            ctx.exit(ExitCode.FAILED)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run a command; its errors are sentences on stderr, never a traceback."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            _show_usage(error)
            ctx.exit(error.exit_code)
        except QscpdError as error:
            for line in error_lines(error):
                _report(line, ctx)
            ctx.exit(error.exit_code)
        except InvalidNameError as error:
            _report(f"qscpd: {error}")
            ctx.exit(ExitCode.USAGE)
        except MemoryError:
            _report("qscpd: not enough memory; free some, or raise the limit of this process", ctx)
            ctx.exit(ExitCode.FAILED)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly
            _report(f"qscpd: {explain_write_error(error)}")
            ctx.exit(ExitCode.FAILED)


def _report(sentence: str, ctx: click.Context | None = None) -> None:
    """Write an error to stderr; to the journal, with the priority of an error.

    It can quote an argument or a file, which must not control the terminal.
    """
    if ctx is not None and ctx.invoked_subcommand == "run" and not takes_output():
        return  # a daemon ends even if nothing reads why
    sentence = one_line(sentence)
    with contextlib.suppress(OSError):
        click.echo(f"<3>{sentence}" if logs_to_journal() else sentence, err=True)
    discard_unwritable(sys.stdout, sys.stderr)


def _show_usage(error: click.UsageError) -> None:
    """Write what is wrong with a command line to stderr, if it takes that."""
    with contextlib.suppress(OSError):
        error.show()
    discard_unwritable(sys.stdout, sys.stderr)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 not found, 5 exists, 6 permission, "
    "7 daemon not running. Run `qscpd COMMAND --help` for details and examples of a command.",
)
@config_options(envvar=True)
@click.version_option(__version__, prog_name="qscpd", message="%(prog)s %(version)s")
def cli() -> None:
    """Run and manage a QSCP chat server."""


def main() -> None:
    """Run the command line of this process."""
    replace_closed_streams()
    cli(prog_name="qscpd")
