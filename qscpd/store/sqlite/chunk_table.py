"""Writing chunks: folded messages, and messages that are replaced or removed.

A chunk that is larger than the bound when it is written is divided.
"""

from collections.abc import Iterable, Sequence

import msgspec

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

    def rewrite(self, conversation: int, chunk: Chunk) -> None:
        """Write all messages of a chunk as they are now; what amendments have made of them is in them."""
        written: list[tuple[int, bytes]] = []
        first_seq = chunk.first_seq
        entries: dict[int, chunks.Entry | msgspec.Raw] = dict(chunk.damaged)
        entries.update((row.seq, chunks.entry(row)) for row in chunk.rows)
        for count, packed in chunks.divide([entries[seq] for seq in sorted(entries)]):
            written.append((first_seq, packed))
            first_seq += count
        with self._db.transaction():
            self.put(conversation, written)
            if not chunk.damaged:
                self.forget_amendments(conversation, chunk.first_seq, chunk.last_seq)
                return
            for row in chunk.rows:  # what the others lack can be a redaction
                self.forget_amendments(conversation, row.seq, row.seq)

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
            rows = [new.get(row.seq, row) for row in chunk.rows]
            self.rewrite(conversation, msgspec.structs.replace(chunk, rows=rows))

    def cut(self, conversation: int, chunk: Chunk, first: int) -> None:
        """Remove the first messages of a chunk.

        Args:
            conversation: The chunk's conversation.
            chunk: The chunk, before.
            first: The first seq that stays; one behind the chunk's last to remove all.
        """
        removed = [row for row in chunk.rows if row.seq < first]
        with self._db.transaction():
            self._ids.keep(conversation, removed)
            self._index.remove(conversation, removed)
            if first > chunk.last_seq:
                self.delete(conversation, chunk)
                return
            self.delete(conversation, msgspec.structs.replace(chunk, last_seq=first - 1))
            rest = msgspec.structs.replace(
                chunk,
                first_seq=first,
                rows=[row for row in chunk.rows if row.seq >= first],
                damaged={seq: raw for seq, raw in chunk.damaged.items() if seq >= first},
            )
            self.rewrite(conversation, rest)

    def delete(self, conversation: int, chunk: Chunk) -> None:
        """Delete a chunk; the search index keeps its words."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM chunks WHERE place = ?", (place_of(conversation, chunk.first_seq),))
            self.forget_amendments(conversation, chunk.first_seq, chunk.last_seq)

    def forget_amendments(self, conversation: int, first: int, last: int) -> None:
        """Delete what amendments have made of a range of messages: it is in them, or they are gone."""
        with self._db.transaction() as db:
            db.execute(
                "DELETE FROM amendments WHERE place BETWEEN ? AND ?",
                (place_of(conversation, first), place_of(conversation, last)),
            )
