"""Searching one's own conversations, with SQLite's FTS5.

The index is filled behind delivery, a few messages at a time (`index_words_step`): it costs more
than storing a message does, and nobody searches for what they just read. It has no text of
its own, so whoever removes a message takes its words out with `_unindex`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from qscpd.store import chunks
from qscpd.store.base import Found, MessageRow
from qscpd.store.messages import Messages

__all__ = ["Words"]

_STEP: Final = 100
"""Messages that one step indexes, as long as a chunk is not larger: about a millisecond."""

_SEQ_BITS: Final = 32


class Words(Messages):
    """The index of words."""

    def search(
        self,
        account: int,
        words: Sequence[str],
        *,
        conversation: int | None,
        before: tuple[int, int, int],
        limit: int,
    ) -> tuple[Sequence[Found], bool]:
        """See `Store.search`."""
        # Each word in quotes is a plain string to FTS5, whatever is in it.
        query = " ".join('"' + word.replace('"', '""') + '"' for word in words)
        found: list[Found] = []
        for row in self.conversations(account):
            if conversation in (None, row.id):
                found += self._search_one(row.id, query, before, limit)
        found.sort(key=_place, reverse=True)
        return found[:limit], not self._words_wait()

    def _search_one(
        self, conversation: int, query: str, before: tuple[int, int, int], limit: int
    ) -> list[Found]:
        low, high = conversation << _SEQ_BITS, (conversation + 1) << _SEQ_BITS
        sql = "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC"
        found: list[Found] = []
        for (rowid,) in self._iterate(sql, query, low, high - 1):
            message = self._message(conversation, rowid - low)
            if message is None or message.body is None:
                continue
            each = Found(conversation, message)
            if _place(each) < before:
                found.append(each)
            if len(found) >= limit:
                break
        return found

    def _message(self, conversation: int, seq: int) -> MessageRow | None:
        for row in self._chunks_after(conversation, seq - 1):
            return next((each for each in chunks.rows(*row) if each.seq == seq), None)
        return None

    def _words_wait(self) -> bool:
        sql = "SELECT EXISTS (SELECT 1 FROM chunks WHERE id > ?)"
        return bool(self._read(sql, int(self._meta("words_indexed")))[0][0])

    def _index_words_step(self) -> bool:
        """Index the next chunks; return whether there were any. Inside a transaction."""
        done = int(self._db.execute("SELECT value FROM meta WHERE key = 'words_indexed'").fetchone()[0])
        cursor = self._db.execute(
            "SELECT id, conversation, last_seq, messages FROM chunks WHERE id > ? ORDER BY id", (done,)
        )
        entries: list[tuple[int, str]] = []
        count = 0
        for chunk, conversation, last_seq, blob in cursor:
            rows = chunks.rows(last_seq, blob)
            entries += _entries(conversation, rows)
            count += len(rows)
            done = chunk
            if count >= _STEP:
                break
        if not count:
            return False
        self._db.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", entries)
        self._db.execute("UPDATE meta SET value = ? WHERE key = 'words_indexed'", (str(done),))
        return True

    def _unindex(self, chunk: int, conversation: int, messages: Iterable[MessageRow]) -> None:
        """Take messages of a chunk out of the index, if they are in it. Inside a transaction."""
        done = int(self._db.execute("SELECT value FROM meta WHERE key = 'words_indexed'").fetchone()[0])
        if chunk <= done:
            self._db.executemany(
                "INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)",
                _entries(conversation, messages),
            )


def _place(found: Found) -> tuple[int, int, int]:
    return found.message.time_ms, found.conversation, found.message.seq


def _entries(conversation: int, messages: Iterable[MessageRow]) -> list[tuple[int, str]]:
    base = conversation << _SEQ_BITS
    return [(base | message.seq, message.body) for message in messages if message.body is not None]
