"""What the engine tells a front end to show, as plain values."""

import dataclasses
import enum
from typing import Final

from qscp.frames import LogEntry, Member, Reaction, Room, Status, UserPresence
from qscp_client.core.outbox import Entry, EntryKind

__all__ = [
    "Amended",
    "ChatOpened",
    "Delivered",
    "Details",
    "Event",
    "Found",
    "HelpAsked",
    "LineState",
    "MessageFailed",
    "MessageReceived",
    "MessageSent",
    "MessagesGivenUp",
    "Notice",
    "OwnMessage",
    "PickerOpened",
    "Place",
    "Pointer",
    "PresenceChanged",
    "Problem",
    "RoomLine",
    "RoomLogTold",
    "RoomMembersTold",
    "RoomOpened",
    "RoomsTold",
    "SearchDone",
    "StatusAsked",
    "Welcome",
    "WhoAsked",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something to show."""


@dataclasses.dataclass(frozen=True, slots=True)
class RoomLine:
    """A room in the list of those that you are in."""

    name: str
    unread: int = 0
    mentions: int = 0
    """Those of the unread messages that mention you."""


@dataclasses.dataclass(frozen=True, slots=True)
class Welcome(Event):
    """The session begins."""

    me: str


@dataclasses.dataclass(frozen=True, slots=True)
class PickerOpened(Event):
    """The line is for choosing somebody; these are online."""

    people: tuple[UserPresence, ...]
    unread: tuple[tuple[str, int], ...] = ()
    """Who has unread messages for you, and how many."""
    rooms: tuple[RoomLine, ...] = ()
    """The rooms that you are in."""
    invitations: tuple[str, ...] = ()
    """Rooms that you may join."""


@dataclasses.dataclass(frozen=True, slots=True)
class WhoAsked(Event):
    """`/who`: these are online."""

    people: tuple[UserPresence, ...]
    unread: tuple[tuple[str, int], ...] = ()
    """Who has unread messages for you, and how many."""
    rooms: tuple[RoomLine, ...] = ()
    """The rooms that you are in."""
    invitations: tuple[str, ...] = ()
    """Rooms that you may join."""


@dataclasses.dataclass(frozen=True, slots=True)
class HelpAsked(Event):
    """`/help`: show what can be typed."""


@dataclasses.dataclass(frozen=True, slots=True)
class ChatOpened(Event):
    """The line is for messages to this person."""

    name: str
    status: Status = "online"
    text: str = ""
    """Their away text."""
    known: bool = True
    """Whether there is somebody of that name, as far as we know."""


@dataclasses.dataclass(frozen=True, slots=True)
class RoomOpened(Event):
    """The line is for messages in this room."""

    name: str
    room: Room | None = None
    """What is known of it."""
    now_ms: int = 0


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
class Pointer:
    """A message that is pointed at."""

    number: int
    """Its seq."""
    author: str
    """Empty if it is not known here."""
    text: str
    """Empty if it is not known here, or gone."""
    time_ms: int
    """0 if it is not known here."""
    numbered: bool
    """Whether lines of its conversation have numbers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Details:
    """What else there is to say about a message."""

    room: str = ""
    """Where it was written; empty between two people."""
    number: int = 0
    """What to point at it with; 0 if it is shown without."""
    reply: Pointer | None = None
    """What it answers."""
    mentions_me: bool = False
    edited: bool = False
    reactions: tuple[Reaction, ...] = ()


_PLAIN: Final = Details()


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
    dated: bool = False
    """Whether it may be of another day."""
    erased: bool = False
    """Whether its text is gone."""
    details: Details = _PLAIN


class LineState(enum.Enum):
    """How far one of your own lines has come."""

    PENDING = enum.auto()
    STORED = enum.auto()
    DELIVERED = enum.auto()
    READ = enum.auto()
    FAILED = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class MessageSent(Event):
    """Your own message is pending; `OwnMessage` or `MessageFailed` follows."""

    id: str
    to: str
    body: str


@dataclasses.dataclass(frozen=True, slots=True)
class OwnMessage(Event):
    """Your own message has its place in the conversation."""

    id: str
    to: str
    body: str
    time_ms: int
    state: LineState
    here: bool
    """Whether it was written here, and was pending until now; else it is from another device."""
    place: Place
    dated: bool = False
    erased: bool = False
    details: Details = _PLAIN


@dataclasses.dataclass(frozen=True, slots=True)
class Amended(Event):
    """Something happened to a message: an edit, a redaction, a reaction."""

    id: str
    to: str
    """The other one's name, or the room's."""
    sender: str
    kind: EntryKind
    pointer: Pointer
    body: str
    """The new text, or the reaction."""
    time_ms: int
    place: Place
    here: bool = False
    """Whether it is your own, and was pending in this client until now."""
    dated: bool = False
    erased: bool = False

    @property
    def what(self) -> str:
        """In words, as of `Entry.shown`."""
        return Entry(self.id, self.to, self.body, 0, kind=self.kind, target=self.pointer.number).shown


@dataclasses.dataclass(frozen=True, slots=True)
class RoomsTold(Event):
    """`/rooms`: a page of the rooms that there are for you."""

    rooms: tuple[Room, ...]
    is_first: bool
    is_last: bool


@dataclasses.dataclass(frozen=True, slots=True)
class RoomMembersTold(Event):
    """`/members`: a page of who is in a room."""

    room: str
    members: tuple[Member, ...]
    now_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class RoomLogTold(Event):
    """`/log`: what was done in a room, the oldest first."""

    room: str
    entries: tuple[LogEntry, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Delivered(Event):
    """Own messages of this run that were stored before have come to a device of the other one."""

    to: str
    messages: tuple[tuple[str, str], ...]
    """Ids and texts, in order."""
    state: LineState
    """DELIVERED, or READ."""
    is_partner: bool


@dataclasses.dataclass(frozen=True, slots=True)
class MessageFailed(Event):
    """Your own message was not delivered."""

    to: str
    body: str
    reason: str
    id: str = ""
    """Empty for one that was never sent."""
    again: bool = False
    """Whether it waits for `/retry` or `/drop`."""


@dataclasses.dataclass(frozen=True, slots=True)
class MessagesGivenUp(Event):
    """You gave own messages up; their ids."""

    ids: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A message that a search found."""

    name: str
    sender: str
    body: str
    time_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class SearchDone(Event):
    """What a search found, the oldest first."""

    query: str
    found: tuple[Found, ...]
    more: bool
    complete: bool


@dataclasses.dataclass(frozen=True, slots=True)
class StatusAsked(Event):
    """`/status`: your own lines of late, with their states: to, text, state, reason of a failure."""

    lines: tuple[tuple[str, str, LineState, str], ...]
    connection: str
    """What there is to say about the connection."""


@dataclasses.dataclass(frozen=True, slots=True)
class Problem(Event):
    """A typed line can't be carried out; nothing was sent."""

    sentence: str


@dataclasses.dataclass(frozen=True, slots=True)
class Notice(Event):
    """A sentence to read."""

    sentence: str
