"""What a server sends."""

from typing import Literal

from qscp.frames.base import Count, Origin, Part, Seconds, ServerFrame, Status


class Limits(Part):
    """What the server accepts, in bytes."""

    line: Count
    body: Count


class Retention(Part):
    """What the server keeps of each conversation; without a limit, everything."""

    seconds: Count | None = None
    """Messages that are older go."""
    messages: Count | None = None
    """Only this many stay, the newest ones."""


class AuthAck(ServerFrame, tag="auth_ack", kw_only=True):
    """The login succeeded."""

    _shown = ("user", "account", "session")
    user: str
    account: str
    """The account's id: opaque, and never used again for anybody else."""
    session: str
    protocol: Count
    features: list[str]
    """The optional parts that the server knows; those that the client named too are on."""
    limits: Limits
    retention: Retention
    epoch: str
    """Another one than last time means that the store was restored: forget all positions."""


class AuthNack(ServerFrame, tag="auth_nack"):
    """The login failed; another `auth` may follow."""

    _shown = ("code",)
    code: str
    message: str
    retry_after: Seconds | None = None
    """Seconds to wait before the next attempt."""


class PresenceAck(ServerFrame, tag="presence_ack"):
    """The session's presence is now this."""

    _shown = ("status",)
    status: Status
    text: str = ""


class UserPresence(Part):
    """One person's presence."""

    user: str
    status: Status
    text: str = ""


class OnlineUsers(ServerFrame, tag="online_users"):
    """A page of the snapshot of who is online, without yourself; sent after `auth_ack`."""

    _shown = ("version", "more")
    version: Count
    """Changes with a higher version come after this snapshot."""
    users: list[UserPresence]
    more: bool = False
    """Another page of the same snapshot follows."""


class PresenceChanges(ServerFrame, tag="presence"):
    """The newest presence of everybody whose presence changed."""

    _shown = ("version",)
    version: Count
    users: list[UserPresence]


class Reaction(Part):
    """A reaction on a message, and how many people put it there."""

    text: str
    count: Count
    mine: bool = False
    """Whether you are one of them."""


class Chat(ServerFrame, tag="chat", rename={"sender": "from"}):
    """A message for you."""

    _shown = ("conversation", "seq", "id", "sender", "to")
    _secret = frozenset({"body"})
    conversation: str
    seq: Count
    id: str
    sender: str
    to: str
    """The room; of a pair, the other one if you wrote it on another device, else you."""
    body: str
    """As it is now; empty if it was erased or redacted."""
    time: Count
    """Milliseconds since 1970-01-01 UTC by the server's clock; for display only."""
    origin: Origin
    erased: bool = False
    """The text is gone; the message's place remains."""
    reply_to: Count | None = None
    """The seq of the message that this one answers."""
    mentions: tuple[str, ...] = ()
    """Whom it mentions, of those who were in the conversation."""
    edited: Count | None = None
    """When its text was replaced, if it was."""
    reactions: tuple[Reaction, ...] = ()


class Edit(ServerFrame, tag="edit", rename={"sender": "from"}):
    """A message has another text now. It has a seq of its own, as everything that happens to a message."""

    _shown = ("conversation", "seq", "id", "sender", "target")
    _secret = frozenset({"body"})
    conversation: str
    seq: Count
    id: str
    sender: str
    to: str
    target: Count
    """The seq of the message."""
    body: str
    """Its text; told again later, the text that it has by then."""
    time: Count
    origin: Origin
    mentions: tuple[str, ...] = ()
    erased: bool = False
    """The text is gone by now."""


class Redact(ServerFrame, tag="redact", rename={"sender": "from"}):
    """The text of a message is gone: forget it, too."""

    _shown = ("conversation", "seq", "id", "sender", "target")
    conversation: str
    seq: Count
    id: str
    sender: str
    """Who took it away."""
    to: str
    target: Count
    time: Count
    origin: Origin


class React(ServerFrame, tag="react", rename={"sender": "from"}):
    """Somebody put a reaction on a message, or took theirs away."""

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
    """How many people have it on the message now; told again later, by then. Clients never count."""


