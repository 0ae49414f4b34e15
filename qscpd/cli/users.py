"""The commands for accounts. What they change takes effect at once, with the daemon running or not."""

import json
import sys
from pathlib import Path
from typing import Final

import click

from qscp.names import normalize_name
from qscpd import admin
from qscpd.accounts.passwords import PasswordHasher
from qscpd.cli.newpassword import PasswordSource, ask_password, has_terminal, password_options
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.output import utc
from qscpd.config import Config
from qscpd.errors import QscpdError, UsageError

__all__ = ["COMMANDS"]


@click.command()
@click.argument("name")
@password_options
@click.option("--reuse-name", is_flag=True, help="Allow the name of a deleted account; it is a new account.")
@config_options()
@click.pass_context
def adduser(
    ctx: click.Context,
    name: str,
    *,
    reuse_name: bool,
    password_stdin: bool,
    password_file: Path | None,
    generate: bool,
) -> None:
    """Make an account that can log in at once.

    NAME has 1 to 32 of a-z, 0-9, dot, underscore and hyphen. The password is asked for twice
    unless an option says where it comes from.
    """
    name = normalize_name(name)
    config = load_chosen(ctx).config
    password = ask_password(name, PasswordSource(password_stdin, password_file, generate))
    password_hash = PasswordHasher(config.login.argon2).hash(password)
    _change(config, admin.AddUser(name, password_hash, reuse_name))
    click.echo(f"added {name}", err=True)
    if generate:
        click.echo(password)


@click.command()
@click.argument("name")
@password_options
@config_options()
@click.pass_context
def passwd(
    ctx: click.Context, name: str, *, password_stdin: bool, password_file: Path | None, generate: bool
) -> None:
    """Give an account another password.

    Its open sessions go on; `lock` ends them.
    """
    name = normalize_name(name)
    config = load_chosen(ctx).config
    password = ask_password(name, PasswordSource(password_stdin, password_file, generate))
    password_hash = PasswordHasher(config.login.argon2).hash(password)
    _change(config, admin.SetPassword(name, password_hash))
    click.echo(f"changed the password of {name}", err=True)
    if generate:
        click.echo(password)


@click.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@config_options()
@click.pass_context
def deluser(ctx: click.Context, name: str, *, yes: bool) -> None:
    """Delete an account and end its sessions.

    Its name stays reserved, see `adduser --reuse-name`.
    """
    name = normalize_name(name)
    config = load_chosen(ctx).config
    if not yes:
        if not has_terminal():
            raise UsageError(
                f"there is no terminal to ask whether to delete {name}; add --yes if you mean it"
            )
        click.confirm(f"Delete the account {name} for good?", abort=True, err=True)
    _change(config, admin.DeleteUser(name))
    click.echo(f"deleted {name}; the name stays reserved", err=True)


@click.command()
@click.argument("name")
@config_options()
@click.pass_context
def lock(ctx: click.Context, name: str) -> None:
    """Keep an account from logging in, and end its sessions."""
    name = normalize_name(name)
    _change(load_chosen(ctx).config, admin.LockUser(name))
    click.echo(f"locked {name}", err=True)


@click.command()
@click.argument("name")
@config_options()
@click.pass_context
def unlock(ctx: click.Context, name: str) -> None:
    """Let a locked account log in again."""
    name = normalize_name(name)
    _change(load_chosen(ctx).config, admin.UnlockUser(name))
    click.echo(f"unlocked {name}", err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@config_options()
@click.pass_context
def listusers(ctx: click.Context, *, as_json: bool) -> None:
    """List all accounts.

    One on a line: name, state, and when it was made (UTC).
    """
    reply = admin.call(load_chosen(ctx).config, admin.ListUsers())
    if not isinstance(reply, admin.Accounts):
        raise QscpdError(f"the daemon answered a list with {type(reply).__name__}")
    if as_json:
        rows = [
            {"id": f"a{user.id}", "name": user.name, "state": user.state, "created": utc(user.created_ms)}
            for user in reply.accounts
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max((len(user.name) for user in reply.accounts), default=0)
    if sys.stdout.isatty():
        click.echo(
            f"{'NAME':<{width}}  STATE   CREATED" if reply.accounts else "no accounts; make one: adduser"
        )
    for user in reply.accounts:
        click.echo(f"{user.name:<{width}}  {user.state:<6}  {utc(user.created_ms)}")


def _change(config: Config, request: admin.Request) -> None:
    reply = admin.call(config, request)
    if not isinstance(reply, admin.Done):
        raise QscpdError(f"the daemon answered a change with {type(reply).__name__}")


COMMANDS: Final = {command.name: command for command in (adduser, passwd, deluser, lock, unlock, listusers)}
