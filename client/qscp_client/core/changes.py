"""What a device keeps on disk, and how it changes, as plain values."""

import dataclasses

from qscp_client.core.outbox import Entry

__all__ = [
    "Added",
    "Change",
    "Failed",
    "Forgotten",
    "Moved",
    "Removed",
    "Renewed",
    "Reported",
    "Saved",
    "SavedPosition",
]


@dataclasses.dataclass(frozen=True, slots=True)
class SavedPosition:
    """How far a conversation was applied."""

    conversation: str
    name: str
    """The other one's name."""
    seq: int
    reported: int = 0
    """What was told to the server by `received`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Saved:
    """Everything that a device keeps."""

    epoch: str = ""
    account: str = ""
    positions: tuple[SavedPosition, ...] = ()
    outbox: tuple[Entry, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """Something to save."""


@dataclasses.dataclass(frozen=True, slots=True)
class Added(Change):
    """A message was typed. To be saved before it is shown and sent."""

    entry: Entry


@dataclasses.dataclass(frozen=True, slots=True)
class Failed(Change):
    """A message failed, and why."""

    id: str
    failure: str


@dataclasses.dataclass(frozen=True, slots=True)
class Removed(Change):
    """A message is stored, or was given up."""

    id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Moved(Change):
    """A position changed. To be saved after what it is about was shown."""

    conversation: str
    name: str
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class Reported(Change):
    """A position was told to the server."""

    conversation: str
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class Forgotten(Change):
    """You are not in a room any more: its position is of no use."""

    conversation: str


@dataclasses.dataclass(frozen=True, slots=True)
class Renewed(Change):
    """The server has another history, or the name another account: all positions are forgotten."""

    epoch: str
    account: str
