"""Commands for the daemon and its configuration."""

import json
import os
import platform
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
import msgspec

from qscp import ALPN, __version__
from qscpd import admin
from qscpd.build import commit
from qscpd.cli.help import Command
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.output import roughly, utc
from qscpd.cli.streams import report
from qscpd.config import DEFAULT_CONFIG_PATH, Config, LoadedConfig, StoreConfig, find_warnings, render_config
from qscpd.config.places import find_refusals
from qscpd.config.ports import explain_privileged, privileged_addresses
from qscpd.errors import ConfigError, PermissionDeniedError, QscpdError
from qscpd.privileges import SystemUser, acting_as, daemon_user, named_user
from qscpd.reach import closed_directory
from qscpd.store import newest_schema, store_url
from qscpd.systemd import failure_status
from qscpd.unit import Unit, unit_with

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
    """Check the configuration, the certificate, and the permissions of files.

    Root checks as the user that the daemon has: the owner of the store.
    """
    from qscpd.setup.pki import check_authority_key, check_pair  # noqa: PLC0415 - the other commands start faster without it

    loaded = load_chosen(ctx)
    problems = _missing_directories(loaded.config)
    if problems:
        raise ConfigError(problems)
    user, unit = _user_and_unit(loaded)
    warnings = _check_as(user, unit, loaded)
    certificate = check_pair(loaded.config.tls.certificate, loaded.config.tls.key)
    check_authority_key(loaded.config.tls.certificate)
    checked = "" if user.uid == os.geteuid() else f" (checked as user {user.name})"
    click.echo(f"{loaded.path}: no problems{checked}")
    click.echo(f"certificate for {', '.join(certificate.names)}, until {certificate.not_after:%Y-%m-%d}")
    if certificate.not_after - datetime.now(UTC) < _RENEWAL_TIME:
        report("qscpd: the certificate expires soon; renew it with `qscpd gencert`")
    for warning in warnings:
        report(f"qscpd: warning: {warning}")


def _user_and_unit(loaded: LoadedConfig) -> tuple[SystemUser, Unit | None]:
    """Return the daemon's user, and the unit if it runs the daemon as that user.

    The unit's user counts where store and directory are root's.
    """
    user = daemon_user(loaded.config.store.path)
    unit = unit_with(loaded.path, default=Path(DEFAULT_CONFIG_PATH)) if os.geteuid() == 0 else None
    if unit is not None and user.uid == 0:
        user = named_user(unit.user) or user
    return user, unit if unit is not None and unit.user == user.name else None


def _check_as(user: SystemUser, unit: Unit | None, loaded: LoadedConfig) -> list[str]:
    """Check what the daemon's user can use, and return the warnings of a daemon of that user.

    Raises:
        PermissionDeniedError: The daemon would not start, or others can misuse its files.
    """
    # A pipe, or what is behind a descriptor, is of this process.
    read = [] if loaded.path.is_relative_to("/dev") else [("the configuration", loaded.path)]
    with acting_as(user):
        refusals = list(find_refusals(loaded.config, *read))
        warnings = find_warnings(loaded.config)
        low = privileged_addresses(loaded.config)
    if low and not (unit is not None and unit.low_ports):
        refusals.append(explain_privileged(low, user.name))
    if unit is not None:
        files = (loaded.path.absolute(), loaded.config.tls.certificate, loaded.config.tls.key)
        written = (loaded.config.store.path, loaded.config.log.session_log, loaded.config.server.admin_socket)
        refusals += unit.find_obstacles(files, dict.fromkeys(path.parent for path in written))
    for refusal in refusals[:-1]:
        report(f"qscpd: {refusal}")
    if refusals:
        raise PermissionDeniedError(refusals[-1])
    return warnings


def _missing_directories(config: Config) -> list[str]:
    needed = (
        ("store.path", config.store.path.parent),
        ("log.session_log", config.log.session_log.parent),
        ("server.admin_socket", config.server.admin_socket.parent.parent),  # the daemon makes the last one
    )
    return [
        f"{key}: the directory {directory} does not exist; mount it, or create it for the daemon's user"
        for key, directory in needed
        if closed_directory(directory) is None and not directory.is_dir()
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
    trusted; then nothing is removed by its age.
    """
    reply = admin.call(load_chosen(ctx).config, admin.Status())
    if not isinstance(reply, admin.DaemonStatus):
        raise QscpdError(f"unexpected reply {type(reply).__name__} from the daemon (different version?)")
    fields = msgspec.structs.asdict(reply)
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    for name, value in fields.items():
        if value is not None:
            click.echo(f"{name}: {str(value).lower() if isinstance(value, bool) else value}")
    if reply.clock_ahead_s is not None:
        report(f"qscpd: {_clock_sentence(reply.clock_ahead_s, reply.clock_left_s or 0)}")


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
    """Show the versions of qscpd, Python, OpenSSL and the system.

    Also the schema of its stores, and the commit that it was made from, if it is known.
    """
    found = commit()
    parts = [
        ALPN,
        f"Python {platform.python_version()}",
        ssl.OPENSSL_VERSION,
        f"{os.uname().sysname} {os.uname().release}",
        f"schema {newest_schema(store_url(StoreConfig().path))}",
        *([f"commit {found}"] if found else []),
    ]
    click.echo(f"qscpd {__version__} ({', '.join(parts)})")


COMMANDS: Final = {
    command.name: command for command in (run, checkconfig, config, status, confirmclock, version)
}
