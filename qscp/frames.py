"""The frames of QSCP/1, one class each; `docs/protocol.md` says what they mean.

Frames that a client sends refuse unknown fields (*strict server*), frames that a
server sends ignore them (*lenient client*); `auth` alone is lenient on both sides,
because the version is not agreed before it.

`str(frame)` is safe to log: it has no password, no message text and no long values.
`repr(frame)` has all values but passwords and message text, because it ends up in tracebacks.
"""

from typing import Annotated, ClassVar, Literal

import msgspec

__all__ = [
    "Auth",
    "AuthAck",
    "AuthNack",
    "Chat",
    "ChatAck",
    "ChatNack",
    "ClientBye",
    "ClientFrame",
    "ClientPing",
    "ClientPong",
    "ClientRead",
    "ConversationInfo",
    "Conversations",
    "ConversationsRequest",
    "Count",
    "Delivered",
    "Error",
    "Frame",
    "Gap",
    "GapReason",
    "History",
    "HistoryRequest",
    "Limits",
    "Match",
    "Message",
    "OnlineUsers",
    "Origin",
    "Position",
    "PresenceAck",
    "PresenceChanges",
    "Received",
    "Resume",
    "Resumed",
    "Retention",
    "SearchRequest",
    "SearchResults",
    "Seconds",
    "SendChat",
    "ServerBye",
    "ServerFrame",
    "ServerPing",
    "ServerPong",
    "ServerRead",
    "SetPresence",
    "Skip",
    "Status",
    "UserPresence",
]

Status = Literal["online", "away", "offline"]
"""Presence of a person: the union over all of their sessions."""


Origin = Literal["live", "replay"]
"""Whether a message was stored just now, or is told again because this device missed it."""

GapReason = Literal["pruned", "older", "ahead"]
"""Why messages are not told: gone for good; left to `history`; or never there (a restored store)."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""An integer that every JSON library can hold (RFC 8259, section 6)."""

Seconds = Annotated[float, msgspec.Meta(ge=0)]

PageSize = Annotated[int, msgspec.Meta(ge=1, le=200)]
"""How many things a page may have at most; the line limit may make it shorter."""

Text = Annotated[str, msgspec.Meta(max_length=200)]
"""A short text of a client's: a cursor, a search."""


