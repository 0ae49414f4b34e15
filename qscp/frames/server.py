"""Frames that a server sends."""

from typing import Literal

from qscp.frames.base import Count, Origin, Part, Seconds, ServerFrame, Status


class PresenceAck(ServerFrame, tag="presence_ack"):
    """New presence of the session."""

    _shown = ("status", "hidden")
    status: Status
    text: str = ""
    hidden: bool = False
    """Whether others see the user as offline, because another session of theirs asked for that."""


class UserPresence(Part):
    """Presence of one user."""

    user: str
    status: Status
    text: str = ""


class OnlineUsers(ServerFrame, tag="online_users"):
    """A page of the snapshot of online users, without the receiver; sent after `auth_ack`."""

    _shown = ("version", "more")
    version: Count
    """Changes with a higher version are newer than this snapshot."""
    users: list[UserPresence]
    more: bool = False
    """Another page of the same snapshot follows."""


class PresenceChanges(ServerFrame, tag="presence"):
    """Current presence of users whose presence changed."""

    _shown = ("version",)
    version: Count
    users: list[UserPresence]


class Reaction(Part):
    """A reaction on a message, with its number of users."""

    text: str
    count: Count
    mine: bool = False
    """Whether the receiver is one of them."""


class Chat(ServerFrame, tag="chat", rename={"sender": "from"}):
    """A message for you."""

    _shown = ("conversation", "seq", "id", "sender", "to")
    _secret = frozenset({"body"})
    conversation: str
    seq: Count
    id: str
    sender: str
    to: str
    """The room; in a pair, the peer if you wrote it on another device, else you."""
    body: str
    """Current text; empty if erased or redacted."""
    time: Count
    """Milliseconds since 1970-01-01 UTC by the server's clock; for display only."""
    origin: Origin
    erased: bool = False
    """Whether the text was erased; the seq remains."""
    reply_to: Count | None = None
    """Seq of the message that this one replies to."""
    mentions: tuple[str, ...] = ()
    """Mentioned users who were in the conversation."""
    edited: Count | None = None
    """Time of the last edit."""
    reactions: tuple[Reaction, ...] = ()


class Edit(ServerFrame, tag="edit", rename={"sender": "from"}):
    """New text of a message. An edit has a seq of its own, as redactions and reactions do."""

    _shown = ("conversation", "seq", "id", "sender", "target")
    _secret = frozenset({"body"})
    conversation: str
    seq: Count
    id: str
    sender: str
    to: str
    target: Count
    """Seq of the message."""
    body: str
    """Text of the message; in a replay, its current text."""
    time: Count
    origin: Origin
    mentions: tuple[str, ...] = ()
    erased: bool = False
    """Whether the text has been erased since."""


class Redact(ServerFrame, tag="redact", rename={"sender": "from"}):
    """Deletion of a message's text; clients delete it too."""

    _shown = ("conversation", "seq", "id", "sender", "target")
    conversation: str
    seq: Count
    id: str
    sender: str
    """User who deleted it."""
    to: str
    target: Count
    time: Count
    origin: Origin


class React(ServerFrame, tag="react", rename={"sender": "from"}):
    """A user added a reaction to a message, or removed theirs."""

    _shown = ("conversation", "seq", "id", "sender", "target", "removed")
    _secret = frozenset({"text"})
    conversation: str
    seq: Count
    id: str
    sender: str
    to: str
    target: Count
    text: str
    time: Count
    origin: Origin
    removed: bool = False
    count: Count = 0
    """Number of users with this reaction; in a replay, the current one. Clients never count."""


class Typing(ServerFrame, tag="typing"):
    """Users who are typing to you or in one of your rooms; at most once a second for each room."""

    _shown = ("to", "count")
    to: str
    """The room; in a pair, you."""
    users: list[str]
    """Some of them."""
    count: Count
    """Number of all of them."""


class ChatAck(ServerFrame, tag="chat_ack"):
    """Your message, edit, redaction or reaction is on disk."""

    _shown = ("id", "conversation", "seq")
    id: str
    conversation: str
    seq: Count
    time: Count
    count: Count | None = None
    """Of a reaction: number of users with it on the message now."""
    mentions: tuple[str, ...] = ()
    """Of a new message or edit: mentioned users who were in the conversation."""
    repeated: bool = False
    """Whether it was stored before, under the same id."""


class ChatNack(ServerFrame, tag="chat_nack"):
    """Your message, edit, redaction or reaction was not stored."""

    _shown = ("id", "code")
    id: str
    code: str
    message: str
    retry_after: Seconds | None = None
    """Seconds until it would be accepted, if known."""


class Resumed(ServerFrame, tag="resumed"):
    """End of the replay; from now on messages are live."""


