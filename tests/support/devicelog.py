"""What a device notes for itself: what it is judged by at the end (`tests.support.oracle`)."""

from typing import Literal

import msgspec

from qscp import frames

__all__ = ["Ack", "Applied", "BrokenPromiseError", "DeviceLog", "Kind", "Period", "Sent"]

Kind = Literal["chat", "edit", "redact", "react"]
"""A message, or what may happen to one."""

Gap = tuple[int, int, str]
"""First and last seq, and the reason."""


class BrokenPromiseError(AssertionError):
    """The server did what it promised not to do."""


class Sent(msgspec.Struct, frozen=True):
    """A message or an event that the device sent, or tried to."""

    id: str
    to: str
    body: str
    """The text; of a reaction the reaction."""
    kind: Kind = "chat"
    target: int = 0
    removed: bool = False

    def frame(self) -> frames.ClientFrame:
        """What goes over the wire."""
        match self.kind:
            case "edit":
                return frames.SendEdit(self.to, self.target, self.body, self.id)
            case "redact":
                return frames.SendRedaction(self.to, self.target, self.id)
            case "react":
                return frames.SendReaction(self.to, self.target, self.body, self.id, self.removed)
        return frames.SendChat(self.to, self.body, self.id)

    def __str__(self) -> str:
        return f"{self.kind} {self.id} to {self.to} ({self.body[:30]!r})"


class Ack(msgspec.Struct, frozen=True):
    """Where the server said that a message is."""

    conversation: str
    seq: int
    time: int


class Applied(msgspec.Struct, frozen=True):
    """A message or an event that the device has taken in."""

    seq: int
    id: str
    sender: str
    body: str
    """Of a message, as the events made it that the device knows."""
    time: int
    kind: Kind = "chat"
    target: int = 0
    removed: bool = False

    @property
    def lasting(self) -> tuple[object, ...]:
        """What never changes, however late one is told."""
        text = self.body if self.kind == "react" else ""
        return self.id, self.sender, self.time, self.kind, self.target, self.removed, text

    def __str__(self) -> str:
        return f"{self.seq}: {self.kind} {self.id} of {self.sender} ({self.body[:30]!r})"


class Period(msgspec.Struct, frozen=True):
    """The time in which the device's person was in a room, when it is over."""

    conversation: str
    start: int
    applied: list[Applied]
    gaps: list[Gap]


class DeviceLog(msgspec.Struct):
    """What a device knows at the end."""

    user: str
    device: str
    sent: list[Sent] = []
    """In the order of the first attempt."""
    acked: dict[str, Ack] = {}
    nacked: dict[str, str] = {}
    """Id and code of messages that were refused and not sent again."""
    retried: set[str] = set()
    """Ids that were sent on more than one connection."""
    applied: dict[str, list[Applied]] = {}
    """By conversation, in the order in which they were applied."""
    start: dict[str, int] = {}
    """The position at which the device began in a conversation."""
    gaps: dict[str, list[Gap]] = {}
    periods: list[Period] = []
    """What it had of rooms that its person left."""
    memberships: dict[str, bool] = {}
    """By a room's name: whether its person is in it, by the last answer, if it has one."""
    delivered: dict[str, int] = {}
    """What the other one's devices have, as far as the server told."""
    received: dict[str, int] = {}
    """The highest position that the device told the server."""
    read: dict[str, int] = {}
    sessions: int = 0
    live: int = 0
    """Messages that came when they were stored."""
    replayed: int = 0
    finished: bool = False
    """Whether the device has taken in all there was at the end."""
