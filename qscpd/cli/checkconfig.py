"""The command `qscpd checkconfig`: everything that `qscpd run` needs, as the daemon's user."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from qscp.hints import one_line
from qscpd.cli.help import Command
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.streams import report
from qscpd.config import DEFAULT_CONFIG_PATH, Config, LoadedConfig, find_warnings
from qscpd.config.places import find_refusals
from qscpd.config.ports import explain_privileged, privileged_addresses
from qscpd.errors import ConfigError, PermissionDeniedError
from qscpd.privileges import SystemUser, acting_as, daemon_user, named_user
from qscpd.reach import closed_directory
from qscpd.unit import Unit, unit_with

_NAMES_SHOWN: Final = 20
"""Names of the certificate that `checkconfig` lists; those of `qscpd init` are about five."""


@click.command(cls=Command, examples=("checkconfig", "checkconfig -c new.yaml"))
@config_options()
@click.pass_context
def checkconfig(ctx: click.Context) -> None:
    """Check configuration, certificate and permissions.

    Root checks as the user that the daemon has: the owner of the store.
    """
    from qscpd.net.binding import check_listen  # noqa: PLC0415 - the other commands start faster without these
    from qscpd.net.tls import load_pair  # noqa: PLC0415

    loaded = load_chosen(ctx)
    _raise_if(_missing_directories(loaded.config))
    user, unit = _user_and_unit(loaded)
    warnings = _check_as(user, unit, loaded)
    certificate = load_pair(loaded.config.tls)
    listen = check_listen(loaded.config.server.listen)
    now = datetime.now(UTC)
    _raise_if([*certificate.problems(now), *listen.problems])
    checked = "" if user.uid == os.geteuid() else f" (checked as user {user.name})"
    click.echo(f"{loaded.path}: no problems{checked}")
    click.echo(f"certificate for {_names(certificate.names)}, until {certificate.not_after:%Y-%m-%d}")
    for warning in (
        *certificate.validity.warnings(now),
        *certificate.warnings,
        *listen.warnings,
        *warnings,
    ):
        report(f"qscpd: warning: {warning}")


def _names(names: Sequence[str]) -> str:
    """Return the names of a certificate, which might come from anywhere: not too many, and safe to print."""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return one_line(", ".join(names[:_NAMES_SHOWN])) + more


def _raise_if(problems: list[str]) -> None:
    if problems:
        raise ConfigError(problems)


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
