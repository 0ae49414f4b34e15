"""Taking messages away: pruning what is older than kept, and erasing what a person wrote.

Both go in small steps, each a transaction of its own, between the commits of messages.
Pruning takes a prefix of a conversation and raises its `first_seq`; erasing leaves each message's
place, so that seqs stay dense. Ids stay in `sent_ids`, so that a late retry stays harmless.
"""

from typing import Final

from qscpd.store import chunks
from qscpd.store.base import Keep
from qscpd.store.words import Words

__all__ = ["Retention"]

_STEP: Final = 50
"""Chunks that one step removes or rewrites at most."""


class Retention(Words):
    """Pruning and erasing."""

    _prune_from: int
    """The conversation that the next step of pruning begins at."""

    def _prune_step(self, keep: Keep) -> bool:
        """Prune one conversation a little; return whether there is more to do. Begins anew after the last."""
        rows = self._read(
            "SELECT id, first_seq, last_seq FROM conversations WHERE id >= ? ORDER BY id LIMIT 1",
            self._prune_from,
        )
        if not rows:
            self._prune_from = 0
            return False
        conversation, first, last = rows[0]
        cut = first
        if keep.messages is not None:
            cut = max(cut, last - keep.messages + 1)
        oldest_ms = self._clock_ms() - keep.age_ms if keep.age_ms is not None else 0
        if not self._cut(conversation, cut, oldest_ms):
            self._prune_from = conversation + 1
        return True

    def _cut(self, conversation: int, cut: int, oldest_ms: int) -> bool:
        """Remove what comes before a seq or a time from the next chunks; return whether there was any."""
        sql = "SELECT id, last_seq, messages FROM chunks WHERE conversation = ? ORDER BY last_seq LIMIT ?"
        found = self._read(sql, conversation, _STEP)
        with self._transaction() as db:
            removed = 0
            first = cut
            for chunk, last_seq, blob in found:
                rows = chunks.rows(last_seq, blob)
                gone = [row for row in rows if row.seq < cut or row.time_ms < oldest_ms]
                if not gone:
                    break
                removed += len(gone)
                first = gone[-1].seq + 1
                self._unindex(chunk, conversation, gone)
                kept = chunks.unpack(blob)[len(gone) :]
                if not kept:
                    db.execute("DELETE FROM chunks WHERE id = ?", (chunk,))
                else:
                    db.execute("UPDATE chunks SET messages = ? WHERE id = ?", (chunks.pack(kept), chunk))
                    break
            if removed:
                db.execute("UPDATE conversations SET first_seq = ? WHERE id = ?", (first, conversation))
        return removed > 0

    def tend(self, keep: Keep) -> bool:
        """See `Store.tend`."""
        with self._transaction():
            if self._index_ids_step() or self._index_words_step():
                return True
        if self._prune_from == 0:
            self._sweep_ids_step()
        if keep == Keep():
            return False
        return self._prune_step(keep)

    def erase_step(self, account: int) -> bool:
        """See `Store.erase_step`."""
        for row in self.conversations(account):
            sql = "SELECT id, last_seq, messages FROM chunks WHERE conversation = ? ORDER BY last_seq"
            for chunk, last_seq, blob in self._iterate(sql, row.id):
                mine = [each for each in chunks.rows(last_seq, blob) if each.sender == account and each.body]
                if mine:
                    self._erase_from(chunk, row.id, account)
                    return True
        return self._merge_words_step() or self._empty_journal()

    def _erase_from(self, chunk: int, conversation: int, account: int) -> None:
        """Erase an account's messages in a chunk and those behind it, as many as a step takes."""
        with self._transaction() as db:
            self._index_all_ids()  # from now on the text that the hash is made of is gone
            db.execute("PRAGMA secure_delete = ON")
            found = db.execute(
                "SELECT id, last_seq, messages FROM chunks "
                "WHERE conversation = ? AND id >= ? ORDER BY id LIMIT ?",
                (conversation, chunk, _STEP),
            ).fetchall()
            for number, last_seq, blob in found:
                mine = [row for row in chunks.rows(last_seq, blob) if row.sender == account]
                self._unindex(number, conversation, mine)
                left = [
                    (time_ms, sender, key, None if sender == account else body)
                    for time_ms, sender, key, body in chunks.unpack(blob)
                ]
                db.execute("UPDATE chunks SET messages = ? WHERE id = ?", (chunks.pack(left), number))

    def _merge_words_step(self) -> bool:
        """Rewrite a part of the index of words, so that words taken out of it are in no page any more."""
        before = self._db.total_changes
        with self._transaction() as db:
            # A negative number of pages begins a merge of everything, as `optimize` would do in one go
            # (https://sqlite.org/fts5.html#the_merge_command). Fewer than 2 changes: nothing was left to do.
            db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (-_STEP,))
        return self._db.total_changes - before >= 2  # noqa: PLR2004 - as that page says

    def _empty_journal(self) -> bool:
        """Move what is in the WAL to the file and cut the WAL: old pages are in it."""
        self._read("PRAGMA wal_checkpoint(TRUNCATE)")
        return False
