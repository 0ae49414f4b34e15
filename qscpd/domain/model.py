"""The rows and outcomes that every store driver and the daemon share."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import msgspec

from qscp.errors import ErrorCode
from qscpd.domain.rooms import Membership, RoomRow


class AccountState(enum.StrEnum):
    """Where an account is in its life."""

    ACTIVE = "active"
    LOCKED = "locked"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Account:
    """One account, without its password."""

    id: int
    """Never used again, also after the account was deleted."""
    name: str
    state: AccountState
    created_ms: int
    """Milliseconds since 1970-01-01 UTC."""


class Credentials(NamedTuple):
    """What a login is checked against."""

    account: Account
    password_hash: str
    """In the form of passlib, `$argon2id$...`."""


class MessageMeta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What few messages have: `NO_META` for all others.

    The names in a file are short, because they are in every such message.
    """

    kind: Literal["", "edit", "redact", "react"] = msgspec.field(default="", name="k")
    """Empty for a message; otherwise something that happens to the message `target`."""
    target: int = msgspec.field(default=0, name="t")
    reply_to: int = msgspec.field(default=0, name="r")
    """The seq of the message that this one answers; 0 for none."""
    mentions: tuple[int, ...] = msgspec.field(default=(), name="m")
    """Account ids of those whom it mentions."""
    removed: bool = msgspec.field(default=False, name="x")
    """Of a reaction: whether it is taken away."""
    count: int = msgspec.field(default=0, name="n")
    """Of a reaction: how many people have it on the message, counting this one."""
    edited_ms: int = msgspec.field(default=0, name="e")
    """When the text was replaced the last time; 0 for never."""
    reactions: dict[str, tuple[int, ...]] = msgspec.field(default_factory=dict, name="a")
    """Reaction -> account ids, in the order they came."""
    digest: bytes = msgspec.field(default=b"", name="d")
    """Of an edit: of its text, which is in the message only, so that it is gone when that is gone."""


NO_META: Final = MessageMeta()
"""A message that is just a message."""


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """A message that is to be stored, or an edit, a redaction or a reaction.

    A Struct, as all that is made once a message: it is made in a third of a named tuple's time,
    and the garbage collector does not look at it.
    """

    sender: int
    """Account id."""
    recipient: int
    """Account id of the other one of the pair; of a room, minus its conversation's id."""
    id: str
    """The client's id of the message."""
    body: str
    """The text; of a redaction the reason for it, of a reaction the reaction."""
    meta: MessageMeta = NO_META


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """Where and when a message was stored."""

    conversation: int
    seq: int
    time_ms: int
    new: bool = True
    """False if it was stored before, under the same id: acknowledge it, but deliver it to nobody."""
    count: int = 0
    """Of a reaction: how many people have it on the message now."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A message that was not stored, and never will be as it is."""

    code: ErrorCode = ErrorCode.ID_CONFLICT
    retry_after_s: float | None = None
    """When it would be taken, if that is known."""


Outcome = StoredMessage | Refused


class PositionKind(enum.StrEnum):
    """The two positions that an account has in a conversation."""

    READ = "read"
    """What the person has seen, over all devices."""
    DELIVERED = "delivered"
    """The highest seq that one of their devices has applied."""


class Mark(NamedTuple):
    """A position that is to be moved; lower ones than before change nothing."""

    account: int
    conversation: int
    kind: PositionKind
    seq: int


class Moved(NamedTuple):
    """A position that did move."""

    mark: Mark
    """With the seq that it moved to: never above the last one of the conversation."""
    peer: int | None
    """Account id of the other one; None in a room."""


class ConversationRow(NamedTuple):
    """A conversation as one of its members sees it."""

    id: int
    peer: int | None
    """Account id of the other one; None in a room."""
    name: str
    """The other one's, or the room's with its `#`."""
    first_seq: int
    """The oldest message that the member may see; `last_seq + 1` when there is none."""
    last_seq: int
    read: int
    delivered: int
    """The other one's `DELIVERED` position; 0 in a room."""


class MessageRow(NamedTuple):
    """A message as it is kept."""

    seq: int
    time_ms: int
    sender: int
    id: str
    body: str | None
    """None when it was erased or redacted; its place remains. Of an edit: the message's text as it is now."""
    meta: MessageMeta = NO_META


class Found(NamedTuple):
    """A message that a search found."""

    conversation: int
    message: MessageRow


class RoomResult(NamedTuple):
    """What a change made of a room."""

    room: RoomRow
    memberships: Mapping[int, Membership]
    """By account id, of those whose membership is another now, as it is now."""


class LogRow(NamedTuple):
    """An entry of a room's log of moderation."""

    id: int
    time_ms: int
    actor: int | None
    """Account id; None for the operator of the server."""
    action: str
    target: int | None
    seq: int | None
    until_ms: int | None
    """`qscpd.domain.rooms.FOREVER_MS` for what does not end by itself; None for what has no end."""
    text: str


class Keep(NamedTuple):
    """How much of each conversation is kept."""

    age_ms: int | None = None
    """None: forever."""
    messages: int | None = None
    """None: all."""
