"""The commands for the daemon itself and its configuration."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import click
import msgspec

from qscpd import admin
from qscpd.cli.options import config_options, load_chosen
from qscpd.config import Config, render_config
from qscpd.errors import ConfigError, QscpdError

__all__ = ["COMMANDS"]

_RENEWAL_TIME: Final = timedelta(days=30)
"""How long before a certificate's end to speak about it."""


@click.command()
@config_options()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C."""
    config = load_chosen(ctx).config
    from qscpd.app import run as run_daemon  # noqa: PLC0415 - the other commands start faster without it

    ctx.exit(run_daemon(config))


@click.command()
@config_options()
@click.pass_context
def checkconfig(ctx: click.Context) -> None:
    """Look at configuration, certificate and directories."""
    from qscpd.setup.pki import check_pair  # noqa: PLC0415 - the other commands start faster without it

    loaded = load_chosen(ctx)
    certificate = check_pair(loaded.config.tls.certificate, loaded.config.tls.key)
    problems = _missing_directories(loaded.config)
    if problems:
        raise ConfigError(problems)
    click.echo(f"{loaded.path}: no problems")
    click.echo(f"certificate for {', '.join(certificate.names)}, until {certificate.not_after:%Y-%m-%d}")
    if certificate.not_after - datetime.now(UTC) < _RENEWAL_TIME:
        click.echo("qscpd: the certificate ends soon; renew it with `qscpd gencert`", err=True)


def _missing_directories(config: Config) -> list[str]:
    return [
        f"{key}: there is no directory {path.parent}; make it, or let `qscpd init --keep` make it"
        for key, path in (("store.path", config.store.path), ("log.session_log", config.log.session_log))
        if not path.parent.is_dir()
    ]


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@config_options()
@click.pass_context
def show(ctx: click.Context, *, origin: bool) -> None:
    """Print every setting with the value that is in force, as YAML that loads again."""
    click.echo(render_config(load_chosen(ctx), origin=origin), nl=False)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options()
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Ask the running daemon how it is; exit code 7 if none runs."""
    reply = admin.call(load_chosen(ctx).config, admin.Status())
    if not isinstance(reply, admin.DaemonStatus):
        raise QscpdError(f"the daemon answered a question with {type(reply).__name__}")
    fields = msgspec.structs.asdict(reply)
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    for name, value in fields.items():
        click.echo(f"{name}: {value}")


COMMANDS: Final = {command.name: command for command in (run, checkconfig, config, status)}