class Frame(msgspec.Struct, tag_field="type", omit_defaults=True, gc=False):
    """One line on the wire."""

    _shown: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that may be logged."""
    _secret: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that `repr` leaves out."""

    @property
    def type(self) -> str:
        """The frame's `type` on the wire."""
        return str(self.__struct_config__.tag)

    def __str__(self) -> str:
        """Type and the fields that may be logged, each cut to 40 characters."""
        parts = [f"{name}={str(getattr(self, name))[:40]!r}" for name in self._shown]
        return " ".join([self.type, *parts])

    def __repr__(self) -> str:
        """All fields, with `...` for those that nobody but the receiver may read."""
        values = (
            f"{name}={'...' if name in self._secret else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({', '.join(values)})"


class ClientFrame(Frame, forbid_unknown_fields=True):
    """A frame that a client sends."""


class ServerFrame(Frame):
    """A frame that a server sends."""


# --- what a client sends


class Auth(ClientFrame, tag="auth", forbid_unknown_fields=False, kw_only=True):
    """Log in. Nothing else may be sent before it is answered by `auth_ack`."""

    _shown = ("user", "client")
    _secret = frozenset({"password"})
    user: str
    password: str
    device: str = ""
    """128 bits that this installation of the client made once, as 32 lower-case hexadecimal digits; empty
    for a device that keeps nothing. Another session of the same device is ended by this one."""
    client: str = ""
    """Name and version of the client program, for the session log."""
    protocol: tuple[Count, Count] = (1, 1)
    """Lowest and highest version that the client speaks."""
    features: list[str] = []
    """Optional parts of the protocol that the client knows."""


class SetPresence(ClientFrame, tag="presence"):
    """Set this session's presence; answered by `presence_ack`."""

    _shown = ("status",)
    status: Status
    text: str = ""


class SendChat(ClientFrame, tag="chat"):
    """Send a message; answered by `chat_ack` once it is on disk, or by `chat_nack`."""

    _shown = ("to", "id")
    _secret = frozenset({"body"})
    to: str
    body: str
    id: str
    """128 bits made by the client, as 32 lower-case hexadecimal digits; see `qscp.ids`."""


class Position(msgspec.Struct, gc=False):
    """How far a device has applied a conversation."""

    conversation: str
    seq: Count


class Resume(ClientFrame, tag="resume"):
    """Say what this device has, once after `auth_ack`; before it the server sends no message.

    Answered by what is missing (`chat` with origin replay, `gap`), then `resumed`.
    """

    _shown = ("more",)
    positions: Annotated[list[Position], msgspec.Meta(max_length=500)]
    more: bool = False
    """Another `resume` with more positions follows."""


class Received(ClientFrame, tag="received"):
    """This device has applied everything of a conversation up to here, or was told the gap."""

    _shown = ("conversation", "seq")
    conversation: str
    seq: Count


class ClientRead(ClientFrame, tag="read"):
    """The person has seen everything of a conversation up to here."""

    _shown = ("conversation", "seq")
    conversation: str
    seq: Count


class Skip(ClientFrame, tag="skip"):
    """Give a message up that got a `chat_nack`; those behind it may be sent now."""

    _shown = ("id",)
    id: str


class HistoryRequest(ClientFrame, tag="history"):
    """Ask for a page of a conversation: the newest messages before, or the oldest after a seq."""

    _shown = ("conversation", "before", "after")
    conversation: str
    before: Count | None = None
    after: Count | None = None
    limit: PageSize = 50


class ConversationsRequest(ClientFrame, tag="conversations"):
    """Ask for a page of one's conversations."""

    cursor: Text = ""


class SearchRequest(ClientFrame, tag="search"):
    """Look for words in one's own conversations; newest first."""

    _shown = ("conversation",)
    _secret = frozenset({"query"})
    query: Text
    """Words that all must be in the message, in any order; case and accents don't count."""
    conversation: str | None = None
    cursor: Text = ""
    limit: PageSize = 50


class ClientPing(ClientFrame, tag="ping"):
    """Ask for a `pong`."""


class ClientPong(ClientFrame, tag="pong"):
    """Answer a `ping`."""


class ClientBye(ClientFrame, tag="bye"):
    """Leave: the server answers what was sent before, then says `bye` and closes."""


# --- what a server sends


class Limits(msgspec.Struct, gc=False):
    """What the server accepts, in bytes."""

    line: Count
    body: Count


class Retention(msgspec.Struct, gc=False):
    """What the server keeps of each conversation; null for everything."""

    seconds: Count | None
    messages: Count | None


class AuthAck(ServerFrame, tag="auth_ack", kw_only=True):
    """The login succeeded."""

    _shown = ("user", "account", "session")
    user: str
    account: str
    """The account's id: opaque, and never used again for anybody else."""
    session: str
    protocol: Count
    features: list[str]
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


class UserPresence(msgspec.Struct, omit_defaults=True, gc=False):
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


class Chat(ServerFrame, tag="chat", rename={"sender": "from"}):
    """A message for you."""

    _shown = ("conversation", "seq", "id", "sender", "to")
    _secret = frozenset({"body"})
    conversation: str
    seq: Count
    id: str
    sender: str
    to: str
    body: str
    time: Count
    """Milliseconds since 1970-01-01 UTC by the server's clock; for display only."""
    origin: Origin
    erased: bool = False
    """The message was erased; its place remains."""


class ChatAck(ServerFrame, tag="chat_ack"):
    """Your message is on disk."""

    _shown = ("id", "conversation", "seq")
    id: str
    conversation: str
    seq: Count
    time: Count


class ChatNack(ServerFrame, tag="chat_nack"):
    """Your message was not stored."""

    _shown = ("id", "code")
    id: str
    code: str
    message: str


class Resumed(ServerFrame, tag="resumed"):
    """Everything that was missing has been told; from now on messages are live."""


class Gap(ServerFrame, tag="gap", rename={"first": "from", "last": "to"}):
    """These messages will not be told; do not ask for them again."""

    _shown = ("conversation", "first", "last", "reason")
    conversation: str
    first: Count
    last: Count
    reason: GapReason


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


class Message(msgspec.Struct, omit_defaults=True, gc=False, rename={"sender": "from"}):
    """A message in a page of history."""

    seq: Count
    id: str
    sender: str
    body: str
    time: Count
    erased: bool = False


class History(ServerFrame, tag="history"):
    """A page of a conversation, in the order of seq; it may have fewer messages than asked for."""

    _shown = ("conversation", "cursor")
    conversation: str
    messages: list[Message]
    cursor: Count | None = None
    """What to ask for next, as `before` or `after`; null at the end."""
    first_seq: Count = 0
    """The oldest message that there still is; what came before was pruned."""


class ConversationInfo(msgspec.Struct, omit_defaults=True, gc=False):
    """One of your conversations."""

    conversation: str
    name: str
    """The other one's name."""
    kind: Literal["pair"]
    first_seq: Count
    last_seq: Count
    read: Count
    """Your own read position, over all of your devices."""
    delivered: Count
    """What the other one's devices have applied."""
    unread: Count
    """Messages after `read` that are not yours; 1000 means that or more."""


class Conversations(ServerFrame, tag="conversations"):
    """A page of your conversations."""

    conversations: list[ConversationInfo]
    cursor: str | None = None
    """What to ask for next; null at the end."""


class Match(msgspec.Struct, omit_defaults=True, gc=False, rename={"sender": "from"}):
    """A message that a search found."""

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
    """What to ask for next; null at the end."""
    complete: bool = True
    """False while the newest messages are not in the index yet."""


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
    """What the error is about: the `type` of the frame, or the `id` in it."""
