"""Rooms: who is in which, and what may be done there. What is written in them is `chat`, as between two."""

from typing import Annotated, Literal

import msgspec

from qscp.frames.base import ClientFrame, Count, Part, ServerFrame, ShortText, Status
from qscp.limits import QUERY_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, RoomRole

RoomAction = Literal[
    "create",
    "topic",
    "set",
    "members",
    "invite",
    "remove",
    "ban",
    "unban",
    "mute",
    "unmute",
    "role",
    "archive",
    "unarchive",
    "log",
]
"""What a `room` frame asks for; `qscp.rooms.ROOM_FIELDS` has the fields of each."""

_Name = Annotated[str, msgspec.Meta(max_length=QUERY_LIMIT)]
"""A name as typed; longer than a name can be, so that what is none gets a better answer than `bad_field`."""

_Text = Annotated[str, msgspec.Meta(max_length=1024)]


class Join(ClientFrame, tag="join"):
    """Become a member of a room; answered by `room_ack`."""

    _shown = ("room",)
    room: _Name


class Leave(ClientFrame, tag="leave"):
    """Be no member any more; answered by `room_ack`."""

    _shown = ("room",)
    room: _Name


class RoomRequest(ClientFrame, tag="room"):
    """Make, change, look at or moderate a room; which fields there are depends on the action."""

    _shown = ("action", "room", "user")
    _secret = frozenset({"text"})
    action: RoomAction
    room: _Name
    user: _Name | None = None
    """Whom it is about."""
    role: RoomRole | None = None
    text: _Text | None = None
    """The topic, or the reason."""
    seconds: Count | None = None
    """How long; of `set`, what each member has to wait between two messages (0: nothing)."""
    kind: RoomKind | None = None
    history: HistoryFrom | None = None
    cursor: ShortText | None = None


class RoomsRequest(ClientFrame, tag="rooms"):
    """Ask for a page of the rooms that one is in, was invited to, or may join."""

    cursor: ShortText = ""


class Room(Part):
    """A room, as the one sees it who is told of it."""

    name: str
    """With its `#`."""
    conversation: str
    kind: RoomKind
    history: HistoryFrom
    members: Count
    topic: str = ""
    slow: Count = 0
    """Seconds that each member has to wait between two messages; owners and moderators don't."""
    archived: bool = False
    """Nobody may write or join any more."""
    role: RoomRole | None = None
    """What you are in it; absent if you are no member."""
    invited: bool = False
    muted: Count = 0
    """Until when you may not write, in milliseconds since 1970-01-01 UTC; 0 if you may."""


class RoomChanged(ServerFrame, tag="room"):
    """A room of yours is now this: you came in, have another role, were muted, or the room changed."""

    _shown = ("by",)
    room: Room
    first_seq: Count
    """The first message that you may see."""
    last_seq: Count
    """The last message at this moment; what follows will come as `chat`."""
    by: str = ""
    """Who did it; empty for the operator of the server."""


class RoomLeft(ServerFrame, tag="room_left"):
    """You are no member of a room any more, or no longer invited."""

    _shown = ("conversation", "name", "reason", "by")
    _secret = frozenset({"text"})
    conversation: str
    name: str
    reason: str
    """`left`, `removed`, `banned` or `deleted`, or another one of a newer server."""
    by: str = ""
    """Who did it; empty if you did, or the operator of the server."""
    text: str = ""
    """What they gave as a reason."""
    until: Count | None = None
    """When the ban ends, in milliseconds since 1970-01-01 UTC; absent if it does not end by itself."""


class RoomAck(ServerFrame, tag="room_ack"):
    """What you asked for with `join`, `leave` or `room` is done, and on disk."""

    _shown = ("ref", "action", "room")
    ref: str
    """The `type` of the frame that it answers."""
    room: str
    """The room's name, as others see it."""
    action: str = ""
    """Of a `room` frame."""


class Rooms(ServerFrame, tag="rooms"):
    """A page of rooms, by name."""

    rooms: list[Room]
    cursor: str | None = None
    """What to ask for next; absent at the end."""


class Member(Part):
    """Somebody in a room."""

    user: str
    role: RoomRole
    status: Status = "offline"
    muted: Count = 0
    """Until when they may not write, in milliseconds since 1970-01-01 UTC; 0 if they may."""


class RoomMembers(ServerFrame, tag="room_members"):
    """A page of a room's members, by name."""

    _shown = ("room",)
    room: str
    members: list[Member]
    cursor: str | None = None


class MemberChange(Part):
    """Somebody who came, went or has another role."""

    user: str
    role: RoomRole | None = None
    """What they are now; absent if they are no member any more."""


class MembersChanged(ServerFrame, tag="members"):
    """Who came and went in a room of yours; at most one such frame a second for each room."""

    _shown = ("conversation", "count")
    conversation: str
    count: Count
    """Members now."""
    changed: list[MemberChange]
    """The newest of each person, of some of them."""
    others: Count = 0
    """How many more there are whose change is not listed; ask for `members`."""


class Invited(ServerFrame, tag="invited"):
    """You may join a room; told when it happens, and again after each `resumed` until you have joined."""

    _shown = ("by",)
    room: Room
    by: str = ""


class LogEntry(Part):
    """Something that was done in a room by somebody who may."""

    _secret = frozenset({"text"})
    time: Count
    by: str
    """Who did it; empty for the operator of the server."""
    action: str
    """As in `room` frames, or `redact`."""
    user: str = ""
    """To whom, or to whose message."""
    seq: Count | None = None
    """Of the message."""
    until: Count | None = None
    """When it ends, in milliseconds since 1970-01-01 UTC; absent if it does not end by itself."""
    text: str = ""
    """The reason, or what the new topic, role or setting is."""


class RoomLog(ServerFrame, tag="room_log"):
    """A page of a room's log of moderation, newest first."""

    _shown = ("room",)
    _secret = frozenset({"entries"})
    room: str
    entries: list[LogEntry]
    cursor: str | None = None
