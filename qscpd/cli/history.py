"""Commands that export or erase an account's messages."""

import contextlib
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

import click

from qscp.names import normalize_name
from qscpd import admin
from qscpd.cli.help import Command
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.output import damage_as_failure, opened_output, output_option
from qscpd.cli.prompts import confirm_by_name
from qscpd.cli.streams import report
from qscpd.config import Config
from qscpd.errors import QscpdError, UsageError
from qscpd.export import export_lines
from qscpd.store import open_reader, store_url

_ACCOUNT_ID: Final = re.compile(r"a([1-9][0-9]{0,14})")


class _Target(NamedTuple):
    """Account that a command is about."""

    name: str
    id: int | None
    """Id, which takes precedence over the name."""

    def __str__(self) -> str:
        return self.name if self.id is None else f"a{self.id}"


def _target(user: str, *, by_id: bool) -> _Target:
    if not by_id:
        return _Target(normalize_name(user), None)
    match = _ACCOUNT_ID.fullmatch(user)
    if match is None:
        raise UsageError(
            f"{user[:40]!r} is not an account id; use the form of `listusers --json`, such as a12"
        )
    return _Target("", int(match[1]))


@click.command(
    cls=Command,
    short_help="Export an account's conversations.",
    examples=("export alice -o alice.jsonl", "export --id a12 -o old-alice.jsonl"),
)
@click.argument("user")
@click.option("--id", "by_id", is_flag=True, help="USER is an account id, such as a12, instead of a name.")
@output_option
@config_options()
@click.pass_context
def export(ctx: click.Context, user: str, *, by_id: bool, output: Path | None) -> None:
    """Export all conversations of an account as JSON Lines, with the daemon running or stopped.

    A deleted account can be exported too, as long as its messages are kept; use its id if
    the name is in use again.
    """
    target = _target(user, by_id=by_id)
    config = load_chosen(ctx).config
    with damage_as_failure(ctx) as on_damage:
        opened = open_reader(store_url(config.store.path), on_damage=on_damage)
        with contextlib.closing(opened) as reader, reader.snapshot():
            account = reader.find_account(*target)
            with opened_output(output) as file:
                for line in export_lines(reader, account):
                    file.write(line)
        if output is not None:
            report(f"exported {account.name} to {output}")


@click.command(
    cls=Command,
    short_help="Delete an account and erase its messages.",
    examples=("erase alice", "erase --id a12 --yes"),
)
@click.argument("user")
@click.option("--id", "by_id", is_flag=True, help="USER is an account id, such as a12, instead of a name.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask for confirmation.")
@config_options()
@click.pass_context
def erase(ctx: click.Context, user: str, *, by_id: bool, yes: bool) -> None:
    """Delete an account, if it is not deleted yet, and erase the text of all of its messages.

    Others keep their own messages, and see that there was one. This can't be undone.
    """
    target = _target(user, by_id=by_id)
    config = load_chosen(ctx).config
    if not yes:
        warning = f"This deletes {target} and erases all of their messages for good"
        confirm_by_name(str(target), action=f"erase {target}", warning=warning)
    reply = _erase(config, admin.EraseUser(*target))
    while not reply.done:
        # By its id, because the account is deleted now.
        reply = _erase(config, admin.EraseUser(reply.account.name, reply.account.id))
    if reply.damaged:
        report(
            f"qscpd: {reply.damaged} damaged places of the store could not be looked into and may still have "
            "some of their text; the log of the daemon names them"
        )
    report(f"erased all messages of {reply.account.name} (a{reply.account.id})")
    if reply.compaction_due:
        report(
            "traces can remain in unused parts of the store's file; restart the daemon to remove them, "
            "with as much free space as the store has"
        )
    others = "".join(f", {copy}" for copy in _earlier_stores(config.store.path))
    report(f"earlier backups and exports still contain them{others}")


def _erase(config: Config, request: admin.EraseUser) -> admin.Erased:
    reply = admin.call(config, request)
    if not isinstance(reply, admin.Erased):
        raise QscpdError(f"unexpected reply {type(reply).__name__} from the daemon (different version?)")
    return reply


def _earlier_stores(store: Path) -> list[Path]:
    """Return the copies of a store that upgrades and restores have kept."""
    store = Path(os.path.realpath(store))
    return sorted(
        each for kind in ("schema", "before-restore-") for each in store.parent.glob(f"{store.name}.{kind}*")
    )


COMMANDS: Final = {command.name: command for command in (export, erase)}
