"""The commands for rooms. What they change takes effect at once, with the daemon running or not."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from qscp.errors import InvalidTextError
from qscp.limits import TOPIC_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, check_topic, normalize_room
from qscpd import admin
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.output import opened_output, output_option
from qscpd.cli.roomtext import HEADING, described, entries, kept, people, row_of, shown, table
from qscpd.cli.typeagain import type_again
from qscpd.config import Config
from qscpd.errors import QscpdError, UsageError
from qscpd.export import export_room_lines
from qscpd.store import open_reader, store_url
from qscpd.store.base import StoreReader

__all__ = ["COMMANDS"]

_LOG_ENTRIES: Final = 10
"""Entries of the log of moderation that are shown unless all are asked for."""


def _take_name(_: click.Context, __: click.Parameter, text: str | None) -> str:
    if text is None:
        raise UsageError("name a room; a shell takes an unquoted #dev for a comment, so write dev or '#dev'")
    return normalize_room(text)


_name_argument = click.argument("name", required=False, callback=_take_name, metavar="NAME")


@click.group(short_help="Make, show, archive, delete and export rooms.")
@config_options()
def room() -> None:
    """Make rooms, look at them, archive, delete and export them, with the daemon running or stopped.

    A room's name may be written with or without its #. A shell takes an unquoted #dev for a
    comment, so write dev or '#dev'.
    """


@room.command()
@_name_argument
@click.option("--owner", required=True, metavar="USER", help="Whose room it is; a room always has an owner.")
@click.option(
    "--kind",
    type=click.Choice([each.value for each in RoomKind]),
    default=RoomKind.OPEN.value,
    show_default=True,
    help="Who may come in: everybody, or who is invited; in an announcement room few may write.",
)
@click.option(
    "--history",
    type=click.Choice([each.value for each in HistoryFrom]),
    default=HistoryFrom.JOINING.value,
    show_default=True,
    help="What members see of what was written before they joined: nothing, or all of it.",
)
@click.option("--topic", default="", metavar="TEXT", help=f"One line, at most {TOPIC_LIMIT} bytes.")
@config_options()
@click.pass_context
def create(ctx: click.Context, name: str, *, owner: str, kind: str, history: str, topic: str) -> None:
    """Make a room."""
    try:
        check_topic(topic)
    except InvalidTextError:
        raise UsageError(
            f"a topic is one line of at most {TOPIC_LIMIT} bytes, without control characters"
        ) from None
    request = admin.CreateRoom(name, owner, RoomKind(kind), HistoryFrom(history), topic)
    _change(load_chosen(ctx).config, request)
    click.echo(f"made {name}", err=True)


@room.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@config_options()
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> None:
    """List all rooms that are not deleted.

    One on a line: name, kind, state, members, messages that are kept, topic.
    """
    with _reader(ctx) as reader:
        rooms = reader.rooms()
    if as_json:
        click.echo(json.dumps([described(each) for each in rooms], indent=2))
        return
    rows = [row_of(each) for each in rooms]
    if sys.stdout.isatty():
        if not rows:
            click.echo("no rooms; make one: room create")
        rows = [HEADING, *rows]
    for line in table(rows):
        click.echo(line)


@room.command(short_help="Show a room, who is in it, and what moderators did.")
@_name_argument
@click.option("--log", "whole_log", is_flag=True, help="Show all of the log of moderation.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options()
@click.pass_context
def show(ctx: click.Context, name: str, *, whole_log: bool, as_json: bool) -> None:
    """Show a room: its settings, who is in it, and what was last done there by moderators.

    Besides the members there are those who are invited or banned.
    """
    with _reader(ctx) as reader:
        row = reader.find_room(name)
        names = reader.account_names()
        memberships = reader.memberships(row.id)
        newest = reader.room_log(row.id) if whole_log else reader.room_log(row.id, limit=_LOG_ENTRIES)
    whom = people(memberships, names, time.time_ns() // 1_000_000)
    log = entries(reversed(newest), names)
    if as_json:
        click.echo(json.dumps({**described(row), "people": whom, "log": log}, indent=2))
        return
    for line in shown(row, whom, log, "log" if whole_log else "end of the log"):
        click.echo(line)


@room.command()
@_name_argument
@config_options()
@click.pass_context
def archive(ctx: click.Context, name: str) -> None:
    """Archive a room: its members can read it, and nothing else.

    An owner can open it again.
    """
    _change(load_chosen(ctx).config, admin.ArchiveRoom(name))
    click.echo(f"archived {name}", err=True)


@room.command()
@_name_argument
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@config_options()
@click.pass_context
def delete(ctx: click.Context, name: str, *, yes: bool) -> None:
    """Delete a room, and everything that was written in it.

    Its members are told, and its name is free again. There is no way back; `room export` before.
    """
    config = load_chosen(ctx).config
    if not yes:
        with _reader(ctx) as reader:
            row = reader.find_room(name)
        warning = f"This deletes {name} with its members ({row.members}) and messages ({kept(row)})"
        type_again(name, deed=f"delete {name}", warning=warning)
    _change(config, admin.DeleteRoom(name))
    click.echo(f"deleted {name}; the daemon removes its messages in a while", err=True)


@room.command(short_help="Write everything of a room to a file.")
@_name_argument
@output_option
@config_options()
@click.pass_context
def export(ctx: click.Context, name: str, *, output: Path | None) -> None:
    """Write everything of a room as JSON Lines: its people, its log of moderation, its messages."""
    with _reader(ctx) as reader:
        row = reader.find_room(name)
        with opened_output(output) as file:
            for line in export_room_lines(reader, row):
                file.write(line)
    if output is not None:
        click.echo(f"exported {name} to {output}", err=True)


def _change(config: Config, request: admin.RoomRequest) -> None:
    reply = admin.call(config, request)
    if not isinstance(reply, admin.RoomChanged):
        raise QscpdError(f"the daemon answered a change with {type(reply).__name__}")


@contextlib.contextmanager
def _reader(ctx: click.Context) -> Iterator[StoreReader]:
    """Read one state of the store; that needs no lock, and the daemon has no work with it."""
    url = store_url(load_chosen(ctx).config.store.path)
    with contextlib.closing(open_reader(url)) as reader, reader.snapshot():
        yield reader


COMMANDS: Final = {"room": room}
