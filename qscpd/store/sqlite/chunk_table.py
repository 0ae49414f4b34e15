"""The table of chunks: finding messages in it, and replacing them."""

from collections.abc import Callable, Iterable, Iterator

from qscpd.domain.model import MessageRow
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.database import Database, DatabaseReader
from qscpd.store.sqlite.message_ids import MessageIds
from qscpd.store.sqlite.search_index import SearchIndex


class ChunkReader:
    """Reads messages by conversation and seq."""

    def __init__(self, db: DatabaseReader) -> None:
        self._db = db

    def containing(self, conversation: int, seq: int) -> tuple[int, list[MessageRow]] | None:
        """Return the id and the rows of the chunk with a message; None if it was pruned or never existed."""
        sql = """SELECT id, last_seq, messages FROM chunks WHERE conversation = ? AND last_seq >= ?
                 ORDER BY last_seq LIMIT 1"""
        for chunk, last_seq, blob in self._db.read(sql, conversation, seq):
            rows = chunks.rows(last_seq, blob)
            if rows[0].seq <= seq:
                return chunk, rows
        return None

    def finder(self, conversation: int) -> Callable[[int], MessageRow | None]:
        """Return a function that finds messages by seq, quickly if they are near each other."""
        near: list[MessageRow] = []

        def find(seq: int) -> MessageRow | None:
            nonlocal near
            if not near or not near[0].seq <= seq <= near[-1].seq:
                found = self.containing(conversation, seq)
                if found is None:
                    return None
                near = found[1]
            return near[seq - near[0].seq]

        return find

    def after(self, conversation: int, seq: int) -> Iterator[MessageRow]:
        """Yield the rows after a seq, by seq."""
        sql = (
            "SELECT last_seq, messages FROM chunks WHERE conversation = ? AND last_seq > ? ORDER BY last_seq"
        )
        for last_seq, blob in self._db.iterate(sql, conversation, seq):
            for row in chunks.rows(last_seq, blob):
                if row.seq > seq:
                    yield row

    def before(self, conversation: int, seq: int) -> Iterator[MessageRow]:
        """Yield the rows before a seq, the newest first."""
        # The chunk that has the message before `seq` may end behind it.
        sql = """SELECT last_seq, messages FROM chunks WHERE conversation = ?1 AND last_seq <= coalesce(
                   (SELECT min(last_seq) FROM chunks WHERE conversation = ?1 AND last_seq >= ?2), ?2)
                 ORDER BY last_seq DESC"""
        for last_seq, blob in self._db.iterate(sql, conversation, seq - 1):
            for row in reversed(chunks.rows(last_seq, blob)):
                if row.seq < seq:
                    yield row


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

    def cut(self, conversation: int, chunk: int, rows: list[MessageRow], count: int) -> None:
        """Remove the first rows of a chunk.

        Args:
            conversation: The chunk's conversation.
            chunk: Its id.
            rows: All of its rows, before.
            count: How many are removed.
        """
        with self._db.transaction() as db:
            self._index.remove(chunk, conversation, rows[:count])
            if count < len(rows):
                self.write(chunk, rows[count:])
            else:
                db.execute("DELETE FROM chunks WHERE id = ?", (chunk,))