class Gap(ServerFrame, tag="gap", rename={"first": "from", "last": "to"}):
    """Messages that will not be sent; do not report them as missing again."""

    _shown = ("conversation", "first", "last", "reason")
    conversation: str
    first: Count
    last: Count
    reason: str
    """One of `GapReason`; a newer server can send others."""


class Throttled(ServerFrame, tag="throttled"):
    """The server reads nothing more from you for a while, because you send faster than you may."""

    _shown = ("reason", "seconds")
    reason: str
    """What there is too much of: `messages`, `bytes`, `requests` or `frames`; there can be others."""
    seconds: Seconds
    """Until it reads on."""


class Delivered(ServerFrame, tag="delivered"):
    """A device of the peer has applied the conversation up to a seq."""

    _shown = ("conversation", "seq")
    conversation: str
    seq: Count


class ServerRead(ServerFrame, tag="read"):
    """Read position of a user: your own, moved by another device, or the peer's."""

    _shown = ("conversation", "user", "seq")
    conversation: str
    user: str
    seq: Count


class Message(Part, rename={"sender": "from"}):
    """A message in a page of history."""

    _secret = frozenset({"body"})
    seq: Count
    id: str
    sender: str
    body: str
    time: Count
    erased: bool = False
    reply_to: Count | None = None
    mentions: tuple[str, ...] = ()
    edited: Count | None = None
    reactions: tuple[Reaction, ...] = ()


class HistoryGap(Part, rename={"first": "from", "last": "to"}):
    """A range among or beside the messages of a page of history that is not shown."""

    first: Count
    last: Count
    reason: str
    """One of `GapReason`; a newer server can send others."""


class History(ServerFrame, tag="history", kw_only=True):
    """A page of a conversation, in the order of seq; it can be shorter than requested.

    Edits, redactions and reactions are not listed: they are already applied to the messages.
    """

    _shown = ("conversation", "first_seq", "cursor")
    conversation: str
    messages: list[Message]
    first_seq: Count
    """Seq of the oldest message that is kept; earlier ones were pruned."""
    last_seq: Count
    """Newest seq when the page was read; the messages are as the events up to it left them."""
    cursor: Count | None = None
    """`before` or `after` of the next page; absent at the end."""
    gaps: tuple[HistoryGap, ...] = ()
    """By seq; what is not shown among or beside the messages."""


class ConversationInfo(Part):
    """One of your conversations."""

    conversation: str
    name: str
    """Name of the peer, or of the room with its `#`."""
    kind: Literal["pair", "room"]
    first_seq: Count
    last_seq: Count
    read: Count
    """Your read position over all devices."""
    delivered: Count
    """Position that the peer's devices have applied."""
    unread: Count
    """Number of others' messages after `read`; 1000 means 1000 or more."""
    mentions: Count = 0
    """Number of unread messages that mention you."""
    deleted: bool = False
    """Whether the peer's account is deleted: nothing can be sent."""


class Conversations(ServerFrame, tag="conversations"):
    """A page of your conversations."""

    conversations: list[ConversationInfo]
    cursor: str | None = None
    """Cursor of the next page; absent at the end."""


class Match(Part, rename={"sender": "from"}):
    """A message found by a search."""

    _secret = frozenset({"body"})
    conversation: str
    name: str
    """Name of the conversation."""
    seq: Count
    sender: str
    body: str
    time: Count


class SearchResults(ServerFrame, tag="search"):
    """A page of search results, newest first."""

    matches: list[Match]
    cursor: str | None = None
    """Cursor of the next page; absent at the end."""
    complete: bool = True
    """False while the index lacks the newest messages."""


class Whois(ServerFrame, tag="whois"):
    """Answer about a user name: whether it is known, and the user's presence."""

    _shown = ("user", "known", "status")
    user: str
    """Name in its stored form; an invalid name as sent, truncated."""
    known: bool
    status: Status | None = None
    """Absent for an unknown name."""
    text: str = ""


class ServerPing(ServerFrame, tag="ping"):
    """Request a `pong`; any other frame answers it too."""


class ServerPong(ServerFrame, tag="pong"):
    """Answer a `ping`."""


class ServerBye(ServerFrame, tag="bye"):
    """End of the session by the server."""

    _shown = ("reason", "reconnect")
    reason: str
    message: str
    reconnect: bool = False
    """Whether the client should reconnect automatically."""


class Error(ServerFrame, tag="error"):
    """Error in a client's frame; without `ref` it ends the connection, with it the session goes on."""

    _shown = ("code", "ref")
    code: str
    message: str
    ref: str | None = None
    """`type` of the refused frame."""
    retry_after: Seconds | None = None
    """Seconds until the same frame makes sense again."""
