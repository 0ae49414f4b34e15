"""The index of words that a search looks in, with SQLite's FTS5.

It is filled behind delivery, a few messages at a time (`_index_words_step`): it costs more
than storing a message does, and nobody searches for what they just read. It has no text of
its own, so whoever takes a text away or replaces it takes its words out with `_unindex`.
"""

from collections.abc import Iterable
from typing import Final

from qscpd.domain.model import MessageRow
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.message_ids import SentIds

__all__ = ["SEQ_BITS", "WordIndex"]

SEQ_BITS: Final = 32
"""A row's number is its conversation << SEQ_BITS | seq."""

_STEP: Final = 100
"""Messages that one step indexes, as long as a chunk is not larger: about a millisecond."""


class WordIndex(SentIds):
    """Keeping the index."""

    def _words_wait(self) -> bool:
        sql = "SELECT EXISTS (SELECT 1 FROM chunks WHERE id > ?)"
        return bool(self._read(sql, int(self._meta("words_indexed")))[0][0])

    def _index_words_step(self) -> bool:
        """Index the next chunks; return whether there were any. Inside a transaction."""
        done = self._words_indexed()
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
        self._index(entries)
        self._db.execute("UPDATE meta SET value = ? WHERE key = 'words_indexed'", (str(done),))
        return True

    def _unindex(self, chunk: int, conversation: int, messages: Iterable[MessageRow]) -> None:
        """Take messages of a chunk out of the index, if they are in it. Inside a transaction."""
        if chunk <= self._words_indexed():
            self._db.executemany(
                "INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)",
                _entries(conversation, messages),
            )

    def _reindex(self, chunk: int, conversation: int, messages: Iterable[MessageRow]) -> None:
        """Put messages of a chunk into the index, if it was indexed already. Inside a transaction."""
        if chunk <= self._words_indexed():
            self._index(_entries(conversation, messages))

    def _index(self, entries: list[tuple[int, str]]) -> None:
        self._db.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", entries)

    def _words_indexed(self) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE key = 'words_indexed'").fetchone()
        return int(row[0])


def _entries(conversation: int, messages: Iterable[MessageRow]) -> list[tuple[int, str]]:
    base = conversation << SEQ_BITS
    return [
        (base | message.seq, message.body)
        for message in messages
        if message.body is not None and not message.meta.kind
    ]
