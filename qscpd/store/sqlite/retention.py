"""Taking messages away: pruning what is older than kept, and erasing what a person wrote.

Both go in small steps, each a transaction of its own, between the commits of messages.
Pruning takes a prefix of a conversation and raises its `first_seq`; erasing leaves each message's
place, so that seqs stay dense. Ids stay in `sent_ids`, so that a late retry stays harmless.
"""

import contextlib
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from qscpd.domain.model import Keep, MessageRow
from qscpd.errors import StoreFullError
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.search import Words

__all__ = ["Erasing", "Retention"]

_STEP_CHUNKS: Final = 50
"""Chunks that one step looks at."""

_STEP_MESSAGES: Final = 200
"""Messages that one step removes or erases: some 5 ms, most of it for the index of words."""

_MERGED_PAGES: Final = 50
"""Pages of the index of words that one step rewrites."""

_COMPACT_AT_ONCE: Final = 32 * 1024 * 1024
"""Files up to this many bytes are rewritten while messages wait for it: a third of a second."""


@dataclass(slots=True)
class Erasing:
    """How far the erasing of an account's messages has come."""

    conversation: int = 0
    """Everything in conversations before this one is done."""
    seq: int = 0
    """And in this one, everything up to here."""
    merging: bool = False
    """Whether the index of words is being rewritten."""
    compacted: bool = False
    """Whether the file was rewritten, or is going to be when it is opened again."""


class _Chunk(NamedTuple):
    """A chunk that a step changes."""

    id: int
    last_seq: int
    blob: bytes
    chosen: list[MessageRow]
    """Its messages that the step removes or erases."""