class Typing(ServerFrame, tag="typing"):
    """Who is writing to you, or in a room of yours; at most once a second for each room."""

    _shown = ("to", "count")
    to: str
    """The room; of a pair, you."""
    users: list[str]
    """Some of them."""
    count: Count
    """How many they are."""


class ChatAck(ServerFrame, tag="chat_ack"):
    """Your message, edit, redaction or reaction is on disk."""

    _shown = ("id", "conversation", "seq")
    id: str
    conversation: str
    seq: Count
    time: Count


class ChatNack(ServerFrame, tag="chat_nack"):
    """Your message, edit, redaction or reaction was not stored."""

    _shown = ("id", "code")
    id: str
    code: str
    message: str
    retry_after: Seconds | None = None
    """Seconds until it would be taken, if that is known."""


class Resumed(ServerFrame, tag="resumed"):
    """Everything that was missing has been told; from now on messages are live."""


class Gap(ServerFrame, tag="gap", rename={"first": "from", "last": "to"}):
    """These messages will not be told; do not ask for them again."""

    _shown = ("conversation", "first", "last", "reason")
    conversation: str
    first: Count
    last: Count
    reason: str
    """One of `GapReason`, or of a newer server's."""


class Delivered(ServerFrame, tag="delivered"):
    """A device of the other one has applied everything up to here."""

    _shown = ("conversation", "seq")
    conversation: str
    seq: Count


class ServerRead(ServerFrame, tag="read"):
    """Somebody's read position: your own, moved by another device, or the other one's."""

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


class History(ServerFrame, tag="history", kw_only=True):
    """A page of a conversation, in the order of seq; it may have fewer messages than asked for.

    Seqs of edits, redactions and reactions are left out: the messages are as those left them.
    """

    _shown = ("conversation", "first_seq", "cursor")
    conversation: str
    messages: list[Message]
    first_seq: Count
    """The oldest message that there still is; what came before was pruned."""
    cursor: Count | None = None
    """What to ask for next, as `before` or `after`; absent at the end."""


class ConversationInfo(Part):
    """One of your conversations."""

    conversation: str
    name: str
    """The other one's name, or the room's with its `#`."""
    kind: Literal["pair", "room"]
    first_seq: Count
    last_seq: Count
    read: Count
    """Your own read position, over all of your devices."""
    delivered: Count
    """What the other one's devices have applied."""
    unread: Count
    """Messages after `read` that are not yours; 1000 means that or more."""
    mentions: Count = 0
    """Those of them that mention you."""


class Conversations(ServerFrame, tag="conversations"):
    """A page of your conversations."""

    conversations: list[ConversationInfo]
    cursor: str | None = None
    """What to ask for next; absent at the end."""


class Match(Part, rename={"sender": "from"}):
    """A message that a search found."""

    _secret = frozenset({"body"})
    conversation: str
    name: str
    """The conversation's name."""
    seq: Count
    sender: str
    body: str
    time: Count


class SearchResults(ServerFrame, tag="search"):
    """A page of what a search found, newest first."""

    matches: list[Match]
    cursor: str | None = None
    """What to ask for next; absent at the end."""
    complete: bool = True
    """False while the newest messages are not in the index yet."""


class Whois(ServerFrame, tag="whois"):
    """Whether somebody has a name, and their presence if so."""

    _shown = ("user", "known", "status")
    user: str
    """The name as others see it; of what is no name, the beginning as it was sent."""
    known: bool
    status: Status | None = None
    """Absent if nobody has the name."""
    text: str = ""


class ServerPing(ServerFrame, tag="ping"):
    """Ask for a `pong`, or for anything else."""


class ServerPong(ServerFrame, tag="pong"):
    """Answer a `ping`."""


class ServerBye(ServerFrame, tag="bye"):
    """The server ends the session."""

    _shown = ("reason", "reconnect")
    reason: str
    message: str
    reconnect: bool = False
    """Whether the client should connect again by itself."""


class Error(ServerFrame, tag="error"):
    """Something the client sent was wrong: without `ref` the connection ends, with it the session goes on."""

    _shown = ("code", "ref")
    code: str
    message: str
    ref: str | None = None
    """What the error is about: the `type` of the frame."""
