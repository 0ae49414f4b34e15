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
    "Count",
    "Error",
    "Frame",
    "Limits",
    "OnlineUsers",
    "PresenceAck",
    "PresenceChanges",
    "Seconds",
    "SendChat",
    "ServerBye",
    "ServerFrame",
    "ServerPing",
    "ServerPong",
    "SetPresence",
    "Status",
    "UserPresence",
]

Status = Literal["online", "away", "offline"]
"""Presence of a person: the union over all of their sessions."""


Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""An integer that every JSON library can hold (RFC 8259, section 6)."""

Seconds = Annotated[float, msgspec.Meta(ge=0)]


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


class Chat(ServerFrame, tag="chat", kw_only=True, rename={"sender": "from"}):
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
