"""The command `qscpd checkconfig`: everything that `qscpd run` needs, as the daemon's user."""

import itertools
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from qscp.hints import one_line
from qscpd.cli.help import Command
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.streams import error_lines, report
from qscpd.config import DEFAULT_CONFIG_PATH, LoadedConfig, find_warnings
from qscpd.config.kinds import find_wrong_kinds
from qscpd.config.places import can_read_pair, find_refusals
from qscpd.config.ports import explain_privileged, privileged_addresses
from qscpd.errors import ConfigError, PermissionDeniedError, QscpdError
from qscpd.privileges import SystemUser, acting_as, daemon_user, named_user
from qscpd.unit import Unit, unit_with

_NAMES_SHOWN: Final = 20
"""Names of the certificate that `checkconfig` lists; those of `qscpd init` are about five."""


@click.command(cls=Command, examples=("checkconfig", "checkconfig -c new.yaml"))
@config_options()
@click.pass_context
def checkconfig(ctx: click.Context) -> None:
    """Check configuration, certificate, addresses and files.

    Root checks as the user that the daemon has: the owner of the store.
    """
    from qscpd.net.binding import check_listen  # noqa: PLC0415 - the other commands start faster without these
    from qscpd.net.tls import load_pair  # noqa: PLC0415

    loaded = load_chosen(ctx)
    user, unit = _user_and_unit(loaded)
    errors: list[QscpdError] = []
    if wrong := list(find_wrong_kinds(loaded.config)):
        errors.append(ConfigError(wrong))
    refusals, warnings = _check_as(user, unit, loaded)
    errors += map(PermissionDeniedError, refusals)
    certificate = None
    now = datetime.now(UTC)
    # A pair that can't be read is among the refusals.
    if can_read_pair(loaded.config):
        try:
            certificate = load_pair(loaded.config.tls)
            if problems := certificate.problems(now):
                errors.append(ConfigError(problems))
        except (ConfigError, PermissionDeniedError) as error:
            errors.append(error)
    listen = check_listen(loaded.config.server.listen)
    if listen.problems:
        errors.append(ConfigError(listen.problems))
    if certificate is None or errors:
        for line in itertools.chain.from_iterable(map(error_lines, errors)):
            report(line)
        # The daemon would give up at the first one.
        ctx.exit(errors[0].exit_code)
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


def _user_and_unit(loaded: LoadedConfig) -> tuple[SystemUser, Unit | None]:
    """Return the daemon's user, and the unit if it runs the daemon as that user.

    The unit's user counts where store and directory are root's.
    """
    user = daemon_user(loaded.config.store.path)
    unit = unit_with(loaded.path, default=Path(DEFAULT_CONFIG_PATH)) if os.geteuid() == 0 else None
    if unit is not None and user.uid == 0:
        user = named_user(unit.user) or user
    return user, unit if unit is not None and unit.user == user.name else None


def _check_as(
    user: SystemUser, unit: Unit | None, loaded: LoadedConfig
) -> tuple[Sequence[str], Sequence[str]]:
    """Return why a daemon of this user would be refused, and what it would warn about.

    Raises:
        PermissionDeniedError: root can't act as that user.
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
    return refusals, warnings
