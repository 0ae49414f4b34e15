"""Saved state of a device, and the changes to it, as plain values."""

import dataclasses

from qscp_client.core.outbox import Entry


@dataclasses.dataclass(frozen=True, slots=True)
class SavedPosition:
    """Cursors of a conversation that are saved."""

    conversation: str
    name: str
    """The other member's name, or the room's."""
    seq: int
    """The seq up to which it was applied."""
    reported: int = 0
    """The seq sent to the server by `received`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Saved:
    """Everything that a device saves."""

    epoch: str = ""
    account: str = ""
    positions: tuple[SavedPosition, ...] = ()
    outbox: tuple[Entry, ...] = ()
    hidden: bool = False
    """Whether the next login hides you."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A change to save."""


@dataclasses.dataclass(frozen=True, slots=True)
class Added(Change):
    """An entry was added to the outbox. It is saved before it is shown and sent."""

    entry: Entry


@dataclasses.dataclass(frozen=True, slots=True)
class Failed(Change):
    """An entry of the outbox failed; `failure` says why."""

    id: str
    failure: str


@dataclasses.dataclass(frozen=True, slots=True)
class Removed(Change):
    """An entry left the outbox: it is stored, or was discarded."""

    id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Moved(Change):
    """A conversation was applied up to a seq. It is saved after that was shown."""

    conversation: str
    name: str
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class Reported(Change):
    """A position is about to be sent by `received`."""

    conversation: str
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class Forgotten(Change):
    """A room was left: its position is deleted."""

    conversation: str


@dataclasses.dataclass(frozen=True, slots=True)
class Hidden(Change):
    """You appear offline from now on, or no longer."""

    hidden: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Renewed(Change):
    """The server has another history, or the name another account.

    All positions are deleted, and the conversations of entries forgotten.
    """

    epoch: str
    account: str
