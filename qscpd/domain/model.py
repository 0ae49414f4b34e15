"""The rows and outcomes that every store driver and the daemon share."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import msgspec

from qscp.errors import ErrorCode, InvalidNameError
from qscp.rooms import normalize_recipient
from qscpd.domain.rooms import Membership, RoomRow
from qscpd.domain.search import Place


class AccountState(enum.StrEnum):
    """State in the life of an account."""

    ACTIVE = "active"
    LOCKED = "locked"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Account:
    """One account, without its password."""

    id: int
    """Never reused, not even after the account was deleted."""
    name: str
    state: AccountState
    created_ms: int
    """Milliseconds since 1970-01-01 UTC."""


class Credentials(NamedTuple):
    """Account and password hash that a login is checked against."""

    account: Account
    password_hash: str
    """In the form of passlib, `$argon2id$...`."""


class MessageMeta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Fields that few messages have; all others have `NO_META`.

    The stored names are short, because they are in every such message.
    """

    kind: Literal["", "edit", "redact", "react"] = msgspec.field(default="", name="k")
    """Empty for a message; otherwise an amendment of the message `target`."""
    target: int = msgspec.field(default=0, name="t")
    reply_to: int = msgspec.field(default=0, name="r")
    """The seq of the message that this one answers; 0 for none."""
    mentions: tuple[int, ...] = msgspec.field(default=(), name="m")
    """Account ids of the mentioned users."""
    removed: bool = msgspec.field(default=False, name="x")
    """Of a reaction: whether it is removed."""
    count: int = msgspec.field(default=0, name="n")
    """Of a reaction: how many users have it on the message, including this one."""
    edited_ms: int = msgspec.field(default=0, name="e")
    """Time of the last edit; 0: never edited."""
    reactions: dict[str, tuple[int, ...]] = msgspec.field(default_factory=dict, name="a")
    """Reaction -> account ids, in the order they came."""
    digest: bytes = msgspec.field(default=b"", name="d")
    """Of an edit: digest of its text. The text is in the message only, so erasing it there is enough."""


NO_META: Final = MessageMeta()
"""Of a plain message."""


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """A message to store, or an amendment: an edit, redaction or reaction.

    A Struct, as everything that exists once per message: it is built in a third of a named tuple's time,
    and the garbage collector ignores it.
    """

    sender: int
    """Account id."""
    recipient: int
    """Account id of the peer; for a room, minus its conversation's id."""
    id: str
    """The message id that the client chose."""
    body: str
    """The text; of a redaction its reason, of a reaction the reaction."""
    meta: MessageMeta = NO_META
    conversation: int = 0
    """The only conversation that it may go to, -1 for none; 0 if the client named none."""


class RefusedMessage(NewMessage, frozen=True, gc=False, kw_only=True):
    """A message that breaks a rule, on its way to the store: its id might have been used before.

    The id decides first. Only a message with a new id gets the code.
    """

    code: ErrorCode
    """The broken rule."""
    to: str
    """The name of the recipient, as it was sent. `recipient` is 0, unless a room has that name now."""
    retry_after_s: float | None = None
    """Seconds until it would be accepted, if known; not remembered."""

    @property
    def name(self) -> str:
        """The name of the recipient in its usual form; empty if it can't be one."""
        try:
            return normalize_recipient(self.to)
        except InvalidNameError:
            return ""


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """Place and time of a stored message."""

    conversation: int
    seq: int
    time_ms: int
    new: bool = True
    """False if it was stored before under the same id: acknowledge it, but do not deliver it."""
    count: int = 0
    """Of a reaction: how many users have it on the message after it; of one that was stored before, now."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Refusal of a message that was not stored. A final one is remembered: the id gets it again."""

    code: ErrorCode = ErrorCode.ID_CONFLICT
    retry_after_s: float | None = None
    """Seconds until it would be accepted, if known."""


Outcome = StoredMessage | Refused


class PositionKind(enum.StrEnum):
    """Kind of a position; an account has one of each in a conversation."""

    READ = "read"
    """Highest seq that the user has seen, over all devices."""
    DELIVERED = "delivered"
    """Highest seq that any of the user's devices has applied."""


