"""Replacing and removing messages in the table of chunks.

A chunk that is larger than the bound when it is written back is divided. Its last part keeps the id. An
index has seen the chunks up to an id (`ids_indexed`, `words_indexed`), and must see no part twice and each
once. So the other parts are below all ids if the search index has the chunk, and above all ids if not.
"""

from collections.abc import Sequence
from itertools import accumulate

from qscpd.domain.model import MessageRow
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.message_ids import MessageIds
from qscpd.store.sqlite.search_index import SearchIndex


class ChunkWriter:
    """Replaces and removes messages in chunks, and keeps the indexes in step."""

    def __init__(self, db: Database, ids: MessageIds, index: SearchIndex) -> None:
        self._db = db
        self._ids = ids
        self._index = index

    def exchange(self, conversation: int, chunk: int, old: list[MessageRow], new: list[MessageRow]) -> None:
        """Update the indexes for rows of a chunk that are replaced; `write` writes them."""
        if not self._ids.has_indexed(chunk):
            self._ids.index_all()  # from the texts that were sent
        # A long text costs the search index half a millisecond, and a reaction leaves it as it was.
        texts = [(before, after) for before, after in zip(old, new, strict=True) if before.body != after.body]
        self._index.remove(chunk, conversation, [before for before, _ in texts])
        self._index.add(chunk, conversation, [after for _, after in texts])

    def write(self, conversation: int, chunk: int, rows: Sequence[MessageRow]) -> None:
        """Write all rows of a chunk, in several chunks if they are too large for one."""
        entries = [chunks.entry(row) for row in rows]
        packed = chunks.pack(entries)
        if len(packed) > chunks.BOUND and not self._is_shared(conversation, rows):
            self._divide(conversation, chunk, rows[0].seq - 1, chunks.divide(entries))
        else:
            self._update(chunk, packed)

    def _update(self, chunk: int, packed: bytes) -> None:
        with self._db.transaction() as db:
            db.execute("UPDATE chunks SET messages = ? WHERE id = ?", (packed, chunk))

    def _is_shared(self, conversation: int, rows: Sequence[MessageRow]) -> bool:
        """Return whether another chunk ends inside a chunk: a damaged copy, at the place of a part."""
        sql = "SELECT 1 FROM chunks WHERE conversation = ? AND last_seq >= ? AND last_seq < ? LIMIT 1"
        return bool(self._db.read(sql, conversation, rows[0].seq, rows[-1].seq))

    def _divide(self, conversation: int, chunk: int, start: int, parts: Sequence[tuple[int, bytes]]) -> None:
        """Write a chunk in parts.

        Args:
            conversation: The chunk's conversation.
            chunk: Its id.
            start: The seq before its first message.
            parts: As of `chunks.divide`.
        """
        places = accumulate((count for count, _ in parts), initial=start)
        next(places)
        with self._db.transaction() as db:
            if not self._ids.has_indexed(chunk):
                self._ids.index_all()
            self._update(chunk, parts[-1][1])  # first, so that the others take the pages that it leaves
            numbers = self._numbers(chunk, len(parts) - 1)
            db.executemany(
                "INSERT INTO chunks (id, conversation, last_seq, messages) VALUES (?, ?, ?, ?)",
                [
                    (number, conversation, last_seq, blob)
                    for number, last_seq, (_, blob) in zip(numbers, places, parts, strict=False)
                ],
            )

    def _numbers(self, chunk: int, count: int) -> range:
        """Return ids for other parts of a chunk; that of message ids passes over what it has."""
        if self._index.has_indexed(chunk):
            below = min(self._db.read("SELECT min(id) FROM chunks")[0][0], 1)
            return range(below - count, below)
        above = self._db.read("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'")[0][0] + 1
        return range(above, above + count)

    def replace(
        self, conversation: int, chunk: int, rows: list[MessageRow], replaced: list[MessageRow]
    ) -> None:
        """Replace some rows of a chunk.

        Args:
            conversation: The chunk's conversation.
            chunk: Its id.
            rows: All of its rows, before.
            replaced: Those that change, afterwards.
        """
        new = {row.seq: row for row in replaced}
        with self._db.transaction():
            self.exchange(conversation, chunk, [row for row in rows if row.seq in new], replaced)
            self.write(conversation, chunk, [new.get(row.seq, row) for row in rows])

    def cut(self, conversation: int, chunk: int, rows: Sequence[MessageRow], count: int) -> None:
        """Remove the first rows of a chunk.

        Args:
            conversation: The chunk's conversation.
            chunk: Its id.
            rows: All of its rows, before; none if it is damaged.
            count: How many are removed.
        """
        with self._db.transaction():
            self._index.remove(chunk, conversation, rows[:count])
            if count < len(rows):
                self.write(conversation, chunk, rows[count:])
            else:
                self.delete(chunk)

    def delete(self, chunk: int) -> None:
        """Delete a chunk; the search index keeps its words."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM chunks WHERE id = ?", (chunk,))
