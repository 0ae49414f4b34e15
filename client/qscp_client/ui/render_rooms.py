"""Rooms as lines of text, the same for both front ends."""

from collections.abc import Sequence
from typing import Final

from qscp.frames import LogEntry, Member, Room
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscp_client.core import events
from qscp_client.core.events import RoomLine
from qscp_client.text import Kind, Line, clean, describe_end, local_time, quote
from qscp_client.ui.render_notices import with_article

_NAMED: Final = 3
"""Users who are named in one line; more are counted."""

_LOGGED: Final = {
    "create": "created the room",
    "topic": "changed the topic",
    "set": "changed the settings",
    "invite": "invited {user}",
    "remove": "removed {user}",
    "ban": "banned {user}",
    "unban": "unbanned {user}",
    "mute": "muted {user}",
    "unmute": "unmuted {user}",
    "role": "changed the role of {user}",
    "archive": "archived the room",
    "unarchive": "made the room active again",
    "redact": "deleted {user}'s message {seq}",
}


def count_unread(line: RoomLine) -> str:
    """Return a room with its unread messages, and how many of them mention you."""
    name = clean(line.name)
    if not line.unread:
        return name
    mentions = f", {line.mentions} mention{'' if line.mentions > 1 else 's'} you" if line.mentions else ""
    return f"{name} ({line.unread} unread{mentions})"


def list_rooms(rooms: Sequence[RoomLine], invitations: Sequence[str], room: int | None = None) -> list[str]:
    """Return your rooms, those with unread messages first, and your invitations.

    Args:
        rooms: The rooms that you are a member of.
        invitations: The rooms that you are invited to.
        room: Characters that fit for each of both; None for any number.
    """
    lists = []
    if rooms:
        first = sorted(rooms, key=lambda each: (not each.mentions, not each.unread, each.name))
        lists.append(f"Rooms: {_fitting([count_unread(each) for each in first], room)}")
    if invitations:
        names = [clean(name) for name in invitations]
        lists.append(f"Invitations: {_fitting([f'{name} (/join {name})' for name in names], room)}")
    return lists


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
    """Return the room that was opened, who can write there, and its topic."""
    sentence = f"{_name_room(event.name, event.room)}. {_who_writes(event.room, event.now_ms)}."
    lines = [Line(Kind.NOTICE, "", f"{sentence} back returns to the list; you stay a member.")]
    if event.room is not None and event.room.topic:
        lines.append(Line(Kind.NOTICE, "", f"Topic of {clean(event.name)}: {clean(event.room.topic)}"))
    return lines


def _who_writes(room: Room | None, now_ms: int) -> str:
    """Return whether what you type is sent, as the server will decide."""
    if room is not None and room.archived:
        return "The room is archived (read-only)"
    if room is not None and room.kind is RoomKind.ANNOUNCEMENT and room.role is RoomRole.MEMBER:
        return "Only owners and moderators can write here"
    if room is not None and room.muted > now_ms:
        muted = f"{clean(room.muted_by)} muted you" if room.muted_by else "You are muted"
        why = f": {clean(room.muted_text).rstrip('.')}" if room.muted_text else ""
        return f"{muted} {describe_end(room.muted)}".rstrip() + why
    return "Everything you type is sent"


def _name_room(name: str, room: Room | None) -> str:
    if room is None:
        return clean(name)
    parts = [_members(room.members)]
    if room.kind is not RoomKind.OPEN:
        parts.append(room.kind)
    if room.archived:
        parts.append("archived")
    if room.slow:
        parts.append(f"slow mode {room.slow} s")
    yours = {RoomRole.OWNER: "; you are the owner", RoomRole.MODERATOR: "; you are a moderator"}
    return f"{clean(name)} ({', '.join(parts)}{yours.get(room.role, '') if room.role else ''})"


def _members(count: int) -> str:
    return f"{count} member{'' if count == 1 else 's'}"


