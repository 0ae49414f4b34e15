"""Events that a front end shows, as plain values without words."""

import dataclasses
import enum
from typing import Final

from qscp.frames import LogEntry, Member, Reaction, Room, Status, UserPresence
from qscp_client.core.connection_state import Connection
from qscp_client.core.outbox import EntryKind, Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something to show."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """Last frame of a connection that the server ended."""

    code: str
    message: str
    reconnect: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class RoomLine:
    """A room that you are a member of, in a list."""

    name: str
    unread: int = 0
    mentions: int = 0
    """Those of the unread messages that mention you."""


@dataclasses.dataclass(frozen=True, slots=True)
class Welcome(Event):
    """You are logged in."""

    me: str


@dataclasses.dataclass(frozen=True, slots=True)
class PickerOpened(Event):
    """A typed line is the name of a chat to open."""

    people: tuple[UserPresence, ...]
    unread: tuple[tuple[str, int], ...] = ()
    """Users with unread messages for you, and their number."""
    rooms: tuple[RoomLine, ...] = ()
    """The rooms that you are a member of."""
    invitations: tuple[str, ...] = ()
    """Rooms that you are invited to."""


@dataclasses.dataclass(frozen=True, slots=True)
class WhoAsked(Event):
    """`/who`: who is online, and what is unread."""

    people: tuple[UserPresence, ...]
    unread: tuple[tuple[str, int], ...] = ()
    """Users with unread messages for you, and their number."""
    rooms: tuple[RoomLine, ...] = ()
    """The rooms that you are a member of."""
    invitations: tuple[str, ...] = ()
    """Rooms that you are invited to."""


@dataclasses.dataclass(frozen=True, slots=True)
class HelpAsked(Event):
    """`/help`."""


@dataclasses.dataclass(frozen=True, slots=True)
class ChatOpened(Event):
    """A typed line is a message to this user."""

    name: str
    status: Status = "online"
    text: str = ""
    """Their away text."""
    known: bool = True
    """Whether the user is known to exist."""
    deleted: bool = False
    """Whether the account is deleted: the chat can be read only."""
    blocked: bool = False
    """Whether you block the user: the chat can be read only."""


@dataclasses.dataclass(frozen=True, slots=True)
class RoomOpened(Event):
    """A typed line is a message in this room."""

    name: str
    room: Room | None = None
    """The room; None if the server did not describe it yet."""
    now_ms: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class PresenceChanged(Event):
    """A user came online, went offline, or changed their status."""

    person: UserPresence
    was_online: bool
    is_partner: bool
    """Whether it is the user in the open chat."""


class Place(enum.Enum):
    """Chat that was open when a message came."""

    THIS_CHAT = enum.auto()
    OTHER_CHAT = enum.auto()
    PICKER = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """A message that another one refers to."""

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
    """The parts of a message that most do not have."""

    room: str = ""
    """The room that it was written in; empty between two users."""
    number: int = 0
    """Its number; 0 if it is shown without one."""
    reply: Reference | None = None
    """The message that it answers."""
    mentions_me: bool = False
    edited: bool = False
    reactions: tuple[Reaction, ...] = ()


_PLAIN: Final = Details()


@dataclasses.dataclass(frozen=True, slots=True)
class MessageReceived(Event):
    """A message of another user."""

    sender: str
    body: str
    time_ms: int
    """The server's clock, milliseconds since 1970 in UTC."""
    place: Place
    """Which chat was open when it came."""
    is_first: bool
    """Whether it is the first one from outside the open chat since its own chat was last opened."""
    dated: bool = False
    """Whether it might be of another day."""
    erased: bool = False
    """Whether its text was deleted."""
    details: Details = _PLAIN


class LineState(enum.Enum):
    """Delivery state of one of your own messages."""

    PENDING = enum.auto()
    STORED = enum.auto()
    DELIVERED = enum.auto()
    READ = enum.auto()
    FAILED = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class MessageSent(Event):
    """Your own message is pending; `OwnMessage`, `Amended` or `MessageFailed` follows."""

    id: str
    to: str
    body: str
    kind: EntryKind = EntryKind.CHAT
    target: int = 0
    """As of `MessageFailed`."""


