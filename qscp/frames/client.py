"""What a client sends."""

from typing import Annotated

import msgspec

from qscp.frames.base import ClientFrame, Count, PageSize, Part, ShortText, Status
from qscp.limits import POSITIONS_LIMIT


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
    features: list[str] = msgspec.field(default_factory=list)
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
    """A person's name, or a room's with its `#`."""
    body: str
    id: str
    """128 bits made by the client, as 32 lower-case hexadecimal digits; see `qscp.ids`."""
    reply_to: Count | None = None
    """The seq of the message of the same conversation that this one answers."""


class SendEdit(ClientFrame, tag="edit"):
    """Replace the text of a message of yours; answered like `chat`."""

    _shown = ("to", "target", "id")
    _secret = frozenset({"body"})
    to: str
    target: Count
    """The message's seq."""
    body: str
    id: str


class SendRedaction(ClientFrame, tag="redact"):
    """Take the text of a message away, leaving its place; answered like `chat`."""

    _shown = ("to", "target", "id")
    _secret = frozenset({"reason"})
    to: str
    target: Count
    id: str
    reason: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    """For the room's log of moderation, when the message is somebody else's."""


class SendReaction(ClientFrame, tag="react"):
    """Put a reaction on a message, or take yours away; answered like `chat`."""

    _shown = ("to", "target", "id", "remove")
    _secret = frozenset({"text"})
    to: str
    target: Count
    text: str
    """An emoji, or a short word without blanks."""
    id: str
    remove: bool = False


class SetTyping(ClientFrame, tag="typing"):
    """Say that you are writing to somebody or in a room; not answered, and sent every 5 s at most."""

    _shown = ("to",)
    to: str


class Position(Part, forbid_unknown_fields=True):
    """How far a device has applied a conversation."""

    conversation: str
    seq: Count


class Resume(ClientFrame, tag="resume"):
    """Say what this device has, once after `auth_ack`; before it the server sends no message.

    Answered by what is missing (`chat` with origin replay, `gap`), then `resumed`.
    """

    _shown = ("more",)
    positions: Annotated[list[Position], msgspec.Meta(max_length=POSITIONS_LIMIT)]
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

    cursor: ShortText = ""


class SearchRequest(ClientFrame, tag="search"):
    """Look for words in one's own conversations; newest first."""

    _shown = ("conversation",)
    _secret = frozenset({"query"})
    query: ShortText
    """Words that all must be in the message, in any order; case and accents don't count."""
    conversation: str | None = None
    cursor: ShortText = ""
    limit: PageSize = 50


class WhoisRequest(ClientFrame, tag="whois"):
    """Ask whether somebody has a name, and whether they are there."""

    _shown = ("user",)
    user: str


class ClientPing(ClientFrame, tag="ping"):
    """Ask for a `pong`."""


class ClientPong(ClientFrame, tag="pong"):
    """Answer a `ping`."""


class ClientBye(ClientFrame, tag="bye"):
    """Leave: the server answers what was sent before, then says `bye` and closes."""
