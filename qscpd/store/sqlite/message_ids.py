"""Index of message ids: which ids an account has used in the last 30 days, and what became of each.

(account, id) is the key that makes a retry harmless. Every message is already in its chunk with
its id; the index from id to message, `sent_ids`, is filled behind delivery. That is possible
because ids rise with time (`qscp.ids`): an id above all that the account has used is new without
a look-up. Any other id is looked up, after the index has caught up.

The index has a hash instead of the text: pruning and erasing a message leave its id behind.

A refusal is remembered as well, in the transaction of the other outcomes: a row with the conversation 0,
the seq 0, and the code in the place of the hash (`UsedId`). So an id has one outcome, whenever it is sent
again. Such a row has nothing of the message but its id.
"""

import contextlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from qscp.errors import ErrorCode
from qscpd.domain.messages import id_hash, repeats
from qscpd.domain.model import MessageRow, NewMessage, Outcome, Refused, RefusedMessage, StoredMessage
from qscpd.domain.retention import id_is_outlived
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite.chunk_scan import ChunkScan, ScannedChunk
from qscpd.store.sqlite.chunks import MISSING
from qscpd.store.sqlite.database import Database

_STEP: Final = 100
"""Messages that one step of indexing takes at most, unless a chunk is larger: about a millisecond."""

_STEP_BYTES: Final = 512 * 1024
"""Bytes of chunks that it takes at most: some 3 ms."""

_SWEEP: Final = 500
"""Ids that one step of forgetting old ones looks at."""

_SWEEP_EVERY_MS: Final = 6 * 3600 * 1000
"""How often all ids are looked at."""


_MARK_MISSING: Final = "INSERT OR IGNORE INTO chunks (conversation, last_seq, messages) VALUES (?, ?, ?)"
"""With this row, the seqs of the chunk behind it stay certain after its ids are forgotten."""

_INSERT: Final = "INSERT OR IGNORE INTO sent_ids VALUES (?, ?, ?, ?, ?, ?)"

_Entry = tuple[int, bytes, bytes, int, int, int]
"""A row of `sent_ids`: account, id, hash, conversation, seq, time_ms."""


class UsedId(NamedTuple):
    """What became of the message that used an id."""

    key: bytes
    """Its `id_hash`; of a refused one the code."""
    conversation: int
    """0 if it was refused."""
    seq: int
    time_ms: int

    @classmethod
    def by_refusal(cls, code: ErrorCode, time_ms: int) -> "UsedId":
        """Return what is kept of a refusal."""
        return cls(code.encode(), 0, 0, time_ms)

    @property
    def refusal(self) -> Refused | None:
        """The refusal; None if the message was stored."""
        if self.conversation:
            return None
        try:
            return Refused(ErrorCode(self.key.decode()))
        except ValueError:
            return Refused()  # the code of a newer version, before a downgrade


