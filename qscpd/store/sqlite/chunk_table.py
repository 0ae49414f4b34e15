"""Writing chunks: folded messages, and messages that are replaced or removed.

A chunk that is larger than the bound when it is written is divided.
"""

from collections.abc import Iterable, Sequence

from qscpd.domain.model import MessageRow
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.chunk_reader import Chunk
from qscpd.store.sqlite.chunks import place_of
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.ids import MessageIds
from qscpd.store.sqlite.search_index import SearchIndex


class ChunkWriter:
    """Writes chunks, and keeps the indexes in step."""

    def __init__(self, db: Database, ids: MessageIds, index: SearchIndex) -> None:
        self._db = db
        self._ids = ids
        self._index = index

    def put(self, conversation: int, written: Iterable[tuple[int, bytes]]) -> None:
        """Write chunks: first seq and packed messages of each."""
        rows = []
        for first_seq, packed in written:
            place = place_of(conversation, first_seq)
            rows.append((place, chunks.seal(place, packed)))
        with self._db.transaction() as db:
            db.executemany("REPLACE INTO chunks VALUES (?, ?)", rows)

    def rewrite(self, conversation: int, rows: Sequence[MessageRow]) -> None:
        """Write all rows of a chunk as they are now; what amendments have made of them is in them."""
        written: list[tuple[int, bytes]] = []
        first_seq = rows[0].seq
        for count, packed in chunks.divide([chunks.entry(row) for row in rows]):
            written.append((first_seq, packed))
            first_seq += count
        with self._db.transaction():
            self.put(conversation, written)
            self.forget_amendments(conversation, rows[0].seq, rows[-1].seq)

    def replace(self, conversation: int, chunk: Chunk, replaced: Sequence[MessageRow]) -> None:
        """Replace some messages of a chunk.

        Args:
            conversation: The chunk's conversation.
            chunk: The chunk, before.
            replaced: Those that change, afterwards.
        """
        new = {row.seq: row for row in replaced}
        before = [row for row in chunk.rows if row.seq in new and row.body != new[row.seq].body]
        with self._db.transaction():
            self._ids.keep(conversation, [row for row in chunk.rows if row.seq in new])
            self._index.exchange(conversation, before, [new[row.seq] for row in before])
            self.rewrite(conversation, [new.get(row.seq, row) for row in chunk.rows])

    def cut(self, conversation: int, chunk: Chunk, count: int) -> None:
        """Remove the first messages of a chunk, or all of it if it is damaged.

        Args:
            conversation: The chunk's conversation.
            chunk: The chunk, before.
            count: How many are removed.
        """
        with self._db.transaction():
            self._ids.keep(conversation, chunk.rows[:count])
            self._index.remove(conversation, chunk.rows[:count])
            self.delete(conversation, chunk)
            if count < len(chunk.rows):
                self.rewrite(conversation, chunk.rows[count:])

    def delete(self, conversation: int, chunk: Chunk) -> None:
        """Delete a chunk; the search index keeps its words."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM chunks WHERE place = ?", (place_of(conversation, chunk.first_seq),))
            self.forget_amendments(conversation, chunk.first_seq, chunk.last_seq)

    def forget_amendments(self, conversation: int, first: int, last: int) -> None:
        """Delete what amendments have made of messages in a range of seqs: it is in them, or they are gone."""
        with self._db.transaction() as db:
            db.execute(
                "DELETE FROM amendments WHERE place BETWEEN ? AND ?",
                (place_of(conversation, first), place_of(conversation, last)),
            )
