"""Record of a device, which `tests.support.oracle` checks at the end of a test."""

from typing import Literal

import msgspec

from qscp import frames

__all__ = ["Ack", "Applied", "BrokenPromiseError", "DeviceLog", "Kind", "Period", "Sent"]

Kind = Literal["chat", "edit", "redact", "react"]
"""A message, or an event that changes one."""

Gap = tuple[int, int, str]
"""First and last seq, and the reason."""


class BrokenPromiseError(AssertionError):
    """The server broke a promise of `docs/durability.md`."""


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
        """Return the frame to send."""
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
    """Place of a message, as the server acknowledged it."""

    conversation: str
    seq: int
    time: int


class Applied(msgspec.Struct, frozen=True):
    """Message or event that the device has applied."""

    seq: int
    id: str
    sender: str
    body: str
    """The text, as changed by the events that the device has applied."""
    time: int
    kind: Kind = "chat"
    target: int = 0
    removed: bool = False

    @property
    def lasting(self) -> tuple[object, ...]:
        """The fields that never change, however late they are received."""
        text = self.body if self.kind == "react" else ""
        return self.id, self.sender, self.time, self.kind, self.target, self.removed, text

    def __str__(self) -> str:
        return f"{self.seq}: {self.kind} {self.id} of {self.sender} ({self.body[:30]!r})"


class Period(msgspec.Struct, frozen=True):
    """Past membership of the user in a room, as the device saw it."""

    conversation: str
    start: int
    applied: list[Applied]
    gaps: list[Gap]


class DeviceLog(msgspec.Struct):
    """Everything that a device sent and received."""

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
    """Past memberships of the user."""
    memberships: dict[str, bool] = {}
    """Whether the user is in a room, by its name, according to the last answer."""
    delivered: dict[str, int] = {}
    """Delivered positions of the other users, as the server reported them."""
    received: dict[str, int] = {}
    """Highest positions that the device reported to the server."""
    read: dict[str, int] = {}
    sessions: int = 0
    live: int = 0
    """Number of messages received live."""
    replayed: int = 0
    finished: bool = False
    """Whether the device received everything at the end."""
