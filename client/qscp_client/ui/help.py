"""Help: what each command is for, in words; `/help` and usage errors are made of it."""

from typing import Final

from qscp_client.core.commands.table import COMMANDS, Group
from qscp_client.text import Kind, Line

HELP: Final = {
    "help": "show this help",
    "who": "list who is online, your rooms, and what is unread",
    "back": "close this chat and return to the list",
    "quit": "quit",
    "away": "show yourself as away",
    "hide": "appear offline to others; what you send is seen",
    "here": "end /away or /hide",
    "search": "find messages that contain all the words",
    "status": "show the delivery state of your recent messages",
    "retry": "send failed messages again: of this chat, or all",
    "drop": "discard failed messages: of this chat, or all",
    "block": "block a user: nothing they send you arrives",
    "unblock": "stop blocking a user",
    "blocks": "list the users that you block",
    "say": "send TEXT as it is, even if it looks like a command",
    "me": "send an action: /me waves",
    "history": "show N older messages",
    "last": "show the last N messages again, with their numbers",
    "show": "show the last N messages of blocked users here",
    "reply": "reply to message N, or to the last one",
    "edit": "replace the text of your message N, or your last one",
    "redact": "delete message N, or your last one",
    "react": "react to message N, or to the last one",
    "unreact": "remove your reaction",
    "rooms": "list your rooms and those you can join",
    "join": "join a room and enter it",
    "leave": "leave a room for good",
    "create": "create a room and enter it",
    "topic": "show or set the topic; - removes it",
    "members": "list the members of the room",
    "invite": "invite a user to the room",
    "remove": "remove a member (they can rejoin)",
    "ban": "ban a user, for 10m, 2h, 7d, or for good",
    "unban": "end a ban",
    "mute": "stop a member from writing, for a time or for good",
    "unmute": "end a mute",
    "role": "set a role: owner, moderator or member",
    "set": "change kind, history or slow mode: /set slow 30s",
    "archive": "make the room read-only",
    "unarchive": "make the room active again",
    "log": "show the last N moderation actions",
}
"""Command -> what it is for."""

_VALUES: Final = {
    "create": "KIND is open, closed or announcement; HISTORY is joining or full.",
    "role": "ROLE is owner, moderator or member.",
    "set": "Try kind open, closed or announcement; history joining or full; slow 30s (up to 1d) or off.",
}
"""Command -> the values that its argument can have."""

_GROUPS: Final = {
    Group.GENERAL: "Anywhere",
    Group.CHAT: "In a chat",
    Group.ROOM: "Rooms",
    Group.MODERATION: "Moderation (all members can see WHY)",
}

_LINE: Final = (
    ("NAME", "chat with a user (@NAME for one called back or quit)"),
    ("#ROOM", "enter a room that you are a member of"),
    ("TEXT", "in a chat: send it"),
    ("//TEXT", "send a message that starts with /"),
    ("back, quit", "same as /back and /quit, as a whole line"),
)

_USAGE: Final = 23
"""Columns of the usage; a longer one has its help in the next line."""


def describe_help() -> list[Line]:
    """Return all that can be typed, with what it is for."""
    shown = [_row(usage, text) for usage, text in _LINE]
    for group in Group:
        shown.append(f"{_GROUPS[group]}:")
        shown += [_row(each.usage, HELP[each.name]) for each in COMMANDS.values() if each.group is group]
    return [Line(Kind.NOTICE, "", line) for row in shown for line in row.split("\n")]


def describe_usage(command: str, limit: int = 0) -> str:
    """Return how a command is typed.

    Args:
        command: Its name.
        limit: The largest N; 0 if it has none.
    """
    usage = f"Usage: {COMMANDS[command].usage}"
    if limit:
        return f"{usage} (N is 1 to {limit})"
    return f"{usage}. {_VALUES[command]}" if command in _VALUES else usage


def _row(usage: str, text: str) -> str:
    separator = "\n" + " " * _USAGE if len(usage) > _USAGE else " " * (_USAGE - len(usage))
    return f"{usage}{separator} {text}"
