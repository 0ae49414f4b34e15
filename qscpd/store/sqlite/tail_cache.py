"""The end of a conversation: what has to be known to add to it, kept in memory."""

from typing import Final

from qscpd.domain.rooms import Membership, RoomRow
from qscpd.store.sqlite import chunks

__all__ = ["ConversationTail", "RoomTail"]

_SPEAKERS: Final = 10_000
"""People of a room whose last message is remembered for slow mode."""


class RoomTail:
    """What is known of a room by those who write in it.

    Attributes:
        row: The room; its counts and seqs may be old.
        memberships: Of those who wrote lately, by account id.
    """

    __slots__ = ("_spoke_ms", "memberships", "row")

    def __init__(self, row: RoomRow) -> None:
        self.row = row
        self.memberships: dict[int, Membership] = {}
        self._spoke_ms: dict[int, int] = {}

    def wait_s(self, account: int, now_ms: int) -> float:
        """How many seconds somebody has to wait for their next message, in slow mode.

        A restart forgets who wrote when: it lasts longer than a wait, or somebody may write once too early.
        """
        spoke_ms = self._spoke_ms.get(account)
        if spoke_ms is None:
            return 0.0
        return max(spoke_ms + self.row.slow_s * 1000 - now_ms, 0) / 1000

    def speaks(self, account: int, now_ms: int) -> None:
        """Somebody wrote a message."""
        if self.row.slow_s:
            if len(self._spoke_ms) >= _SPEAKERS:
                self._spoke_ms.clear()
            self._spoke_ms[account] = now_ms

    def renew(self, row: RoomRow) -> None:
        """The room or somebody's membership has changed."""
        self.row = row
        self.memberships = {}


class ConversationTail:
    """The cached end of a conversation, and what the running transaction adds to it.

    Attributes:
        id: The conversation.
        room: What it is besides, if it is a room.
        added: Rows of the running transaction; the seqs are dense up to `last_seq`.
    """

    __slots__ = ("added", "id", "last_ms", "last_seq", "room")

    def __init__(self, conversation: int, last_seq: int, last_ms: int, room: RoomTail | None = None) -> None:
        self.id = conversation
        self.last_seq = last_seq
        self.last_ms = last_ms
        self.room = room
        self.added: list[chunks.Entry] = []
