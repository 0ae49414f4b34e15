"""Cache of conversation tails: what has to be known to append to a conversation."""

from typing import Final

from qscpd.domain.rooms import Membership, RoomRow
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.blocks import BlockReader
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.rooms import RoomReader

_CACHED_CONVERSATIONS: Final = 50_000
"""Conversations in the cache: about 10 MiB."""

_NO_BLOCKERS: Final[frozenset[int]] = frozenset()

_SEQS: Final = 1 << 31
"""A seq that no conversation reaches; a damaged one can be anything."""


class RoomTail:
    """A room as its writers see it.

    Attributes:
        row: The room; its counts and seqs may be old.
        memberships: Memberships of recent writers, by account id.
    """

    __slots__ = ("memberships", "row")

    def __init__(self, row: RoomRow) -> None:
        self.row = row
        self.memberships: dict[int, Membership] = {}

    def renew(self, row: RoomRow) -> None:
        """Forget what a change of the room or of a membership may have made invalid."""
        self.row = row
        self.memberships = {}


class ConversationTail:
    """The cached end of a conversation, and what the running transaction adds to it.

    Attributes:
        id: The conversation; 0 if it does not exist and nothing can be sent.
        room: Set if it is a room.
        blockers: In a pair, those of the two accounts that block the other one.
        is_restricted: Whether each of its messages is judged: in a room, or under a block.
        added: Entries of the running transaction; their seqs are dense up to `last_seq`.
    """

    __slots__ = ("added", "blockers", "id", "is_restricted", "last_ms", "last_seq", "room")

    def __init__(
        self,
        conversation: int,
        last_seq: int,
        last_ms: int,
        room: RoomTail | None = None,
        blockers: frozenset[int] = _NO_BLOCKERS,
    ) -> None:
        self.id = conversation
        self.last_seq = last_seq
        self.last_ms = last_ms
        self.room = room
        self.blockers = blockers
        self.is_restricted = room is not None or bool(blockers)
        self.added: list[chunks.Entry] = []


TailKey = int | tuple[int, int]
"""The pair of accounts, lower id first; for a room, minus its conversation's id."""


class TailCache:
    """Tails of conversations, read and made as needed.

    Attributes:
        known: Tails by key.
    """

    def __init__(self, db: Database, rooms: RoomReader, blocks: BlockReader) -> None:
        self._db = db
        self._rooms = rooms
        self._blocks = blocks
        self.known: dict[TailKey, ConversationTail] = {}
        db.on_rollback(self.known.clear)

    def __len__(self) -> int:
        return len(self.known)

    def load(self, key: TailKey) -> ConversationTail:
        """Read the tail of a conversation.

        A pair's conversation is made if it does not exist, unless one of the two blocks the other.
        """
        return self._load_room(key) if isinstance(key, int) else self._load_pair(key)

    def membership(self, room: RoomTail, account: int) -> Membership:
        """Return an account's membership in a room."""
        membership = room.memberships.get(account)
        if membership is None:
            membership = room.memberships[account] = self._rooms.membership(room.row.id, account)
        return membership

    def room_changed(self, room: RoomRow) -> None:
        """Apply a change of a room."""
        tail = self.known.get(-room.id)
        if tail is not None and tail.room is not None:
            tail.room.renew(room)

    def block_changed(self, account: int, blocked: int) -> None:
        """Forget the tail of a pair in which one account blocks the other, or no longer does."""
        self.known.pop((min(account, blocked), max(account, blocked)), None)

    def _load_room(self, key: int) -> ConversationTail:
        self._limit()
        room = self._rooms.get(-key)
        last_ms = self._db.read("SELECT last_ms FROM conversations WHERE id = ?", room.id)[0][0]
        last_seq = self._last_seq(room.id, room.last_seq)
        tail = self.known[key] = ConversationTail(room.id, last_seq, last_ms, RoomTail(room))
        return tail

    def _load_pair(self, pair: tuple[int, int]) -> ConversationTail:
        self._limit()
        rows = self._db.read(
            "SELECT id, last_seq, last_ms FROM conversations WHERE low = ? AND high = ?", *pair
        )
        blockers = self._blocks.blockers(*pair)
        if blockers and not rows:
            return ConversationTail(0, 0, 0, blockers=blockers)  # Refused messages make no conversation.
        conversation, last_seq, last_ms = rows[0] if rows else (self._make_pair(pair), 0, 0)
        last_seq = self._last_seq(conversation, last_seq)
        tail = self.known[pair] = ConversationTail(conversation, last_seq, last_ms, blockers=blockers)
        return tail

    def _last_seq(self, conversation: int, last_seq: int) -> int:
        """Return the last seq of a conversation, also of a damaged one: no seq is given a second time.

        If the last messages are missing, a chunk without any is stored for them. So the seqs of the next
        chunk are certain.
        """
        sql = "SELECT coalesce(max(last_seq), 0) FROM chunks WHERE conversation = ? AND last_seq < ?"
        stored: int = self._db.read(sql, conversation, _SEQS)[0][0]
        first_seq = "SELECT first_seq FROM conversations WHERE id = ?"
        if stored < last_seq and self._db.read(first_seq, conversation)[0][0] <= last_seq:
            with self._db.transaction() as db:
                db.execute(
                    "INSERT INTO chunks (conversation, last_seq, messages) VALUES (?, ?, ?)",
                    (conversation, last_seq, chunks.MISSING),
                )
        return max(stored, last_seq)

    def _make_pair(self, pair: tuple[int, int]) -> int:
        sql = "INSERT INTO conversations (low, high, last_seq, last_ms) VALUES (?, ?, 0, 0) RETURNING id"
        with self._db.transaction() as db:
            conversation = int(db.execute(sql, pair).fetchall()[0][0])
            db.executemany(
                "INSERT INTO positions (account, conversation) VALUES (?, ?)",
                [(each, conversation) for each in pair],
            )
        return conversation

    def _limit(self) -> None:
        if len(self.known) >= _CACHED_CONVERSATIONS:
            # Those that the transaction has touched must stay: their `added` is not written yet.
            touched = {key: each for key, each in self.known.items() if each.added}
            self.known.clear()
            self.known.update(touched)
