"""Index of message ids: which ids an account has used in the last 30 days, and for which message.

(account, id) is the key that makes a retry harmless. Every message is already in its chunk with
its id; the index from id to message, `sent_ids`, is filled behind delivery. That is possible
because ids rise with time (`qscp.ids`): an id above all that the account has used is new without
a look-up. Any other id is looked up, after the index has caught up.

The index has a hash instead of the text: pruning and erasing a message leave its id behind.
"""

import contextlib
from collections.abc import Sequence
from typing import Final

from qscpd.domain.messages import id_hash, repeated
from qscpd.domain.model import MessageRow, NewMessage, Outcome, StoredMessage
from qscpd.domain.retention import id_is_outlived
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite.chunk_scan import ChunkScan, ScannedChunk
from qscpd.store.sqlite.chunks import MISSING
from qscpd.store.sqlite.database import Database

_STEP: Final = 100
"""Messages that one step of indexing takes at most, unless a chunk is larger: about a millisecond."""

_SWEEP: Final = 500
"""Ids that one step of forgetting old ones looks at."""

_SWEEP_EVERY_MS: Final = 6 * 3600 * 1000
"""How often all ids are looked at."""


_MARK_MISSING: Final = "INSERT OR IGNORE INTO chunks (conversation, last_seq, messages) VALUES (?, ?, ?)"
"""With this row, the seqs of the chunk behind it stay certain after its ids are forgotten."""

_INSERT: Final = "INSERT OR IGNORE INTO sent_ids VALUES (?, ?, ?, ?, ?, ?)"

_Entry = tuple[int, bytes, bytes, int, int, int]
"""A row of `sent_ids`: account, id, hash, conversation, seq, time_ms."""


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

    def look_up(self, message: NewMessage) -> Outcome | None:
        """Return what became of a message whose id was used before; None if it is new."""
        self.index_all()
        return self._indexed(message)

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """See `Store.known`."""
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
            entry = fresh.get((message.sender, bytes.fromhex(message.id)))
            outcomes.append(self._indexed(message) or (_outcome(message, entry[2:]) if entry else None))
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
            count = 0
            for chunk in scan:
                found.append(chunk)
                count += max(len(chunk.rows), 1)
                if count >= _STEP:
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
        now = self._db.now_ms
        if now < self._next_sweep_ms:
            return False
        sql = "SELECT account, id, time_ms FROM sent_ids WHERE (account, id) > (?, ?) LIMIT ?"
        rows = self._db.read(sql, *self._sweep_from, _SWEEP)
        old = [(account, key) for account, key, time_ms in rows if id_is_outlived(time_ms, now)]
        if old:
            with self._db.transaction() as db:
                db.executemany("DELETE FROM sent_ids WHERE account = ? AND id = ?", old)
        if len(rows) == _SWEEP:
            self._sweep_from = rows[-1][0], rows[-1][1]
            return True
        self._sweep_from = 0, b""
        self._next_sweep_ms = now + _SWEEP_EVERY_MS
        return False

    def _indexed_up_to(self) -> int:
        return int(self._db.meta("ids_indexed"))

    def _indexed(self, message: NewMessage) -> Outcome | None:
        rows = self._db.read(
            "SELECT hash, conversation, seq, time_ms FROM sent_ids WHERE account = ? AND id = ?",
            message.sender,
            bytes.fromhex(message.id),
        )
        return _outcome(message, rows[0]) if rows else None


def _entries(chunk: ScannedChunk) -> list[_Entry]:
    """Return the rows of `sent_ids` for a chunk; none if it is damaged."""
    entries: list[_Entry] = []
    for row in chunk.rows:
        recipient = -chunk.conversation
        if chunk.peers is not None:
            low, high = chunk.peers
            recipient = high if row.sender == low else low
        key = id_hash(recipient, row.body or "", row.meta)
        entries.append((row.sender, bytes.fromhex(row.id), key, chunk.conversation, row.seq, row.time_ms))
    return entries


def _missing_before(chunk: ScannedChunk) -> tuple[int, int, bytes] | None:
    """Return a row that marks the messages before a chunk as missing; None if there is no hole."""
    if not chunk.rows or chunk.rows[0].seq <= chunk.start + 1:
        return None
    return chunk.conversation, chunk.rows[0].seq - 1, MISSING


def _outcome(message: NewMessage, used: tuple[bytes, int, int, int]) -> Outcome:
    """Return the outcome of a message whose id was used: hash, conversation, seq, time_ms."""
    key, conversation, seq, time_ms = used
    return repeated(message, StoredMessage(conversation, seq, time_ms), key)
