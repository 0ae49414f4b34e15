"""The command `qscp-client`."""

import asyncio
import contextlib
import dataclasses
import os
import secrets
import sys
import time
from pathlib import Path

import click

from qscp import __version__
from qscp.errors import InvalidNameError
from qscp.features import BLOCK, LAZY_HISTORY, LOGIN_PRESENCE, READ_RECEIPTS, TYPING
from qscp.ids import make_message_id
from qscp.names import normalize_name
from qscp_client import config as configuration
from qscp_client.config import ClientConfig, expand_home, state_directory
from qscp_client.core.effects import Clock
from qscp_client.core.engine import Engine
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.errors import ClientError, ExitCode, InterruptedByUserError, UsageError
from qscp_client.net.address import parse_server
from qscp_client.net.connection import Server
from qscp_client.net.login import Login
from qscp_client.runner import ClientRunner
from qscp_client.state.device import Devices
from qscp_client.streams import (
    discard_unwritable,
    explain_write_error,
    replace_closed_streams,
    wait_for_streams,
)
from qscp_client.ui.base import FrontEnd
from qscp_client.ui.credentials import Credentials

_EXIT_CODES = "\n".join(f"  {code:>3}  {code.meaning}" for code in ExitCode)
_EPILOG = f"""\b
Example:
  qscp-client --ca ca.pem --server chat.example.org

\b
Exit codes:
{_EXIT_CODES}
"""

# Click does not check files: what reads them has errors and exit codes of its own.
_FILE = click.Path(path_type=Path, readable=False)


class _Command(click.Command):
    """Command that has its exit codes also if its help, version or errors can't be written."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; help and version are written here."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            with contextlib.suppress(OSError):
                error.show()
            discard_unwritable()
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            raise  # click ends quietly
        except OSError as error:
            _report(f"The output can't be written: {explain_write_error(error)}.")
            ctx.exit(ExitCode.OUTPUT)


@click.command(cls=_Command, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.option("--ca", type=_FILE, metavar="FILE", help="CA certificate of the server (ca.pem).")
@click.option("--server", metavar="HOST[:PORT]", help="Server to connect to.  [default: localhost:7727]")
@click.option("--user", metavar="NAME", help="Account to log in with; asked for if missing.")
@click.option(
    "--config",
    "config_file",
    type=_FILE,
    metavar="FILE",
    help="Configuration file.  [default: client.yaml in the user's configuration directory for qscp]",
)
@click.version_option(__version__, prog_name="qscp-client")
def command(ca: Path | None, server: str | None, user: str | None, config_file: Path | None) -> None:
    """Chat on a QSCP server.

    At a terminal, log in, type the name of a user or #room, and chat; /help lists the
    commands. In a pipe, the first line is the user name, the second the password, and the
    others are what you would type.
    """
    try:
        settings = _settings(ca, server, user, config_file)
        sys.exit(asyncio.run(_chat(settings)))
    except ClientError as error:
        _report(str(error))
        sys.exit(error.exit_code)
    except (InterruptedByUserError, KeyboardInterrupt):
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of the output is gone; Python must not complain about it at exit.
        discard_unwritable()
        sys.exit(ExitCode.INTERRUPTED)


def _report(sentence: str) -> None:
    """Write an error to stderr, if it takes one."""
    with contextlib.suppress(OSError):
        click.echo(f"qscp-client: {sentence}", err=True)
    discard_unwritable()


def main() -> None:
    """Run the command."""
    replace_closed_streams()
    wait_for_streams()
    command(prog_name="qscp-client")


def _settings(
    ca: Path | None, server: str | None, user: str | None, config_file: Path | None
) -> ClientConfig:
    """Return the settings of the configuration file, and of the command line, which takes precedence."""
    option = ""
    try:
        path = expand_home(config_file) if config_file else configuration.default_path()
        exists = path is not None and os.path.exists(path)  # noqa: PTH110 - Path raises in a closed directory
        settings = configuration.load(path) if path and (config_file or exists) else ClientConfig()
        if ca is not None:
            settings = dataclasses.replace(settings, ca=expand_home(ca))
        option = "--server: "
        if server is not None:
            settings = dataclasses.replace(settings, server=parse_server(server))
        option = "--user: "
        if user is not None:
            settings = dataclasses.replace(settings, user=normalize_name(user))
    except (ValueError, InvalidNameError) as error:
        raise UsageError(f"{option}{error}") from error
    if settings.ca is None:
        raise UsageError(
            "No CA certificate given. Ask the server's operator for ca.pem, "
            f"then use --ca FILE, or set `ca: FILE` in {path or 'a file for --config'}."
        )
    return settings


async def _chat(settings: ClientConfig) -> ExitCode:
    if settings.ca is None:
        raise UsageError("no CA")  # pragma: no cover - _settings has seen to it
    front = _front_end()
    # A pipe has no status line that could show who is typing.
    sends_typing = settings.typing and not front.shows_at_once
    features = [BLOCK, LOGIN_PRESENCE] + [READ_RECEIPTS] * settings.read_receipts + [TYPING] * sends_typing
    # A pipe shows all messages, and opens no chat that could load them.
    features += [LAZY_HISTORY] * (not front.shows_at_once)
    login = Login(
        Server(settings.server, settings.ca),
        Credentials(front),
        settings.user,
        lambda user: Devices(state_directory(settings.server, user), lambda: secrets.token_hex(16)),
        features,
        hidden=settings.hidden,
    )
    link, welcome = await login.run()
    if login.devices is None:
        raise RuntimeError("logged in without a name")
    with login.devices.acquire() as device:
        if login.devices.problem:
            front.show([Notice(NoticeCode.NOT_SAVED, text=login.devices.problem)])
        kept = welcome.retention
        if kept.seconds is not None or kept.messages is not None:
            front.show([Notice(NoticeCode.RETENTION, seconds=kept.seconds or 0, count=kept.messages or 0)])
        engine = Engine(
            welcome.user,
            _IdMaker(),
            Clock(time.monotonic, lambda: time.time_ns() // 1_000_000),
            device.saved,
            shows_at_once=front.shows_at_once,
            sends_typing=sends_typing,
            hidden=login.hidden,
        )
        runner = ClientRunner(engine, front, device, lambda: login.again(engine.presence.for_login()))
        try:
            code = await runner.run(link, welcome)
        except ClientError:
            await front.drain()  # before the reason is written
            raise
        if code is not ExitCode.INTERRUPTED:
            await front.drain()
        if code is ExitCode.OK:
            front.check_output()
        return code


def _front_end() -> FrontEnd:
    if sys.stdin.isatty() and sys.stdout.isatty() and _moves_cursor():
        from qscp_client.ui.terminal import TerminalFrontEnd  # noqa: PLC0415 - slow to import, not for pipes

        return TerminalFrontEnd()
    from qscp_client.ui.plain import PlainFrontEnd  # noqa: PLC0415 - its counterpart

    return PlainFrontEnd()


def _moves_cursor() -> bool:
    """Return whether the terminal can be expected to understand escape sequences."""
    return sys.platform == "win32" or os.environ.get("TERM", "").lower() not in ("", "dumb", "unknown")


class _IdMaker:
    """Maker of message ids that rise, also within a millisecond."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> str:
        made = int(make_message_id(time.time_ns() // 1_000_000, secrets.token_bytes(10)), 16)
        self._last = max(made, self._last + 1)
        return f"{self._last:032x}"
