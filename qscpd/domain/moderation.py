"""Moderation: which actions in a room are recorded, in which words, and which protect people. Pure."""

from typing import Final, NamedTuple

from qscpd.domain.rooms import RoomChange

_UNLOGGED: Final = frozenset({"join", "leave"})
"""Actions that are not recorded in the moderation log."""

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