class Mark(NamedTuple):
    """A position to move; a position never moves down."""

    account: int
    conversation: int
    kind: PositionKind
    seq: int
    session: str = ""
    """Id of the session that moves it, which needs no notice; empty if it was none."""
    receipt: bool = False
    """Whether the peer may see a `READ` position."""


class ConversationRow(NamedTuple):
    """A conversation as one of its members sees it."""

    id: int
    peer: int | None
    """Account id of the peer; None in a room."""
    name: str
    """The peer's as it is shown, see `qscpd.domain.labels`; or the room's with its `#`."""
    first_seq: int
    """The oldest message that the member can see; `last_seq + 1` if there is none."""
    last_seq: int
    read: int
    delivered: int
    """The peer's `DELIVERED` position; 0 in a room."""
    deleted: bool = False
    """Whether the peer's account is deleted."""


class MessageRow(NamedTuple):
    """A message as it is stored."""

    seq: int
    time_ms: int
    sender: int
    id: str
    body: str | None
    """None if it was erased or redacted; its place remains. Of an edit: the message's current text."""
    meta: MessageMeta = NO_META


class Damage(NamedTuple):
    """A range of seqs of a conversation that can't be read: damaged or missing."""

    first: int
    last: int


StoredItem = MessageRow | Damage
"""What is at a place of a conversation."""


class Found(NamedTuple):
    """A message that a search found."""

    conversation: int
    message: MessageRow
    name: str
    """The conversation's, as of `ConversationRow`."""


class FoundPage(NamedTuple):
    """A page of search results."""

    found: Sequence[Found]
    """The newest first."""
    complete: bool
    """Whether every message is in the search index."""
    cursor: Place | None
    """The place before which the search continues; None if there is no more."""


class HistoryPage(NamedTuple):
    """A page of a conversation's history, as one of its members sees it."""

    conversation: ConversationRow
    messages: Sequence[MessageRow]
    """Messages by seq, without amendments."""
    cursor: int | None
    """The seq to go on from, in the same direction; None if there is no more."""
    damage: Sequence[Damage] = ()
    """What can't be read among or beside them, by seq."""


class ReplayPage(NamedTuple):
    """A page of a conversation's messages and amendments, as one of its members sees it."""

    conversation: ConversationRow
    messages: Sequence[MessageRow]
    """By seq."""
    damage: Sequence[Damage] = ()
    """What can't be read among or beside them, by seq. Together they have every seq up to the highest."""


class ConversationSummary(NamedTuple):
    """A conversation in the list of one of its members."""

    conversation: ConversationRow
    unread: int
    """Messages of others after the `READ` position; counting stops at about 1,000."""
    mentions: int
    """How many of the unread ones mention the account."""


class BlockRow(NamedTuple):
    """An account that another one blocks."""

    account: int
    """The account that blocks."""
    blocked: int
    time_ms: int
    """Since when."""


class ConversationPage(NamedTuple):
    """A page of an account's conversations."""

    conversations: Sequence[ConversationSummary]
    """Conversations by id."""
    cursor: int | None
    """The conversation to go on from; None if there is no more."""


class ExportedMessage(NamedTuple):
    """A row of an export."""

    conversation: int
    message: MessageRow


class RoomResult(NamedTuple):
    """Result of a change of a room."""

    room: RoomRow
    memberships: Mapping[int, Membership]
    """Changed memberships by account id."""


class LogRow(NamedTuple):
    """An entry of a room's moderation log."""

    id: int
    time_ms: int
    actor: int | None
    """Account id; None for the operator of the server."""
    action: str
    target: int | None
    seq: int | None
    until_ms: int | None
    """When a mute or ban ends, `qscpd.domain.rooms.FOREVER_MS` for never; None for other actions."""
    text: str


class Keep(NamedTuple):
    """Retention: how much of each conversation is kept."""

    age_ms: int | None = None
    """None: for ever."""
    messages: int | None = None
    """None: all."""
