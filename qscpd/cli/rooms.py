"""Commands for rooms. Changes take effect at once, with the daemon running or stopped."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from qscp.errors import InvalidTextError
from qscp.limits import TOPIC_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, check_topic, normalize_room
from qscpd import admin
from qscpd.cli.help import Command
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.output import damage_as_failure, opened_output, output_option
from qscpd.cli.prompts import confirm_by_name
from qscpd.cli.room_tables import (
    HEADING,
    count_messages,
    describe_log,
    describe_people,
    describe_room,
    format_room,
    format_table,
    room_row,
)
from qscpd.cli.streams import report
from qscpd.config import Config
from qscpd.errors import QscpdError, UsageError
from qscpd.export import export_room_lines
from qscpd.store import open_reader, store_url
from qscpd.store.base import StoreReader
from qscpd.store.damage import OnDamage

_LOG_ENTRIES: Final = 10
"""Log entries that `show` prints without --log."""


def _normalize_name(_: click.Context, __: click.Parameter, text: str | None) -> str:
    if text is None:
        raise UsageError(
            "missing room name; to a shell an unquoted #dev is a comment, so write dev or '#dev'"
        )
    return normalize_room(text)


_name_argument = click.argument("name", required=False, callback=_normalize_name, metavar="NAME")


@click.group(short_help="Create, list, show, archive, delete and export rooms.")
@config_options()
def room() -> None:
    """Manage rooms, with the daemon running or stopped.

    The # of a room's name is optional. To a shell an unquoted #dev is a comment, so write dev
    or '#dev'.
    """


@room.command(cls=Command, examples=("room create dev --owner alice --topic 'Releases and bugs'",))
@_name_argument
@click.option("--owner", required=True, metavar="USER", help="Owner of the room.")
@click.option(
    "--kind",
    type=click.Choice([each.value for each in RoomKind]),
    default=RoomKind.OPEN.value,
    show_default=True,
    help="open: every user can join; closed: invited users only; announcement: moderators write.",
)
@click.option(
    "--history",
    type=click.Choice([each.value for each in HistoryFrom]),
    default=HistoryFrom.JOINING.value,
    show_default=True,
    help="Whether members see only messages from after joining, or all of them.",
)
@click.option("--topic", default="", metavar="TEXT", help=f"One line, at most {TOPIC_LIMIT} bytes.")
@config_options()
@click.pass_context
def create(ctx: click.Context, name: str, *, owner: str, kind: str, history: str, topic: str) -> None:
    """Create a room."""
    try:
        check_topic(topic)
    except InvalidTextError as error:
        fault = f"; not allowed: {error.fault}" if error.fault else ""
        raise UsageError(f"a topic is one line of at most {TOPIC_LIMIT} bytes{fault}") from None
    request = admin.CreateRoom(name, owner, RoomKind(kind), HistoryFrom(history), topic)
    _change(load_chosen(ctx).config, request)
    report(f"created {name}")


@room.command("list", cls=Command, examples=("room list", "room list --json"))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@config_options()
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> None:
    """List all rooms.

    One per line: name, kind, state, number of members, number of kept messages, topic.
    """
    with _reader(ctx) as reader:
        rooms = reader.rooms()
    if as_json:
        click.echo(json.dumps([describe_room(each) for each in rooms], indent=2))
        return
    rows = [room_row(each) for each in rooms]
    if sys.stdout.isatty():
        if not rows:
            click.echo("no rooms; create one: qscpd room create NAME --owner USER")
        rows = [HEADING, *rows]
    for line in format_table(rows):
        click.echo(line)


@room.command(
    cls=Command,
    short_help="Show a room, its members and its moderation log.",
    examples=("room show dev", "room show dev --log"),
)
@_name_argument
@click.option("--log", "whole_log", is_flag=True, help="Show the whole moderation log.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options()
@click.pass_context
def show(ctx: click.Context, name: str, *, whole_log: bool, as_json: bool) -> None:
    """Show a room: its settings, its members, and the end of its moderation log.

    Invited, muted and banned users are listed too.
    """
    with _reader(ctx) as reader:
        row = reader.find_room(name)
        names = reader.account_names()
        memberships = reader.memberships(row.id)
        now_ms = reader.steady_ms()
        newest = reader.room_log(row.id) if whole_log else reader.room_log(row.id, limit=_LOG_ENTRIES)
    people = describe_people(memberships, names, now_ms)
    log = describe_log(reversed(newest), names)
    if as_json:
        click.echo(json.dumps({**describe_room(row), "people": people, "log": log}, indent=2))
        return
    for line in format_room(row, people, log, "log" if whole_log else "end of the log"):
        click.echo(line)


@room.command(cls=Command, examples=("room archive dev",))
@_name_argument
@config_options()
@click.pass_context
def archive(ctx: click.Context, name: str) -> None:
    """Archive a room: make it read-only.

    An owner can unarchive it.
    """
    _change(load_chosen(ctx).config, admin.ArchiveRoom(name))
    report(f"archived {name}")


@room.command(cls=Command, examples=("room delete dev", "room delete dev --yes"))
@_name_argument
@click.option("-y", "--yes", is_flag=True, help="Don't ask for confirmation.")
@config_options()
@click.pass_context
def delete(ctx: click.Context, name: str, *, yes: bool) -> None:
    """Delete a room and all of its messages.

    Its members are notified, and its name becomes free. This can't be undone; `qscpd room export`
    keeps a copy.
    """
    config = load_chosen(ctx).config
    if not yes:
        with _reader(ctx) as reader:
            row = reader.find_room(name)
        warning = (
            f"This deletes {name} with its {row.members} members and {count_messages(row)} messages for good"
        )
        confirm_by_name(name, action=f"delete {name}", warning=warning)
    _change(config, admin.DeleteRoom(name))
    report(f"deleted {name}; the daemon removes its messages in the background")


@room.command(cls=Command, short_help="Export a room.", examples=("room export dev -o dev.jsonl",))
@_name_argument
@output_option
@config_options()
@click.pass_context
def export(ctx: click.Context, name: str, *, output: Path | None) -> None:
    """Export a room as JSON Lines: its people, its moderation log, its messages."""
    with damage_as_failure(ctx) as on_damage:
        with _reader(ctx, on_damage) as reader:
            row = reader.find_room(name)
            with opened_output(output) as file:
                for line in export_room_lines(reader, row):
                    file.write(line)
        if output is not None:
            report(f"exported {name} to {output}")


def _change(config: Config, request: admin.RoomRequest) -> None:
    reply = admin.call(config, request)
    if not isinstance(reply, admin.RoomChanged):
        raise QscpdError(f"unexpected reply {type(reply).__name__} from the daemon (different version?)")


@contextlib.contextmanager
def _reader(ctx: click.Context, on_damage: OnDamage | None = None) -> Iterator[StoreReader]:
    """Open the store for reading; it needs no lock and no work of the daemon."""
    url = store_url(load_chosen(ctx).config.store.path)
    with contextlib.closing(open_reader(url, on_damage=on_damage)) as reader, reader.snapshot():
        yield reader


COMMANDS: Final = {"room": room}
