"""Cache of conversations: what has to be known to append to one."""

from typing import Final

from qscpd.domain.rooms import Membership, RoomRow
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.blocks import BlockReader
from qscpd.store.sqlite.chunk_reader import ChunkReader
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.rooms import RoomReader
from qscpd.store.sqlite.tail import Tail, merge_last

_CACHED_CONVERSATIONS: Final = 50_000
"""Conversations in the cache: about 10 MiB."""

_NO_BLOCKERS: Final[frozenset[int]] = frozenset()


class CachedRoom:
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


class CachedConversation:
    """The end of a conversation, and what the running transaction adds to it.

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
        room: CachedRoom | None = None,
        blockers: frozenset[int] = _NO_BLOCKERS,
    ) -> None:
        self.id = conversation
        self.last_seq = last_seq
        self.last_ms = last_ms
        self.room = room
        self.blockers = blockers
        self.is_restricted = room is not None or bool(blockers)
        self.added: list[chunks.Entry] = []


ConversationKey = int | tuple[int, int]
"""The pair of accounts, lower id first; for a room, minus its conversation's id."""


class ConversationCache:
    """Conversations, read and made as needed.

    Attributes:
        known: Those in the cache, by key.
    """

    def __init__(
        self, db: Database, reader: ChunkReader, tail: Tail, rooms: RoomReader, blocks: BlockReader
    ) -> None:
        self._db = db
        self._reader = reader
        self._tail = tail
        self._rooms = rooms
        self._blocks = blocks
        self.known: dict[ConversationKey, CachedConversation] = {}
        db.on_rollback(self.known.clear)

    def __len__(self) -> int:
        return len(self.known)

    def load(self, key: ConversationKey) -> CachedConversation:
        """Read a conversation.

        A pair's conversation is made if it does not exist, unless one of the two blocks the other.
        """
        return self._load_room(key) if isinstance(key, int) else self._load_pair(key)

    def membership(self, room: CachedRoom, account: int) -> Membership:
        """Return an account's membership in a room."""
        membership = room.memberships.get(account)
        if membership is None:
            membership = room.memberships[account] = self._rooms.membership(room.row.id, account)
        return membership

    def room_changed(self, room: RoomRow) -> None:
        """Apply a change of a room."""
        known = self.known.get(-room.id)
        if known is not None and known.room is not None:
            known.room.renew(room)

    def block_changed(self, account: int, blocked: int) -> None:
        """Forget the conversation of a pair in which one account blocks the other, or no longer does."""
        self.known.pop((min(account, blocked), max(account, blocked)), None)

    def _load_room(self, key: int) -> CachedConversation:
        self._limit()
        room = self._rooms.get(-key)
        folded, last_ms = self._db.read("SELECT last_seq, last_ms FROM conversations WHERE id = ?", room.id)[
            0
        ]
        last_seq, last_ms = self._last(room.id, folded, last_ms)
        found = self.known[key] = CachedConversation(room.id, last_seq, last_ms, CachedRoom(room))
        return found

    def _load_pair(self, pair: tuple[int, int]) -> CachedConversation:
        self._limit()
        rows = self._db.read(
            "SELECT id, last_seq, last_ms FROM conversations WHERE low = ? AND high = ?", *pair
        )
        blockers = self._blocks.blockers(*pair)
        if blockers and not rows:
            return CachedConversation(0, 0, 0, blockers=blockers)  # Refused messages make no conversation.
        conversation, folded, last_ms = rows[0] if rows else (self._make_pair(pair), 0, 0)
        last_seq, last_ms = self._last(conversation, folded, last_ms)
        found = self.known[pair] = CachedConversation(conversation, last_seq, last_ms, blockers=blockers)
        return found

    def _last(self, conversation: int, folded: int, last_ms: int) -> tuple[int, int]:
        """Return last seq and time of a conversation, even if damaged: no seq is given a second time."""
        last_seq, last_ms = merge_last(self._tail, conversation, folded, last_ms)
        return max(last_seq, self._reader.last_chunk(conversation)), last_ms

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
