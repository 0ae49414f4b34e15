"""Replacing and removing messages in the table of chunks."""

from collections.abc import Iterable, Sequence

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

    def write(self, chunk: int, rows: Iterable[MessageRow]) -> None:
        """Write all rows of a chunk."""
        packed = chunks.pack([chunks.entry(row) for row in rows])
        with self._db.transaction() as db:
            db.execute("UPDATE chunks SET messages = ? WHERE id = ?", (packed, chunk))

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
            self.write(chunk, (new.get(row.seq, row) for row in rows))

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
                self.write(chunk, rows[count:])
            else:
                self.delete(chunk)

    def delete(self, chunk: int) -> None:
        """Delete a chunk; the search index keeps its words."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM chunks WHERE id = ?", (chunk,))