@dataclasses.dataclass(frozen=True, slots=True)
class OwnMessage(Event):
    """Your own message has its place in the conversation."""

    id: str
    to: str
    body: str
    time_ms: int
    state: LineState
    here: bool
    """Whether it was pending in this client until now; else it is from another device."""
    place: Place
    dated: bool = False
    erased: bool = False
    details: Details = _PLAIN
    seq: int = 0
    """Its seq, by which an `Amended` refers to it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Amended(Event):
    """A message was edited or redacted, or got or lost a reaction."""

    id: str
    to: str
    """The other user, or the room."""
    sender: str
    kind: EntryKind
    reference: Reference
    body: str
    """The new text, or the reaction."""
    time_ms: int
    place: Place
    here: bool = False
    """Whether it is your own, and was pending in this client until now."""
    dated: bool = False
    erased: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class MessagesFolded(Event):
    """Messages of blocked users in a room that follow each other."""

    room: str
    senders: tuple[str, ...]
    count: int
    place: Place
    """Which chat was open when they came."""
    more: bool = False
    """Whether a line for earlier ones stands right before."""


@dataclasses.dataclass(frozen=True, slots=True)
class BlocksListed(Event):
    """`/blocks`: the users whom you block."""

    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class RoomsListed(Event):
    """`/rooms`: a page of the rooms that you can see."""

    rooms: tuple[Room, ...]
    is_first: bool
    is_last: bool


@dataclasses.dataclass(frozen=True, slots=True)
class MembersListed(Event):
    """`/members`: a page of the members of a room."""

    room: str
    members: tuple[Member, ...]
    now_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class RoomLogListed(Event):
    """`/log`: the moderation log of a room, the oldest entry first."""

    room: str
    entries: tuple[LogEntry, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Delivered(Event):
    """Own messages of this run reached a device of the recipient, or were read."""

    to: str
    messages: tuple[tuple[str, str], ...]
    """Ids and texts, in order."""
    state: LineState
    """DELIVERED, or READ."""
    is_partner: bool


@dataclasses.dataclass(frozen=True, slots=True)
class MessageFailed(Event):
    """Your own message was not sent, or not acknowledged."""

    to: str
    body: str
    failure: Failure
    id: str = ""
    """Empty for one that was never sent."""
    again: bool = False
    """Whether it waits for `/retry` or `/drop`."""
    kind: EntryKind = EntryKind.CHAT
    target: int = 0
    """The number of the message that an edit, redaction or reaction is about."""


@dataclasses.dataclass(frozen=True, slots=True)
class MessagesDiscarded(Event):
    """You discarded own messages; their ids."""

    ids: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A message that a search found."""

    name: str
    sender: str
    body: str
    time_ms: int
    folded: bool = False
    """Whether it is of a blocked user, in a room: its text is not shown."""


@dataclasses.dataclass(frozen=True, slots=True)
class SearchDone(Event):
    """Matches of a search, the oldest first."""

    query: str
    found: tuple[Found, ...]
    more: bool
    complete: bool


@dataclasses.dataclass(frozen=True, slots=True)
class StatusLine:
    """One of your own recent messages, with its state."""

    to: str
    body: str
    state: LineState
    failure: Failure | None = None
    kind: EntryKind = EntryKind.CHAT
    target: int = 0
    """As of `MessageFailed`."""
    erased: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class StatusAsked(Event):
    """`/status`: your recent messages, and the connection."""

    lines: tuple[StatusLine, ...]
    connection: Connection


@dataclasses.dataclass(frozen=True, slots=True)
class MembersChanged(Event):
    """Members of the open room joined or left."""

    room: str
    joined: tuple[str, ...]
    left: tuple[str, ...]
    count: int
    """Members by now."""
    before: int | None = None
    """Members before, if that is known."""
    others: int = 0
    """Further changes that the server did not name."""