class Retention(Words):
    """Pruning and erasing."""

    _prune_from: int
    """The conversation that the next step of pruning begins at."""
    _erasing: dict[int, Erasing]

    def tend(self, keep: Keep) -> bool:
        """See `Store.tend`."""
        with self._transaction():
            if self._index_ids_step() or self._index_words_step():
                return True
        if self._sweep_ids_step() or self._empty_room_step():
            return True
        if keep == Keep():
            return False
        return self._prune_step(keep)

    def _empty_room_step(self) -> bool:
        """Remove a few messages of a deleted room; return whether there were any."""
        sql = """SELECT c.id, c.last_seq FROM rooms r JOIN conversations c ON c.id = r.conversation
                 WHERE r.state = 'deleted' AND c.first_seq <= c.last_seq LIMIT 1"""
        return any(self._cut(conversation, last_seq + 1, 0) for conversation, last_seq in self._read(sql))

    # --- pruning

    def _prune_step(self, keep: Keep) -> bool:
        """Prune one conversation a little; return whether there is more to do. Begins anew after the last."""
        rows = self._read(
            "SELECT id, first_seq, last_seq FROM conversations WHERE id >= ? ORDER BY id LIMIT 1",
            self._prune_from,
        )
        if not rows:
            self._prune_from = 0
            return False
        conversation, cut, last = rows[0]
        if keep.messages is not None:
            cut = max(cut, last - keep.messages + 1)
        oldest_ms = self._clock_ms() - keep.age_ms if keep.age_ms is not None else 0
        if not self._cut(conversation, cut, oldest_ms):
            self._prune_from = conversation + 1
        return True

    def _cut(self, conversation: int, cut: int, oldest_ms: int) -> bool:
        """Remove what comes before a seq or a time from the next chunks; return whether there was any."""
        found = self._outlived(conversation, cut, oldest_ms)
        if not found:
            return False
        with self._transaction() as db:
            for chunk in found:
                self._unindex(chunk.id, conversation, chunk.chosen)
                kept = chunks.rows(chunk.last_seq, chunk.blob)[len(chunk.chosen) :]
                if kept:
                    packed = chunks.pack([chunks.entry(row) for row in kept])
                    db.execute("UPDATE chunks SET messages = ? WHERE id = ?", (packed, chunk.id))
                else:
                    db.execute("DELETE FROM chunks WHERE id = ?", (chunk.id,))
            first = found[-1].chosen[-1].seq + 1
            db.execute("UPDATE conversations SET first_seq = ? WHERE id = ?", (first, conversation))
        return True

    def _outlived(self, conversation: int, cut: int, oldest_ms: int) -> list[_Chunk]:
        """The oldest chunks with something before a seq or a time, as much as a step takes."""
        found: list[_Chunk] = []
        room = _STEP_MESSAGES
        sql = "SELECT id, last_seq, messages FROM chunks WHERE conversation = ? ORDER BY last_seq LIMIT ?"
        for number, last_seq, blob in self._iterate(sql, conversation, _STEP_CHUNKS):
            rows = chunks.rows(last_seq, blob)
            # Neither seq nor time ever falls, so this is a prefix.
            gone = [row for row in rows if row.seq < cut or row.time_ms < oldest_ms][:room]
            if gone:
                found.append(_Chunk(number, last_seq, blob, gone))
            room -= len(gone)
            if len(gone) < len(rows) or not room:
                break
        return found

    # --- erasing

    def erase_step(self, account: int) -> bool:
        """See `Store.erase_step`."""
        erasing = self._erasing.setdefault(account, Erasing())
        if not erasing.merging and self._erase_next(account, erasing):
            return True
        if not erasing.compacted and self._merge_words_step(begin=not erasing.merging):
            erasing.merging = True
            return True
        if not erasing.compacted:
            self._compact_soon()
            erasing.compacted = True
            return True
        if not self._empty_journal():
            return True
        del self._erasing[account]
        return False

    def _erase_next(self, account: int, erasing: Erasing) -> bool:
        """Erase what comes next; return False after the last."""
        rows = self._read(
            "SELECT min(conversation) FROM positions WHERE account = ? AND conversation >= ?",
            account,
            erasing.conversation,
        )
        conversation = rows[0][0]
        if conversation is None:
            with self._transaction() as db:
                db.execute("UPDATE room_log SET text = '' WHERE actor = ? AND text <> ''", (account,))
            return False
        if conversation != erasing.conversation:
            erasing.conversation, erasing.seq = conversation, 0
        sql = (
            "SELECT id, last_seq, messages FROM chunks WHERE conversation = ? AND last_seq > ? "
            "ORDER BY last_seq LIMIT ?"
        )
        found = self._read(sql, conversation, erasing.seq, _STEP_CHUNKS)
        if not found:
            erasing.conversation += 1
            erasing.seq = 0
        elif not self._ids_are_indexed(found[-1][0]):
            with self._transaction():
                self._index_ids_step()
        else:
            self._erase_from(account, erasing, found)
        return True

    def _ids_are_indexed(self, chunk: int) -> bool:
        """Whether the text that an id's hash is made of is not needed any more."""
        return int(self._meta("ids_indexed")) >= chunk

    def _erase_from(self, account: int, erasing: Erasing, found: list[tuple[int, int, bytes]]) -> None:
        """Erase an account's messages in some chunks, as many as a step takes."""
        room = _STEP_MESSAGES
        done = erasing.seq
        with self._transaction():
            for number, last_seq, blob in found:
                erased = [
                    (row, left) for row in chunks.rows(last_seq, blob) if (left := _erased(row, account))
                ]
                if erased:
                    old, new = map(list, zip(*erased[:room], strict=True))
                    self._replace_rows(erasing.conversation, number, old, new)
                    room -= len(new)
                if not room:
                    done = new[-1].seq
                    break
                done = last_seq
        erasing.seq = done

    def _merge_words_step(self, *, begin: bool) -> bool:
        """Rewrite a part of the index of words, so that words taken out of it are in no page any more."""
        # A negative number of pages begins to merge everything, as `optimize` would do in one go;
        # positive ones go on (https://sqlite.org/fts5.html#the_merge_command).
        pages = -_MERGED_PAGES if begin else _MERGED_PAGES
        before = self._db.total_changes
        with self._transaction() as db:
            db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
        # Fewer than 2 changes: nothing was left to do, as that page says.
        return self._db.total_changes - before >= 2  # noqa: PLR2004

    def compaction_due(self) -> bool:
        """See `Store.compaction_due`."""
        return bool(self._read("SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'compact')")[0][0])

    def compact(self) -> None:
        """See `Store.compact`."""
        self._run("VACUUM")
        with self._transaction() as db:
            db.execute("DELETE FROM meta WHERE key = 'compact'")
        self._empty_journal()

    def _compact_soon(self) -> None:
        """Rewrite the file, at once if it is small.

        `secure_delete` overwrites what is deleted, but when SQLite moves rows from page to page it
        leaves copies of them in the unused middle of a page now and then.
        """
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('compact', '1')")
        if self._path.stat().st_size <= _COMPACT_AT_ONCE:
            with contextlib.suppress(StoreFullError):  # it needs as much room again
                self.compact()

    def _empty_journal(self) -> bool:
        """Move what is in the WAL to the file and cut it, for it has old pages; False: a reader needs it."""
        self._read("PRAGMA busy_timeout = 0")  # delivery would wait, too
        try:
            busy = self._read("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        finally:
            self._read("PRAGMA busy_timeout = 5000")
        return not busy


def _erased(row: MessageRow, account: int) -> MessageRow | None:
    """A message without what an account wrote in it or put on it; None if there is nothing of theirs."""
    if row.sender == account and (row.body is not None or row.meta.digest):
        meta = msgspec.structs.replace(row.meta, reactions={}, mentions=(), digest=b"")
        return row._replace(body=None, meta=meta)
    if any(account in people for people in row.meta.reactions.values()):
        left = {
            text: tuple(each for each in people if each != account)
            for text, people in row.meta.reactions.items()
        }
        reactions = {text: people for text, people in left.items() if people}
        return row._replace(meta=msgspec.structs.replace(row.meta, reactions=reactions))
    return None
