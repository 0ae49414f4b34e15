"""Moderation: which actions in a room are recorded, in which words, and which protect people. Pure."""

from typing import Final, NamedTuple

from qscpd.domain.rooms import FOREVER_MS, Membership, RoomChange

_UNLOGGED: Final = frozenset({"join", "leave"})
"""Actions that are not recorded in the moderation log."""

_OF_ROOM: Final = frozenset({"topic", "set", "archive", "unarchive"})
"""Actions on a whole room that its members see."""

_OF_MEMBER: Final = frozenset({"remove", "ban", "unban", "mute", "unmute", "role"})
"""Actions on a user that the members see; an invitation, and its withdrawal, is between the two."""

_REPEATED: Final = frozenset({"ban", "mute"})
"""Actions that are news although the membership is the same: they can have another reason."""

_PROTECTIVE: Final = frozenset({"leave", "remove", "ban", "mute", "archive", "delete"})
"""Actions that get people away from an abuser."""


class LogEntry(NamedTuple):
    """An action to record; the store adds the time and the number."""

    action: str
    actor: int | None
    """Account id; None for the operator of the server."""
    target: int | None = None
    seq: int | None = None
    """Of a redaction: the redacted message."""
    until_ms: int | None = None
    text: str = ""


def log_entry(change: RoomChange, until_ms: int | None = None) -> LogEntry | None:
    """Return the entry about an allowed change; None if such a change is not recorded.

    Args:
        change: The change.
        until_ms: When the mute or ban ends.
    """
    if change.action in _UNLOGGED:
        return None
    return LogEntry(change.action, change.actor, change.target, until_ms=until_ms, text=_describe(change))


def announcement(
    change: RoomChange, before: Membership, after: Membership, *, room_changed: bool
) -> LogEntry | None:
    """Return what all members see of a change, in the words of the log; None if they see nothing.

    Args:
        change: The change.
        before: The target's membership before it.
        after: The target's membership now.
        room_changed: Whether topic, settings or state of the room are others now.
    """
    action = change.action
    if action in _OF_ROOM:
        return log_entry(change) if room_changed else None
    if action not in _OF_MEMBER or (before == after and action not in _REPEATED):
        return None
    if action == "remove" and before.role is None:
        return None
    until_ms = {"ban": after.banned_until_ms, "mute": after.muted_until_ms}.get(action)
    return log_entry(change, None if until_ms == FOREVER_MS else until_ms)


def is_protective(change: RoomChange) -> bool:
    """Return whether a change gets people away from an abuser: such a change has to work on a full disk."""
    return change.action in _PROTECTIVE


def _describe(change: RoomChange) -> str:
    """Return the change's details besides its target, for people who read the log."""
    match change.action:
        case "role":
            return str(change.role)
        case "set" | "create":
            slow = None if change.seconds is None else f"slow {change.seconds} s"
            history = change.history and f"history {change.history}"
            return ", ".join(each for each in (change.kind, history, slow, change.text) if each)
        case _:
            return change.text