def describe_members_changed(event: events.MembersChanged) -> str:
    """Return who joined and left; of many only the numbers."""
    joined, left, now = len(event.joined), len(event.left), _members(event.count)
    if event.others and event.before is not None:
        # Not all of them are listed: only the balance is known.
        return f"{clean(event.room)}: {event.count - event.before:+d}; now {now}."
    if event.others or joined + left > _NAMED:
        more = f", {event.others} other changes" if event.others else ""
        return f"{clean(event.room)}: {joined} joined, {left} left{more}; now {now}."
    parts = [f"{_names(event.joined)} joined"] if joined else []
    parts += [f"{_names(event.left)} left"] if left else []
    return f"{', '.join(parts)}; {now} in {clean(event.room)} now."


def _names(users: Sequence[str]) -> str:
    return " and ".join(clean(user) for user in users)


def describe_rooms(event: events.RoomsListed) -> list[Line]:
    """Return a page of the rooms that you can see."""
    if not event.rooms and event.is_first:
        return [Line(Kind.NOTICE, "", "No rooms to join. /create #ROOM creates one.")]
    return [Line(Kind.NOTICE, "", _describe_room(room)) for room in event.rooms]


def _describe_room(room: Room) -> str:
    history = "full history" if room.history is HistoryFrom.FULL else "history from joining"
    state = ", archived" if room.archived else ""
    yours = (
        f"; you are {with_article(room.role)}" if room.role else "; you are invited" if room.invited else ""
    )
    topic = f": {quote(room.topic)}" if room.topic else ""
    return f"{clean(room.name)} ({room.kind}{state}, {_members(room.members)}, {history}{yours}){topic}"


def describe_members(event: events.MembersListed) -> Line:
    """Return a page of the members of a room."""
    members = sorted(event.members, key=lambda each: (list(RoomRole).index(each.role), each.user))
    names = ", ".join(_describe_member(member, event.now_ms) for member in members)
    return Line(Kind.NOTICE, "", f"Members of {clean(event.room)}: {names}")


def _describe_member(member: Member, now_ms: int) -> str:
    parts = []
    if member.role is not RoomRole.MEMBER:
        parts.append(str(member.role))
    if member.status != "online":
        parts.append(member.status)
    if member.muted > now_ms:
        parts.append(f"muted {describe_end(member.muted)}".rstrip())
    name = clean(member.user)
    return f"{name} ({', '.join(parts)})" if parts else name


def describe_room_log(event: events.RoomLogListed) -> list[Line]:
    """Return the moderation log of a room."""
    if not event.entries:
        return [Line(Kind.NOTICE, "", f"No moderation actions in {clean(event.room)} yet.")]
    return [Line(Kind.NOTICE, "", _describe_entry(entry)) for entry in event.entries]


def _describe_entry(entry: LogEntry) -> str:
    who = clean(entry.by) or "the operator"
    pattern = _LOGGED.get(entry.action)
    if entry.action == "role" and entry.text in list(RoomRole):
        role = with_article(RoomRole(entry.text))
        return f"{local_time(entry.time, dated=True)} {who} made {clean(entry.user)} {role}"
    if pattern is None:
        done = f"{clean(entry.action)} {clean(entry.user)}".rstrip()
    else:
        done = pattern.format(user=clean(entry.user) or "a deleted user", seq=entry.seq or "")
    end = describe_end(entry.until)
    until = f" {end}" if end else ""
    text = f": {clean(entry.text)}" if entry.text else ""
    return f"{local_time(entry.time, dated=True)} {who} {done}{until}{text}"


def describe_typing(names: Sequence[str], *, has_more: bool) -> str:
    """Return who is typing; empty if nobody is.

    Args:
        names: The users whose names are known.
        has_more: Whether there are others.
    """
    shown = [clean(name) for name in names[:_NAMED]]
    if shown and (has_more or len(names) > _NAMED):
        return f"{', '.join(shown)} and others are typing"
    if len(shown) > 1:
        return f"{', '.join(shown[:-1])} and {shown[-1]} are typing"
    return f"{shown[0]} is typing" if shown else ""
