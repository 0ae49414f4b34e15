"""Frames that a client sends."""

from typing import Annotated

import msgspec

from qscp.frames.base import ClientFrame, Count, PageSize, Part, ShortText, Status
from qscp.limits import POSITIONS_LIMIT


class Auth(ClientFrame, tag="auth", forbid_unknown_fields=False, kw_only=True):
    """Log in; answered by `auth_ack` or `auth_nack`. The client sends nothing else before `auth_ack`."""

    _shown = ("user", "client")
    _secret = frozenset({"password"})
    user: str
    password: str
    device: str = ""
    """128 bits that this installation of the client made once, as 32 lower-case hexadecimal digits; empty
    for a device without state. The login ends another session of the same device."""
    client: str = ""
    """Name and version of the client program, for the session log."""
    protocol: tuple[Count, Count] = (1, 1)
    """Lowest and highest version that the client supports."""
    features: list[str] = msgspec.field(default_factory=list)
    """Optional parts of the protocol that the client supports; see `qscp.features`."""
    status: Status = "online"
    """Presence of the new session, from its first moment on."""
    text: str = ""
    """Reason for `away`."""


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
    """Name of a user, or of a room with its `#`."""
    body: str
    id: str
    """128 bits made by the client, as 32 lower-case hexadecimal digits; see `qscp.ids`."""
    reply_to: Count | None = None
    """Seq of the message in the same conversation that this one replies to."""
    conversation: str | None = None
    """Refuse it if `to` is not the other member of this conversation, or its room."""


class SendEdit(ClientFrame, tag="edit"):
    """Replace the text of one of your messages; answered like `chat`."""

    _shown = ("to", "target", "id")
    _secret = frozenset({"body"})
    to: str
    target: Count
    """Seq of the message."""
    body: str
    id: str
    conversation: str | None = None
    """As in `SendChat`."""


class SendRedaction(ClientFrame, tag="redact"):
    """Delete the text of a message; its seq remains. Answered like `chat`."""

    _shown = ("to", "target", "id")
    _secret = frozenset({"reason"})
    to: str
    target: Count
    id: str
    reason: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    """For the moderation log, if the message is another member's."""
    conversation: str | None = None
    """As in `SendChat`."""


class SendReaction(ClientFrame, tag="react"):
    """Add a reaction to a message, or remove yours; answered like `chat`."""

    _shown = ("to", "target", "id", "remove")
    _secret = frozenset({"text"})
    to: str
    target: Count
    text: str
    """Emoji, or a short word without blanks."""
    id: str
    remove: bool = False
    conversation: str | None = None
    """As in `SendChat`."""


class SetTyping(ClientFrame, tag="typing"):
    """Report that the user is typing; sent at most every 5 s and not answered."""

    _shown = ("to",)
    to: str


class Position(Part, forbid_unknown_fields=True):
    """Position up to which a device has applied a conversation."""

    conversation: str
    seq: Count


class Resume(ClientFrame, tag="resume"):
    """Report the positions of this device, once after `auth_ack`; the server sends no messages before.

    Answered by the missing messages (`chat` with origin `replay`, `gap`), then `resumed`.
    """

    _shown = ("more",)
    positions: Annotated[list[Position], msgspec.Meta(max_length=POSITIONS_LIMIT)]
    more: bool = False
    """Another `resume` with more positions follows."""


class Received(ClientFrame, tag="received"):
    """Report that this device has applied a conversation up to a seq, gaps included."""

    _shown = ("conversation", "seq")
    conversation: str
    seq: Count


class ClientRead(ClientFrame, tag="read"):
    """Report that the user has read a conversation up to a seq."""

    _shown = ("conversation", "seq")
    conversation: str
    seq: Count


class Skip(ClientFrame, tag="skip"):
    """Discard a message that got a `chat_nack`, so that later ones can be sent."""

    _shown = ("id",)
    id: str


class HistoryRequest(ClientFrame, tag="history"):
    """Request a page of a conversation: the newest messages before a seq, or the oldest after one."""

    _shown = ("conversation", "before", "after")
    conversation: str
    before: Count | None = None
    after: Count | None = None
    limit: PageSize = 50


class ConversationsRequest(ClientFrame, tag="conversations"):
    """Request a page of the user's conversations."""

    cursor: ShortText = ""


class SearchRequest(ClientFrame, tag="search"):
    """Search the user's conversations; newest matches first."""

    _shown = ("conversation",)
    _secret = frozenset({"query"})
    query: ShortText
    """Words that a message must contain, in any order; case and accents are ignored."""
    conversation: str | None = None
    cursor: ShortText = ""
    limit: PageSize = 50


class WhoisRequest(ClientFrame, tag="whois"):
    """Request whether a user exists, and their presence."""

    _shown = ("user",)
    user: str


class ClientPing(ClientFrame, tag="ping"):
    """Request a `pong`."""


class ClientPong(ClientFrame, tag="pong"):
    """Answer a `ping`."""


class ClientBye(ClientFrame, tag="bye"):
    """End the session: the server answers earlier frames, then sends `bye` and closes."""
