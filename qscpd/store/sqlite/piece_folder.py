"""Folding pieces of the tail into chunks and into the search index; `fold.py` decides which and when."""

from collections.abc import Iterable, Mapping, Sequence

from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.changes import Change
from qscpd.store.sqlite.chunk_reader import ChunkReader, Scope
from qscpd.store.sqlite.chunk_table import ChunkWriter
from qscpd.store.sqlite.chunks import place_of
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.search_index import SearchIndex
from qscpd.store.sqlite.tail import Piece

_Packed = Sequence[tuple[int, int, bytes]]
"""First seq, last seq and packed messages."""

_Texts = Sequence[tuple[int, str]]
"""Places and texts."""


class PieceFolder:
    """Folds pieces."""

    def __init__(self, db: Database, reader: ChunkReader, writer: ChunkWriter, index: SearchIndex) -> None:
        self._db = db
        self._reader = reader
        self._writer = writer
        self._index = index

    def fold(
        self,
        conversation: int,
        pieces: Sequence[Piece],
        *,
        as_journaled: bool = False,
        has_words: bool = True,
    ) -> None:
        """Fold pieces of a conversation in the running transaction.

        Args:
            conversation: The conversation.
            pieces: Its pieces, by seq.
            as_journaled: Leave what amendments have made of them where it is, as it may be damaged.
            has_words: Index their words.

        Raises:
            StoreDamagedError: A page is damaged that is needed.
        """
        scope = self._reader.scope(conversation)
        pieces = [piece for piece in pieces if piece.last_seq > scope.folded]
        if not pieces:
            return
        packed, texts = (self._as_journaled if as_journaled else self._as_now)(scope, pieces)
        if has_words:
            self._index.add(texts)
        self._writer.put(conversation, self._grown(scope, packed))
        last = pieces[-1]
        with self._db.transaction() as db:
            db.execute(
                "UPDATE conversations SET last_seq = ?, last_ms = ? WHERE id = ?",
                (last.last_seq, last.last_ms, conversation),
            )

    def _as_now(self, scope: Scope, pieces: Sequence[Piece]) -> tuple[_Packed, _Texts]:
        """Return first seq, last seq and messages of pieces as they are now, and their texts."""
        packed: list[tuple[int, int, bytes]] = []
        texts: list[tuple[int, str]] = []
        changes = self._reader.changes(scope, pieces[0].first_seq, pieces[-1].last_seq)
        for piece in pieces:
            for first_seq, part in _amended(piece, changes, scope):
                texts += chunks.texts(place_of(scope.conversation, first_seq), part)
                packed.append((first_seq, first_seq + chunks.claimed(part) - 1, part))
        if changes:
            self._writer.forget_amendments(scope.conversation, pieces[0].first_seq, pieces[-1].last_seq)
        return packed, texts

    def _as_journaled(self, scope: Scope, pieces: Sequence[Piece]) -> tuple[_Packed, _Texts]:
        """Return the same of pieces as they are in the journal; what amendments have made of them stays."""
        packed = [(piece.first_seq, piece.last_seq, piece.packed) for piece in pieces]
        texts = [
            (place_of(scope.conversation, row.seq), row.body)
            for piece in pieces
            for row in self._reader.readable(scope, piece)
            if row.body is not None and not row.meta.kind
        ]
        return packed, texts

    def _grown(self, scope: Scope, added: Iterable[tuple[int, int, bytes]]) -> Sequence[tuple[int, bytes]]:
        """Return the chunks that messages make together with the last one, if that can grow.

        Args:
            scope: Their conversation.
            added: As of `_as_now`.
        """
        written: list[tuple[int, list[bytes]]] = []
        expected = size = 0
        if (growing := self._reader.growing(scope)) is not None:
            first_seq, packed = growing
            written.append((first_seq, [packed]))
            expected, size = first_seq + chunks.claimed(packed), len(packed)
        for first_seq, last_seq, packed in added:
            if first_seq != expected or size + len(packed) > chunks.BOUND:
                written.append((first_seq, []))
                size = 0
            written[-1][1].append(packed)
            size += len(packed)
            expected = last_seq + 1
        return [(first_seq, chunks.join(parts)) for first_seq, parts in written]


def _amended(piece: Piece, changes: Mapping[int, Change], scope: Scope) -> Sequence[tuple[int, bytes]]:
    """Return a piece with what amendments have made of its messages: first seq and messages of its parts."""
    if not changes or not any(seq in changes for seq in range(piece.first_seq, piece.last_seq + 1)):
        return [(piece.first_seq, piece.packed)]
    rows = chunks.rows(piece.first_seq, piece.packed, scope.writers)
    now = [changes[row.seq].apply(row) if row.seq in changes else row for row in rows]
    parts: list[tuple[int, bytes]] = []
    first_seq = piece.first_seq
    for count, part in chunks.divide([chunks.entry(row) for row in now]):
        parts.append((first_seq, part))
        first_seq += count
    return parts
