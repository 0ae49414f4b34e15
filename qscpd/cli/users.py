"""Commands for accounts. Changes take effect at once, with the daemon running or stopped."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from qscp.names import normalize_name
from qscpd import admin
from qscpd.accounts.passwords import PasswordHasher
from qscpd.cli.help import Command
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.output import utc
from qscpd.cli.prompts import PasswordSource, ask_password, confirm, password_options
from qscpd.cli.streams import print_only_copy, report
from qscpd.config import Config
from qscpd.errors import QscpdError, UnansweredError


@click.command(cls=Command, examples=("adduser alice", "adduser alice --generate"))
@click.argument("name")
@password_options
@click.option(
    "--reuse-name", is_flag=True, help="Allow the name of a deleted account; the account itself is new."
)
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
    """Add an account, which can log in at once.

    NAME has 1 to 32 of a-z, 0-9, dot, underscore and hyphen. The password is asked for twice
    at the terminal, unless an option provides it.
    """
    name = normalize_name(name)
    config = load_chosen(ctx).config
    source = PasswordSource(password_stdin, password_file, generate)
    with _new_hash(config, name, source, admin.CheckNewUser(name, reuse_name)) as password_hash:
        _change(config, admin.AddUser(name, password_hash, reuse_name))
    report(f"added {name}")


@click.command(cls=Command, examples=("passwd alice", "passwd alice --password-stdin < password.txt"))
@click.argument("name")
@password_options
@config_options()
@click.pass_context
def passwd(
    ctx: click.Context, name: str, *, password_stdin: bool, password_file: Path | None, generate: bool
) -> None:
    """Change the password of an account.

    Open sessions go on; `qscpd lock` ends them.
    """
    name = normalize_name(name)
    config = load_chosen(ctx).config
    source = PasswordSource(password_stdin, password_file, generate)
    with _new_hash(config, name, source, admin.CheckUser(name)) as password_hash:
        _change(config, admin.SetPassword(name, password_hash))
    report(f"changed the password of {name}")


@click.command(cls=Command, examples=("deluser alice", "deluser alice --yes"))
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Don't ask for confirmation.")
@config_options()
@click.pass_context
def deluser(ctx: click.Context, name: str, *, yes: bool) -> None:
    """Delete an account and end its sessions.

    Its name stays reserved; see `qscpd adduser --reuse-name`. Its messages are kept; see
    `qscpd erase`.
    """
    name = normalize_name(name)
    config = load_chosen(ctx).config
    if not yes:
        confirm(f"Delete the account {name} for good?", action=f"delete {name}")
    _change(config, admin.DeleteUser(name))
    report(f"deleted {name}; the name stays reserved")


@click.command(cls=Command, examples=("lock alice",))
@click.argument("name")
@config_options()
@click.pass_context
def lock(ctx: click.Context, name: str) -> None:
    """Lock an account: end its sessions and refuse its logins."""
    name = normalize_name(name)
    _change(load_chosen(ctx).config, admin.LockUser(name))
    report(f"locked {name}")


@click.command(cls=Command, examples=("unlock alice",))
@click.argument("name")
@config_options()
@click.pass_context
def unlock(ctx: click.Context, name: str) -> None:
    """Unlock an account, so that it can log in again."""
    name = normalize_name(name)
    _change(load_chosen(ctx).config, admin.UnlockUser(name))
    report(f"unlocked {name}")


@click.command(cls=Command, examples=("listusers", "listusers --json"))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@config_options()
@click.pass_context
def listusers(ctx: click.Context, *, as_json: bool) -> None:
    """List all accounts.

    One per line: name, state, and time of creation (UTC).
    """
    reply = admin.call(load_chosen(ctx).config, admin.ListUsers())
    if not isinstance(reply, admin.Accounts):
        raise QscpdError(f"unexpected reply {type(reply).__name__} from the daemon (different version?)")
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
            f"{'NAME':<{width}}  STATE   CREATED"
            if reply.accounts
            else "no accounts; add one: qscpd adduser NAME"
        )
    for user in reply.accounts:
        click.echo(f"{user.name:<{width}}  {user.state:<6}  {utc(user.created_ms)}")


@contextlib.contextmanager
def _new_hash(config: Config, name: str, source: PasswordSource, check: admin.UserCheck) -> Iterator[str]:
    """Get a new password, and yield its hash to the block that stores it.

    A generated password is printed before the block, because stdout might not take the only copy. So
    it is checked before whether the block can succeed; if it fails all the same, the user is warned.

    Args:
        config: The configuration.
        name: Name of the account.
        source: Where the password comes from.
        check: The request that finds out whether the account can get a password.
    """
    password = ask_password(name, source)
    if source.generate:
        _expect(admin.call(config, check), admin.Checked)
    password_hash = PasswordHasher(config.login.argon2).hash(password)
    if not source.generate:
        yield password_hash
        return
    print_only_copy(password)
    try:
        yield password_hash
    except (UnansweredError, KeyboardInterrupt):
        report(f"qscpd: keep the printed password of {name}: it is not known whether it was set")
        raise
    except Exception:
        report(f"qscpd: the printed password of {name} is void, because it was not set")
        raise


def _change(config: Config, request: admin.Request) -> None:
    _expect(admin.call(config, request), admin.Done)


def _expect(reply: admin.Reply, kind: type[admin.Done | admin.Checked]) -> None:
    if not isinstance(reply, kind):
        raise QscpdError(f"unexpected reply {type(reply).__name__} from the daemon (different version?)")


COMMANDS: Final = {command.name: command for command in (adduser, passwd, deluser, lock, unlock, listusers)}
