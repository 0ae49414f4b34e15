"""Frames about rooms and membership. Messages in a room are `chat` frames, as in a pair."""

from typing import Annotated

import msgspec

from qscp.frames.base import ClientFrame, Count, Part, ServerFrame, ShortText, Status
from qscp.limits import QUERY_LIMIT
from qscp.rooms import HistoryFrom, RoomAction, RoomKind, RoomRole

_Name = Annotated[str, msgspec.Meta(max_length=QUERY_LIMIT)]
"""Name as typed; longer than a valid name, so that an invalid one gets a better answer than `bad_field`."""

_Text = Annotated[str, msgspec.Meta(max_length=1024)]


class Join(ClientFrame, tag="join"):
    """Become a member of a room; answered by `room_ack`."""

    _shown = ("room",)
    room: _Name


class Leave(ClientFrame, tag="leave"):
    """End the membership in a room; answered by `room_ack`."""

    _shown = ("room",)
    room: _Name


class RoomRequest(ClientFrame, tag="room"):
    """Create, change, inspect or moderate a room; the action decides which fields are allowed."""

    _shown = ("action", "room", "user")
    _secret = frozenset({"text"})
    action: RoomAction
    room: _Name
    user: _Name | None = None
    """Target of the action."""
    role: RoomRole | None = None
    text: _Text | None = None
    """The topic, or the reason."""
    seconds: Count | None = None
    """Duration of a ban or mute; of `set`, the pause between two messages of a member (0: none)."""
    kind: RoomKind | None = None
    history: HistoryFrom | None = None
    cursor: ShortText | None = None


class RoomsRequest(ClientFrame, tag="rooms"):
    """Request a page of the user's rooms, invitations and open rooms."""

    cursor: ShortText = ""


class Room(Part):
    """A room as the receiver sees it."""

    _secret = frozenset({"muted_text"})
    name: str
    """With its `#`."""
    conversation: str
    kind: RoomKind
    history: HistoryFrom
    members: Count
    topic: str = ""
    slow: Count = 0
    """Seconds between two messages of a member; owners and moderators are exempt."""
    archived: bool = False
    """Read-only: no messages and no new members."""
    role: RoomRole | None = None
    """Role of the receiver; absent for a non-member."""
    invited: bool = False
    muted: Count = 0
    """End of the receiver's mute, in milliseconds since 1970-01-01 UTC; 0 if not muted."""
    muted_by: str = ""
    """User who muted the receiver; empty for the operator of the server, and if it is left out."""
    muted_text: str = ""
    """The reason that they gave."""


class RoomChanged(ServerFrame, tag="room"):
    """New state of a room: you joined, your role or mute changed, or the room itself did."""

    _shown = ("by",)
    room: Room
    first_seq: Count
    """First message that the receiver can see."""
    last_seq: Count
    """Last message at this moment; later ones come as `chat`."""
    by: str = ""
    """User who made the change; empty for the operator of the server."""


class RoomLeft(ServerFrame, tag="room_left"):
    """End of your membership or invitation."""

    _shown = ("conversation", "name", "reason", "by")
    _secret = frozenset({"text"})
    conversation: str
    name: str
    reason: str
    """`left`, `removed`, `banned` or `deleted`; a newer server can send others."""
    by: str = ""
    """User who did it; empty for yourself or the operator of the server."""
    text: str = ""
    """The reason that they gave."""
    until: Count | None = None
    """End of the ban, in milliseconds since 1970-01-01 UTC; absent if it has none."""


class RoomAck(ServerFrame, tag="room_ack"):
    """Your `join`, `leave` or `room` request is done and on disk."""

    _shown = ("ref", "action", "room")
    ref: str
    """`type` of the answered frame."""
    room: str
    """Name of the room, in its stored form."""
    action: str = ""
    """Action of the answered `room` frame."""


class Rooms(ServerFrame, tag="rooms"):
    """A page of rooms, by name."""

    rooms: list[Room]
    cursor: str | None = None
    """Cursor of the next page; absent at the end."""


class Member(Part):
    """A member of a room."""

    user: str
    role: RoomRole
    status: Status = "offline"
    muted: Count = 0
    """End of the mute, in milliseconds since 1970-01-01 UTC; 0 if not muted."""


class RoomMembers(ServerFrame, tag="room_members"):
    """A page of a room's members, by name."""

    _shown = ("room",)
    room: str
    members: list[Member]
    cursor: str | None = None


class MemberChange(Part):
    """A user who joined, left or changed role."""

    user: str
    role: RoomRole | None = None
    """New role; absent for a former member."""


class MembersChanged(ServerFrame, tag="members"):
    """Changes of membership in one of your rooms; at most one frame a second for each room."""

    _shown = ("conversation", "count")
    conversation: str
    count: Count
    """Number of members now."""
    changed: list[MemberChange]
    """Newest change of each listed user."""
    others: Count = 0
    """Number of changed users that are not listed; `members` has them."""


class ModerationAction(Part):
    """A moderation action, as every member of the room sees it."""

    _secret = frozenset({"text"})
    by: str
    """User who did it; empty for the operator of the server."""
    action: str
    """Action of a `room` frame."""
    user: str = ""
    """Target."""
    until: Count | None = None
    """End of it, in milliseconds since 1970-01-01 UTC; absent if it has none."""
    text: str = ""
    """The reason, or the new topic, role or setting."""


class Moderated(ServerFrame, tag="moderated"):
    """Moderation actions in one of your rooms; at most one frame a second for each room."""

    _shown = ("conversation",)
    conversation: str
    actions: list[ModerationAction]
    """In the order in which they were done."""
    others: Count = 0
    """Number of actions that are not listed; `log` has them."""


class Invited(ServerFrame, tag="invited"):
    """Invitation to a room; sent at once, and again after each `resumed` until you join."""

    _shown = ("by",)
    room: Room
    by: str = ""


class LogEntry(Part):
    """A moderation action."""

    _secret = frozenset({"text"})
    time: Count
    by: str
    """User who made the change; empty for the operator of the server."""
    action: str
    """Action of a `room` frame, or `redact`."""
    user: str = ""
    """Target, or sender of the target message."""
    seq: Count | None = None
    """Seq of the target message."""
    until: Count | None = None
    """End of it, in milliseconds since 1970-01-01 UTC; absent if it has none."""
    text: str = ""
    """The reason, or the new topic, role or setting."""


class RoomLog(ServerFrame, tag="room_log"):
    """A page of a room's moderation log, newest first."""

    _shown = ("room",)
    _secret = frozenset({"entries"})
    room: str
    entries: list[LogEntry]
    cursor: str | None = None
