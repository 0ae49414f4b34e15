"""Commands for the daemon and its configuration."""

import json
import os
import platform
import ssl
from datetime import UTC, datetime, timedelta
from typing import Final

import click
import msgspec

from qscp import ALPN, __version__
from qscpd import admin
from qscpd.cli.help import Command
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.output import roughly, utc
from qscpd.cli.streams import report
from qscpd.config import Config, find_warnings, render_config
from qscpd.errors import ConfigError, QscpdError
from qscpd.systemd import failure_status

_RENEWAL_TIME: Final = timedelta(days=30)
"""Time before a certificate's end from which `checkconfig` warns."""


@click.command(cls=Command, examples=("run", "run -c config/qscpd.yaml --set log.level=debug"))
@config_options()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C."""
    with failure_status():
        config = load_chosen(ctx).config
        from qscpd.app import run as run_daemon  # noqa: PLC0415 - the other commands start faster without it

        code = run_daemon(config)
    ctx.exit(code)


@click.command(cls=Command, examples=("checkconfig", "checkconfig -c new.yaml"))
@config_options()
@click.pass_context
def checkconfig(ctx: click.Context) -> None:
    """Check the configuration, the certificate and the directories."""
    from qscpd.net.binding import check_listen  # noqa: PLC0415 - the other commands start faster without these
    from qscpd.setup.pki import check_authority_key, check_pair  # noqa: PLC0415

    loaded = load_chosen(ctx)
    certificate = check_pair(loaded.config.tls.certificate, loaded.config.tls.key)
    check_authority_key(loaded.config.tls.certificate)
    problems = _missing_directories(loaded.config)
    listen = check_listen(loaded.config.server.listen)
    problems += listen.problems
    if problems:
        raise ConfigError(problems)
    click.echo(f"{loaded.path}: no problems")
    click.echo(f"certificate for {', '.join(certificate.names)}, until {certificate.not_after:%Y-%m-%d}")
    if certificate.not_after - datetime.now(UTC) < _RENEWAL_TIME:
        report("qscpd: the certificate expires soon; renew it with `qscpd gencert`")
    for warning in (*listen.warnings, *find_warnings(loaded.config)):
        report(f"qscpd: warning: {warning}")


def _missing_directories(config: Config) -> list[str]:
    return [
        f"{key}: the directory {path.parent} does not exist; mount it, or create it for the daemon's user"
        for key, path in (("store.path", config.store.path), ("log.session_log", config.log.session_log))
        if not path.parent.is_dir()
    ]


@click.group()
def config() -> None:
    """Show the configuration."""


@config.command(cls=Command, examples=("config show", "config show --origin"))
@click.option("--origin", is_flag=True, help="Show the source of each value.")
@config_options()
@click.pass_context
def show(ctx: click.Context, *, origin: bool) -> None:
    """Show every setting with its current value, as valid YAML."""
    click.echo(render_config(load_chosen(ctx), origin=origin), nl=False)


@click.command(cls=Command, examples=("status", "status --json"))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options()
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Show the status of the running daemon.

    The exit code is 7 if it is not running. A sentence on stderr says if the wall clock is not
    trusted; then nothing is removed by its age. Another one names each address that nobody can
    connect to, because the machine lacks it.
    """
    reply = admin.call(load_chosen(ctx).config, admin.Status())
    if not isinstance(reply, admin.DaemonStatus):
        raise QscpdError(f"unexpected reply {type(reply).__name__} from the daemon (different version?)")
    fields = msgspec.structs.asdict(reply)
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    for name, value in fields.items():
        if value not in (None, []):
            click.echo(f"{name}: {_shown(value)}")
    for address in reply.listen_missing:
        report(
            f"qscpd: this machine lacks {address} (server.listen), so nobody can connect to it. It works as "
            "soon as the machine has the address; check that it is not mistyped"
        )
    if reply.clock_ahead_s is not None:
        report(f"qscpd: {_clock_sentence(reply.clock_ahead_s, reply.clock_left_s or 0)}")


def _shown(value: object) -> str:
    """Return a field of the status as text."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _clock_sentence(ahead_s: int, left_s: int) -> str:
    """Return what is wrong with the wall clock, and what to do."""
    where = f"{roughly(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'}"
    return (
        f"the wall clock is {where} the expected time, so nothing is removed by its age. Set it; if it is "
        f"right, run `qscpd confirmclock`, or wait: it is trusted when it has run steadily for another "
        f"{roughly(left_s)}"
    )


@click.command(cls=Command, examples=("confirmclock",))
@config_options()
@click.pass_context
def confirmclock(ctx: click.Context) -> None:
    """Confirm that the wall clock is right after it has jumped.

    Until then, or until it has run steadily for a day, nothing is removed by its age; see
    `qscpd status`. Check the clock first, with `date`.
    """
    reply = admin.call(load_chosen(ctx).config, admin.ConfirmClock())
    if not isinstance(reply, admin.ClockConfirmed):
        raise QscpdError(f"unexpected reply {type(reply).__name__} from the daemon (different version?)")
    before = "was confirmed already" if reply.was_confirmed else "is confirmed"
    report(f"the wall clock {before}: {utc(reply.wall_ms)}")


@click.command(cls=Command, examples=("version",))
def version() -> None:
    """Show the versions of qscpd, Python, OpenSSL and the system."""
    click.echo(
        f"qscpd {__version__} ({ALPN}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, "
        f"{os.uname().sysname} {os.uname().release})"
    )


COMMANDS: Final = {
    command.name: command for command in (run, checkconfig, config, status, confirmclock, version)
}