class MessageIds:
    """The index of message ids.

    Attributes:
        newest: The highest id that an account has used, by account id; see `newest_of`.
    """

    def __init__(self, db: Database, scan: ChunkScan, on_damage: OnDamage) -> None:
        self._db = db
        self._scan = scan
        self._on_damage = on_damage
        self.newest: dict[int, str] = {}
        self._sweep_from = (0, b"")
        self._next_sweep_ms = 0
        db.on_rollback(self.newest.clear)

    def newest_of(self, account: int) -> str:
        """Return the highest id that an account has used; empty if it has used none."""
        newest = self.newest.get(account)
        if newest is None:
            self.index_all()
            found = self._db.read("SELECT max(id) FROM sent_ids WHERE account = ?", account)[0][0]
            newest = self.newest[account] = found.hex() if found else ""
        return newest

    def look_up(self, message: NewMessage) -> UsedId | None:
        """Return what the id of a message was used for; None if it is new."""
        self.index_all()
        return self._indexed(message)

    def outcome(self, message: NewMessage, used: UsedId) -> Outcome:
        """Return the outcome of a message whose id was used before.

        Neither the recipient nor anything else matters, as it is now. The message is the stored one if it
        was sent to the name that the stored one's recipient has, or had.
        """
        refusal = used.refusal
        if refusal is not None:
            return refusal
        if not repeats(message, message.recipient, used.key):
            recipient = self._recipient(message.sender, used.conversation)
            if not repeats(message, recipient, used.key) or self._sent_to(message) != self._name(recipient):
                return Refused()
        return StoredMessage(used.conversation, used.seq, used.time_ms, new=False)

    def refuse(self, message: NewMessage, refusal: Refused) -> Refused:
        """Remember and return the refusal of a message with a new id."""
        used = UsedId.by_refusal(refusal.code, self._db.now_ms)
        with self._db.transaction() as db:
            db.execute(_INSERT, (message.sender, bytes.fromhex(message.id), *used))
        return refusal

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """Return what became of messages whose ids may have been used before; None for each new one."""
        wanted = {(message.sender, bytes.fromhex(message.id)) for message in messages}
        fresh = {
            entry[:2]: entry
            for chunk in self._scan.after(self._indexed_up_to())
            for entry in _entries(chunk)
            if entry[:2] in wanted
        }
        outcomes: list[Outcome | None] = []
        for message in messages:
            # What is indexed is as it was sent; what is not may have been edited since.
            used = self._indexed(message)
            if used is None and (entry := fresh.get((message.sender, bytes.fromhex(message.id)))):
                used = UsedId(*entry[2:])
            outcomes.append(self.outcome(message, used) if used else None)
        return outcomes

    def add(self, conversation: int, recipient: int, row: MessageRow) -> None:
        """Index a message's id before its text is replaced."""
        key = id_hash(recipient, row.body or "", row.meta)
        with self._db.transaction() as db:
            db.execute(_INSERT, (row.sender, bytes.fromhex(row.id), key, conversation, row.seq, row.time_ms))

    def index_all(self) -> None:
        """Index all chunks that are not indexed yet."""
        while self.index_step():
            pass

    def index_step(self) -> bool:
        """Index the next chunks; return whether there were any."""
        chunks = self._next_chunks()
        if not chunks:
            return False
        entries = sorted(entry for chunk in chunks for entry in _entries(chunk))
        try:
            self._index(chunks, entries)
        except StoreDamagedError:
            self._index(chunks, [])
            for entry in entries:
                self._index_alone(entry)
        return True

    def _next_chunks(self) -> list[ScannedChunk]:
        """Return the chunks that the next step indexes, with about as many messages as it takes."""
        found: list[ScannedChunk] = []
        with self._db.snapshot(), contextlib.closing(self._scan.after(self._indexed_up_to())) as scan:
            count = size = 0
            for chunk in scan:
                found.append(chunk)
                count += max(len(chunk.rows), 1)
                size += chunk.size
                if count >= _STEP or size >= _STEP_BYTES:
                    break
        return found

    def _index(self, chunks: Sequence[ScannedChunk], entries: Sequence[_Entry]) -> None:
        """Write entries, and that chunks are indexed."""
        with self._db.transaction() as db:
            db.executemany(_INSERT, entries)
            db.executemany(_MARK_MISSING, [mark for chunk in chunks if (mark := _missing_before(chunk))])
            db.execute("UPDATE meta SET value = ? WHERE key = 'ids_indexed'", (str(chunks[-1].id),))

    def _index_alone(self, entry: _Entry) -> None:
        """Write an entry; where the index is damaged, the id is not known any more."""
        try:
            with self._db.transaction() as db:
                db.execute(_INSERT, entry)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"an id of c{entry[3]} is not indexed: {error}"))

    def has_indexed(self, chunk: int) -> bool:
        """Return whether the texts of a chunk are not needed any more to index its ids."""
        return self._indexed_up_to() >= chunk

    def sweep_step(self) -> bool:
        """Forget old ids among the next ones by key; return whether more are to be looked at."""
        now = self._db.now
        if now.removal_ms is None or now.boot_ms < self._next_sweep_ms:
            return False
        sql = "SELECT account, id, time_ms FROM sent_ids WHERE (account, id) > (?, ?) LIMIT ?"
        rows = self._db.read(sql, *self._sweep_from, _SWEEP)
        old = [(account, key) for account, key, time_ms in rows if id_is_outlived(time_ms, now.removal_ms)]
        if old:
            with self._db.transaction() as db:
                db.executemany("DELETE FROM sent_ids WHERE account = ? AND id = ?", old)
        if len(rows) == _SWEEP:
            self._sweep_from = rows[-1][0], rows[-1][1]
            return True
        self._sweep_from = 0, b""
        self._next_sweep_ms = now.boot_ms + _SWEEP_EVERY_MS
        return False

    def _indexed_up_to(self) -> int:
        return int(self._db.meta("ids_indexed"))

    def _indexed(self, message: NewMessage) -> UsedId | None:
        rows = self._db.read(
            "SELECT hash, conversation, seq, time_ms FROM sent_ids WHERE account = ? AND id = ?",
            message.sender,
            bytes.fromhex(message.id),
        )
        return UsedId(*rows[0]) if rows else None

    def _recipient(self, sender: int, conversation: int) -> int:
        """Return the recipient of a stored message, as in `NewMessage`."""
        low, high = self._db.read("SELECT low, high FROM conversations WHERE id = ?", conversation)[0]
        return _recipient(sender, conversation, low, high)

    def _sent_to(self, message: NewMessage) -> str:
        """Return the name that a message was sent to; empty if it can't be one."""
        return message.name if isinstance(message, RefusedMessage) else self._name(message.recipient)

    def _name(self, recipient: int) -> str:
        """Return the name of a recipient, also of a deleted one."""
        if recipient > 0:
            rows = self._db.read("SELECT name FROM accounts WHERE id = ?", recipient)
        else:
            rows = self._db.read("SELECT name FROM rooms WHERE conversation = ?", -recipient)
        return str(rows[0][0])


def _entries(chunk: ScannedChunk) -> list[_Entry]:
    """Return the rows of `sent_ids` for a chunk; none if it is damaged."""
    entries: list[_Entry] = []
    for row in chunk.rows:
        recipient = _recipient(row.sender, chunk.conversation, *(chunk.peers or (None, None)))
        key = id_hash(recipient, row.body or "", row.meta)
        entries.append((row.sender, bytes.fromhex(row.id), key, chunk.conversation, row.seq, row.time_ms))
    return entries


def _recipient(sender: int, conversation: int, low: int | None, high: int | None) -> int:
    """Return the recipient, as in `NewMessage`, from the two accounts of a pair; a room has none."""
    if low is None or high is None:
        return -conversation
    return high if sender == low else low


def _missing_before(chunk: ScannedChunk) -> tuple[int, int, bytes] | None:
    """Return a row that marks the messages before a chunk as missing; None if there is no hole."""
    if not chunk.rows or chunk.rows[0].seq <= chunk.start + 1:
        return None
    return chunk.conversation, chunk.rows[0].seq - 1, MISSING
