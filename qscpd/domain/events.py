"""Domain events: what a transaction of the store has changed, in values alone.

They are serialisable, and know accounts, conversations and session ids, but no object of this process.
"""

from collections.abc import Mapping, Sequence

import msgspec

from qscpd.domain.model import Account, LogRow, Mark, NewMessage, StoredMessage
from qscpd.domain.rooms import Membership, RoomChange, RoomRow


class MessagesStored(msgspec.Struct, frozen=True, tag="messages_stored"):
    """New messages and amendments, in the order in which they were stored.

    Two sequences, so that a commit makes one object for all of its messages.
    """

    messages: Sequence[NewMessage]
    places: Sequence[StoredMessage]
    """Of each of the messages."""


class PositionMoved(msgspec.Struct, frozen=True, tag="position_moved"):
    """A position that has moved."""

    mark: Mark
    """With the new seq: never above the last one of the conversation."""
    peer: int | None
    """Account id of the peer; None in a room."""


class RoomChanged(msgspec.Struct, frozen=True, tag="room_changed"):
    """A room that was made, changed or deleted, or whose memberships have changed."""

    room: RoomRow
    """The room afterwards."""
    memberships: Mapping[int, Membership]
    """Changed memberships by account id."""
    change: RoomChange | None = None
    """The cause; None if the change followed from something else, like a deleted account."""
    mute: LogRow | None = None
    """The log's entry about the mute of an account that joins while it is muted."""


class AccountChanged(msgspec.Struct, frozen=True, tag="account_changed"):
    """An account that was made, locked, unlocked or deleted, or that got another password."""

    account: Account
    """The account afterwards."""


class BlockChanged(msgspec.Struct, frozen=True, tag="block_changed"):
    """An account blocks another one, or no longer does."""

    account: int
    """The account that blocks."""
    blocked: int
    removed: bool = False
    """Whether it no longer does."""


Event = MessagesStored | PositionMoved | RoomChanged | AccountChanged | BlockChanged
