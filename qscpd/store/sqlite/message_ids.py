"""Which message ids an account has used in the last 30 days, and for what.

(account, id) is the key that makes a retry harmless. Every message is already in its chunk with
its id; the index from id to message, `sent_ids`, is filled behind delivery. What makes that
possible is that ids rise with time (`qscp.ids`): an id above all that the account has used is new,
and no look-up is needed. Any other one is looked up, after the index has caught up.

The index has a hash instead of the text: pruning and erasing a message leave its id behind.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from qscpd.domain.model import MessageMeta, MessageRow, NewMessage, Outcome, Refused, StoredMessage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.accounts import Accounts

__all__ = ["KEEP_IDS_MS", "SentIds", "digest", "same"]

KEEP_IDS_MS: Final = 30 * 24 * 3600 * 1000
"""How long an id is kept: clients retry for at most 7 days, and a laptop may lie in a drawer for a while."""

_STEP: Final = 100
"""Messages that one step of indexing takes at most, as long as a chunk is not larger: about a millisecond."""

_SWEEP: Final = 500
"""Ids that one step of forgetting old ones looks at."""

_SWEEP_EVERY_MS: Final = 6 * 3600 * 1000
"""How often all ids are looked at."""


_CHUNKS: Final = """
    SELECT k.id, k.last_seq, k.messages, c.id, c.low, c.high
    FROM chunks k JOIN conversations c ON c.id = k.conversation WHERE k.id > ? ORDER BY k.id
"""

_Entry = tuple[int, bytes, bytes, int, int, int]
"""A row of `sent_ids`: account, id, hash, conversation, seq, time_ms."""


class SentIds(Accounts):
    """The index of ids."""

    _newest_ids: dict[int, str]
    _sweep_from: tuple[int, bytes]
    _next_sweep_ms: int

    def _newest_id(self, account: int) -> str:
        """The highest id that the account has used; empty if it has used none."""
        newest = self._newest_ids.get(account)
        if newest is None:
            self._index_all_ids()
            row = self._db.execute("SELECT max(id) FROM sent_ids WHERE account = ?", (account,)).fetchone()
            newest = self._newest_ids[account] = row[0].hex() if row[0] else ""
        return newest

    def _look_up(self, message: NewMessage) -> Outcome | None:
        """What an id was used for; None if it is new. Inside a transaction."""
        self._index_all_ids()
        return self._indexed(message)

    def _indexed(self, message: NewMessage) -> Outcome | None:
        rows = self._read(
            "SELECT conversation, seq, time_ms, hash FROM sent_ids WHERE account = ? AND id = ?",
            message.sender,
            bytes.fromhex(message.id),
        )
        return _outcome(message, rows[0]) if rows else None

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """See `Store.known`."""
        wanted = {(message.sender, bytes.fromhex(message.id)) for message in messages}
        done = int(self._meta("ids_indexed"))
        fresh = {
            (entry[0], entry[1]): (entry[3], entry[4], entry[5], entry[2])
            for row in self._iterate(_CHUNKS, done)
            for entry in _entries(*row[1:])
            if entry[:2] in wanted
        }
        outcomes: list[Outcome | None] = []
        for message in messages:
            # What is indexed is as it was sent; what is not may have been edited since.
            place = fresh.get((message.sender, bytes.fromhex(message.id)))
            outcomes.append(self._indexed(message) or (_outcome(message, place) if place else None))
        return outcomes

    def _index_id(self, conversation: int, recipient: int, row: MessageRow) -> None:
        """Index a message's id before its text becomes another one. Inside a transaction."""
        key = _hash(recipient, row.body or "", row.meta)
        self._db.execute(
            "INSERT OR IGNORE INTO sent_ids VALUES (?, ?, ?, ?, ?, ?)",
            (row.sender, bytes.fromhex(row.id), key, conversation, row.seq, row.time_ms),
        )

    def _index_all_ids(self) -> None:
        while self._index_ids_step():
            pass

    def _index_ids_step(self) -> bool:
        """Index the next chunks; return whether there were any. Inside a transaction."""
        done = int(self._db.execute("SELECT value FROM meta WHERE key = 'ids_indexed'").fetchone()[0])
        entries: list[_Entry] = []
        for chunk, *row in self._db.execute(_CHUNKS, (done,)):
            entries += _entries(*row)
            done = chunk
            if len(entries) >= _STEP:
                break
        if not entries:
            return False
        entries.sort()
        self._db.executemany("INSERT OR IGNORE INTO sent_ids VALUES (?, ?, ?, ?, ?, ?)", entries)
        self._db.execute("UPDATE meta SET value = ? WHERE key = 'ids_indexed'", (str(done),))
        return True

    def _sweep_ids_step(self) -> bool:
        """Forget old ids among the next ones in the order of the key; return whether more are to be seen."""
        now = self._clock_ms()
        if now < self._next_sweep_ms:
            return False
        sql = "SELECT account, id, time_ms FROM sent_ids WHERE (account, id) > (?, ?) LIMIT ?"
        rows = self._read(sql, *self._sweep_from, _SWEEP)
        old = [(account, key) for account, key, time_ms in rows if time_ms < now - KEEP_IDS_MS]
        if old:
            with self._transaction() as db:
                db.executemany("DELETE FROM sent_ids WHERE account = ? AND id = ?", old)
        if len(rows) == _SWEEP:
            self._sweep_from = rows[-1][0], rows[-1][1]
            return True
        self._sweep_from = 0, b""
        self._next_sweep_ms = now + _SWEEP_EVERY_MS
        return False

    def _forget(self) -> None:
        super()._forget()
        self._newest_ids = {}


def same(first: NewMessage, second: NewMessage) -> bool:
    """Whether two messages with one id are the same one, sent twice."""
    hashes = {_hash(each.recipient, each.body, each.meta) for each in (first, second)}
    return len(hashes) == 1


def digest(text: str) -> bytes:
    """What is kept of a text to know it again."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _entries(
    last_seq: int, blob: bytes, conversation: int, low: int | None, high: int | None
) -> list[_Entry]:
    """The rows of `sent_ids` for a chunk; a room has neither `low` nor `high`."""
    entries: list[_Entry] = []
    for row in chunks.rows(last_seq, blob):
        recipient = -conversation if low is None or high is None else high if row.sender == low else low
        key = _hash(recipient, row.body or "", row.meta)
        entries.append((row.sender, bytes.fromhex(row.id), key, conversation, row.seq, row.time_ms))
    return entries


def _outcome(message: NewMessage, place: tuple[int, int, int, bytes]) -> Outcome:
    """What became of a message whose id was used for what is at a place: conversation, seq, time, hash."""
    conversation, seq, time_ms, key = place
    if key != _hash(message.recipient, message.body, message.meta):
        return Refused()
    return StoredMessage(conversation, seq, time_ms, new=False)


def _hash(recipient: int, text: str, meta: MessageMeta) -> bytes:
    match meta.kind:
        case "":
            return digest(f"{recipient}\n{text}")
        case "edit":
            what = (meta.digest or digest(text)).hex()
        case "redact":
            what = ""
        case "react":
            what = f"{meta.removed} {text}"
    return digest(f"{recipient} {meta.kind} {meta.target}\n{what}")
