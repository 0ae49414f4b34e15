"""Commands for the daemon and its configuration."""

import os
import platform
import ssl
from typing import Final

import click

from qscp import ALPN, __version__
from qscpd.build import commit
from qscpd.cli.checkconfig import checkconfig
from qscpd.cli.help import Command
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.status import confirmclock, status
from qscpd.config import StoreConfig, render_config
from qscpd.store import newest_schema, store_url
from qscpd.systemd import failure_status


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
