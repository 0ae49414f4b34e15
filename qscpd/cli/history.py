"""The commands for what a person wrote: all of it in a file, or none of it any more."""

import contextlib
import re
from pathlib import Path
from typing import Final, NamedTuple

import click

from qscp.names import normalize_name
from qscpd import admin
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.output import opened_output, output_option
from qscpd.cli.typeagain import type_again
from qscpd.config import Config
from qscpd.errors import QscpdError, UsageError
from qscpd.export import export_lines
from qscpd.store import open_reader, store_url

__all__ = ["COMMANDS"]

_ACCOUNT_ID: Final = re.compile(r"a([1-9][0-9]{0,14})")


class _Who(NamedTuple):
    """Whom a command is about."""

    name: str
    id: int | None
    """Goes before the name."""

    def __str__(self) -> str:
        return self.name if self.id is None else f"a{self.id}"


def _who(user: str, *, by_id: bool) -> _Who:
    if not by_id:
        return _Who(normalize_name(user), None)
    match = _ACCOUNT_ID.fullmatch(user)
    if match is None:
        raise UsageError(
            f"{user[:40]!r} is not the id of an account; write it as `listusers --json` does: a12"
        )
    return _Who("", int(match[1]))


@click.command(short_help="Write everything of somebody's conversations to a file.")
@click.argument("user")
@click.option("--id", "by_id", is_flag=True, help="USER is an account's id, such as a12, not its name.")
@output_option
@config_options()
@click.pass_context
def export(ctx: click.Context, user: str, *, by_id: bool, output: Path | None) -> None:
    """Write everything of a person's conversations as JSON Lines, with the daemon running or stopped.

    A deleted account can be exported, too, as long as its messages are kept; name it by its id if
    the name was given away again.
    """
    who = _who(user, by_id=by_id)
    config = load_chosen(ctx).config
    with contextlib.closing(open_reader(store_url(config.store.path))) as reader, reader.snapshot():
        account = reader.find_account(*who)
        with opened_output(output) as file:
            for line in export_lines(reader, account):
                file.write(line)
    if output is not None:
        click.echo(f"exported {account.name} to {output}", err=True)


@click.command(short_help="Delete an account and erase everything it wrote.")
@click.argument("user")
@click.option("--id", "by_id", is_flag=True, help="USER is an account's id, such as a12, not its name.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@config_options()
@click.pass_context
def erase(ctx: click.Context, user: str, *, by_id: bool, yes: bool) -> None:
    """Delete an account, if it is not deleted yet, and erase the text of every message it wrote.

    The others keep their own messages, and see that there was one. There is no way back.
    """
    who = _who(user, by_id=by_id)
    config = load_chosen(ctx).config
    if not yes:
        warning = f"This deletes {who} and erases everything they wrote"
        type_again(str(who), deed=f"erase {who}", warning=warning)
    reply = _erase(config, admin.EraseUser(*who))
    while not reply.done:
        # By its id, because now its name is one of a deleted account.
        reply = _erase(config, admin.EraseUser(reply.account.name, reply.account.id))
    click.echo(f"erased everything that {reply.account.name} (a{reply.account.id}) wrote", err=True)
    if reply.compaction_due:
        click.echo(
            "traces may stay in unused parts of the store's file until the daemon is restarted", err=True
        )
    copies = sorted(config.store.path.parent.glob(f"{config.store.path.name}.schema*"))
    others = "".join(f", {copy}" for copy in copies)
    click.echo(f"backups and exports that were made before still have it{others}", err=True)


def _erase(config: Config, request: admin.EraseUser) -> admin.Erased:
    reply = admin.call(config, request)
    if not isinstance(reply, admin.Erased):
        raise QscpdError(f"the daemon answered an erasure with {type(reply).__name__}")
    return reply


COMMANDS: Final = {command.name: command for command in (export, erase)}
