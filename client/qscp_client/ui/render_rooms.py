"""Rooms as lines of text, the same for both front ends."""

from collections.abc import Sequence
from typing import Final

from qscp.frames import LogEntry, Member, Room
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscp_client.core import events
from qscp_client.core.events import RoomLine
from qscp_client.text import Kind, Line, clean, describe_end, local_time, quote

__all__ = [
    "count_unread",
    "describe_members",
    "describe_room_log",
    "describe_room_opened",
    "describe_rooms",
    "list_rooms",
    "name_typists",
]

_NAMED: Final = 3
"""People who are named while they write; of more it is told that there are others."""

_LOGGED: Final = {
    "create": "made the room",
    "topic": "changed the topic",
    "set": "changed the settings",
    "invite": "invited {user}",
    "remove": "removed {user}",
    "ban": "banned {user}",
    "unban": "let {user} in again",
    "mute": "muted {user}",
    "unmute": "let {user} write again",
    "role": "gave {user} another role",
    "archive": "archived the room",
    "unarchive": "let the room be used again",
    "redact": "removed message {seq} of {user}",
}


def count_unread(line: RoomLine) -> str:
    """A room with what is unread in it, and how much of that mentions you."""
    name = clean(line.name)
    if not line.unread:
        return name
    mentions = f", {line.mentions} mention{'' if line.mentions > 1 else 's'} you" if line.mentions else ""
    return f"{name} ({line.unread} new{mentions})"


def list_rooms(rooms: Sequence[RoomLine], invitations: Sequence[str], room: int | None = None) -> list[str]:
    """Name the rooms that one is in, those with something new first, and those that one may join.

    Args:
        rooms: Those that one is in.
        invitations: Those that one may join.
        room: Characters that fit for each of both; None for any number.
    """
    told = []
    if rooms:
        first = sorted(rooms, key=lambda each: (not each.mentions, not each.unread, each.name))
        told.append(f"Rooms: {_fitting([count_unread(each) for each in first], room)}")
    if invitations:
        names = [clean(name) for name in invitations]
        told.append(f"You may join: {_fitting([f'{name} (/join {name})' for name in names], room)}")
    return told


def _fitting(texts: Sequence[str], room: int | None) -> str:
    shown: list[str] = []
    for text in texts:
        if room is not None:
            room -= len(text) + len(", ")
            if shown and room < 0:
                break
        shown.append(text)
    more = f" and {len(texts) - len(shown)} more (/who)" if len(shown) < len(texts) else ""
    return ", ".join(shown) + more


def describe_room_opened(event: events.RoomOpened) -> list[Line]:
    """The room that was entered, and its topic."""
    sentence = f"In {_name_room(event.name, event.room)}. {_who_writes(event.room, event.now_ms)}"
    lines = [Line(Kind.NOTICE, "", f"{sentence}; back leaves it for now.")]
    if event.room is not None and event.room.topic:
        lines.append(Line(Kind.NOTICE, "", f"Topic of {clean(event.name)}: {clean(event.room.topic)}"))
    return lines


def _who_writes(room: Room | None, now_ms: int) -> str:
    """Whether what is typed is sent: what the server would do with it."""
    if room is not None and room.archived:
        return "It can be read, and nothing else"
    if room is not None and room.kind is RoomKind.ANNOUNCEMENT and room.role is RoomRole.MEMBER:
        return "Only owners and moderators write here"
    if room is not None and room.muted > now_ms:
        return f"You are muted {describe_end(room.muted)} and may only read"
    return "Every line you type is sent"


def _name_room(name: str, room: Room | None) -> str:
    if room is None:
        return clean(name)
    parts = [_members(room.members)]
    if room.kind is not RoomKind.OPEN:
        parts.append(room.kind)
    if room.archived:
        parts.append("archived")
    if room.slow:
        parts.append(f"one message in {room.slow} s")
    if room.role not in (None, RoomRole.MEMBER):
        parts.append(f"you are {room.role}")
    return f"{clean(name)} ({', '.join(parts)})"


def _members(count: int) -> str:
    return f"{count} member{'' if count == 1 else 's'}"


def describe_rooms(event: events.RoomsTold) -> list[Line]:
    """A page of the rooms that there are for you."""
    if not event.rooms and event.is_first:
        return [Line(Kind.NOTICE, "", "There are no rooms that you may see. /create #ROOM makes one.")]
    return [Line(Kind.NOTICE, "", _describe_room(room)) for room in event.rooms]


def _describe_room(room: Room) -> str:
    history = "full history" if room.history is HistoryFrom.FULL else "history from joining on"
    state = ", archived" if room.archived else ""
    yours = f"; you are {room.role}" if room.role else "; you are invited" if room.invited else ""
    topic = f": {quote(room.topic)}" if room.topic else ""
    return f"{clean(room.name)} ({room.kind}{state}, {_members(room.members)}, {history}{yours}){topic}"


def describe_members(event: events.RoomMembersTold) -> Line:
    """A page of who is in a room."""
    members = sorted(event.members, key=lambda each: (list(RoomRole).index(each.role), each.user))
    names = ", ".join(_describe_member(member, event.now_ms) for member in members)
    return Line(Kind.NOTICE, "", f"In {clean(event.room)}: {names}")


def _describe_member(member: Member, now_ms: int) -> str:
    parts = []
    if member.role is not RoomRole.MEMBER:
        parts.append(str(member.role))
    if member.status != "online":
        parts.append(member.status)
    if member.muted > now_ms:
        parts.append(f"muted {describe_end(member.muted)}")
    name = clean(member.user)
    return f"{name} ({', '.join(parts)})" if parts else name


def describe_room_log(event: events.RoomLogTold) -> list[Line]:
    """What was done in a room."""
    if not event.entries:
        return [Line(Kind.NOTICE, "", f"Nothing was done in {clean(event.room)} yet.")]
    return [Line(Kind.NOTICE, "", _describe_entry(entry)) for entry in event.entries]


def _describe_entry(entry: LogEntry) -> str:
    who = clean(entry.by) or "the operator"
    pattern = _LOGGED.get(entry.action)
    if pattern is None:
        done = f"{clean(entry.action)} {clean(entry.user)}".rstrip()
    else:
        done = pattern.format(user=clean(entry.user) or "somebody", seq=entry.seq or "")
    until = f" {describe_end(entry.until)}" if entry.until is not None else ""
    text = f": {clean(entry.text)}" if entry.text else ""
    return f"{local_time(entry.time, dated=True)} {who} {done}{until}{text}"


def name_typists(names: Sequence[str], *, are_more: bool) -> str:
    """Who is writing; empty if nobody is.

    Args:
        names: Those whose names are known.
        are_more: Whether there are others.
    """
    shown = [clean(name) for name in names[:_NAMED]]
    if shown and (are_more or len(names) > _NAMED):
        return f"{', '.join(shown)} and others are writing"
    if len(shown) > 1:
        return f"{', '.join(shown[:-1])} and {shown[-1]} are writing"
    return f"{shown[0]} is writing" if shown else ""
