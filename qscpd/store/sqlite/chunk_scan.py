"""Scanning all chunks in the order of the commits, for what is indexed behind delivery."""

from collections.abc import Generator
from typing import Final, NamedTuple

from qscpd.domain.model import MessageRow
from qscpd.errors import StoreDamagedError
from qscpd.store.sqlite.chunk_reader import SCOPE, ChunkReader, Scope, scope_of
from qscpd.store.sqlite.database import DatabaseReader

_STARTS: Final = f"""
    SELECT k.id, k.last_seq, k.messages, (
      SELECT max(p.last_seq) FROM chunks p WHERE p.conversation = k.conversation AND p.last_seq < k.last_seq
    ), {SCOPE} FROM chunks k JOIN conversations c ON c.id = k.conversation WHERE k.id > ? ORDER BY k.id
"""  # noqa: S608 - ours

_PLACES: Final = """
    SELECT id, conversation, last_seq FROM chunks INDEXED BY chunk_positions WHERE id > ? ORDER BY id LIMIT ?
"""
"""Reads no page of the table itself. It takes the whole index each time, but only where that is damaged."""

_PLACES_AT_ONCE: Final = 1000


class ScannedChunk(NamedTuple):
    """A chunk, and what it is in."""

    id: int
    conversation: int
    start: int
    """The last seq of the chunk before it."""
    peers: tuple[int, int] | None
    """The accounts of a pair; None in a room."""
    rows: list[MessageRow]
    """Empty if it is damaged."""
    size: int
    """Bytes of its blob."""


class ChunkScan:
    """Reads chunks in the order in which they were written."""

    def __init__(self, db: DatabaseReader, reader: ChunkReader) -> None:
        self._db = db
        self._reader = reader

    def after(self, chunk: int) -> Generator[ScannedChunk, None, None]:
        """Yield the chunks with a higher id, by id."""
        try:
            for number, last_seq, blob, start, *scope in self._db.iterate(_STARTS, chunk):
                yield self._scanned(scope_of(scope), number, last_seq, blob, start)
                chunk = number
        except StoreDamagedError:
            pass
        else:
            return
        while places := self._db.read(_PLACES, chunk, _PLACES_AT_ONCE):
            for number, conversation, last_seq in places:
                yield self._scanned(
                    self._reader.scope(conversation), number, last_seq, self._reader.blob(number), None
                )
                chunk = number

    def _scanned(
        self, scope: Scope, chunk: int, last_seq: int, blob: bytes | None, start: int | None
    ) -> ScannedChunk:
        if start is None:
            start = self._reader.last_before(scope, last_seq)
        writers = scope.writers
        peers = (writers.lowest, writers.highest) if writers.pair else None
        rows = self._reader.rows(scope, chunk, start, last_seq, blob)
        return ScannedChunk(chunk, scope.conversation, start, peers, rows, len(blob or b""))
