"""What the engine tells a front end to show, as plain values."""

import dataclasses
import enum

from qscp.frames import UserPresence

__all__ = [
    "ChatOpened",
    "Event",
    "HelpAsked",
    "MessageFailed",
    "MessageReceived",
    "MessageSent",
    "Notice",
    "PickerOpened",
    "Place",
    "PresenceChanged",
    "Problem",
    "Welcome",
    "WhoAsked",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something to show."""


@dataclasses.dataclass(frozen=True, slots=True)
class Welcome(Event):
    """The session begins."""

    me: str


@dataclasses.dataclass(frozen=True, slots=True)
class PickerOpened(Event):
    """The line is for choosing somebody; these are online."""

    people: tuple[UserPresence, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class WhoAsked(Event):
    """`/who`: these are online."""

    people: tuple[UserPresence, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class HelpAsked(Event):
    """`/help`: show what can be typed."""


@dataclasses.dataclass(frozen=True, slots=True)
class ChatOpened(Event):
    """The line is for messages to this person."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class PresenceChanged(Event):
    """Somebody came, left, or changed their status."""

    person: UserPresence
    was_online: bool
    is_partner: bool
    """Whether it is the person in the current chat."""


class Place(enum.Enum):
    """Where you were when a message came."""

    THIS_CHAT = enum.auto()
    OTHER_CHAT = enum.auto()
    PICKER = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class MessageReceived(Event):
    """Somebody wrote."""

    sender: str
    body: str
    time_ms: int
    """The server's clock, milliseconds since 1970 in UTC."""
    place: Place
    """Where you were when it came."""
    is_first: bool
    """Whether it is the first one from outside the current chat since the sender was last chosen."""


@dataclasses.dataclass(frozen=True, slots=True)
class MessageSent(Event):
    """Your own message is on its way; a `MessageFailed` follows if it is not stored."""

    to: str
    body: str


@dataclasses.dataclass(frozen=True, slots=True)
class MessageFailed(Event):
    """Your own message was not delivered."""

    to: str
    body: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Problem(Event):
    """A typed line can't be carried out; nothing was sent."""

    sentence: str


@dataclasses.dataclass(frozen=True, slots=True)
class Notice(Event):
    """A sentence to read."""

    sentence: str
