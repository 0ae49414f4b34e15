"""The tail: messages that are in the journal and not in chunks, in memory, by conversation.

The writer adds what it commits, and drops what is folded. A reader reads the rows of the journal that are new
to it, in the same snapshot as everything else. So for both, a message is either in a chunk or in the tail, or
it is in both: then the chunk counts, because `conversations.last_seq` says what is folded.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from qscpd.store.damage import OnDamage
from qscpd.store.sqlite import journal
from qscpd.store.sqlite.database import DatabaseReader
from qscpd.store.sqlite.journal import Part

_PIECE: Final = 250
"""Bytes that a piece takes in memory besides its messages."""


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Messages that one commit has added to one conversation, as in the journal."""

    conversation: int
    first_seq: int
    last_seq: int
    last_ms: int
    packed: bytes
    row: int
    """The journal's row."""

    @classmethod
    def of(cls, row: int, part: Part) -> "Piece":
        """Return a part of a row as a piece."""
        return cls(*part, row)

    @property
    def part(self) -> Part:
        """What the row has of it."""
        return Part(self.conversation, self.first_seq, self.last_seq, self.last_ms, self.packed)


_by_seq: Final = attrgetter("last_seq")


class Tail:
    """Messages that are not folded.

    Attributes:
        count: Number of messages.
        size: Bytes that they take in memory.
        first_row: The oldest row of the journal that is in it; 0 if there is none.
        last_row: The newest row that was added.
    """

    def __init__(self) -> None:
        self.count = self.size = 0
        self.first_row = self.last_row = 0
        self._pieces: dict[int, list[Piece]] = {}
        self._rows: deque[tuple[int, list[Piece]]] = deque()

    def add(self, row: int, parts: Iterable[Part]) -> None:
        """Add a row of the journal."""
        pieces = [Piece.of(row, part) for part in parts]
        for piece in pieces:
            known = self._pieces.setdefault(piece.conversation, [])
            if known and known[-1].last_seq > piece.last_seq:
                insort(known, piece, key=_by_seq)  # of a conversation that could not be folded
            else:
                known.append(piece)
            self.count += piece.last_seq - piece.first_seq + 1
            self.size += len(piece.packed) + _PIECE
        self._rows.append((row, pieces))
        self.first_row = self.first_row or row
        self.last_row = row

    def drop(self, row: int) -> None:
        """Drop the rows up to one."""
        dropped: dict[int, set[int]] = {}
        while self._rows and self._rows[0][0] <= row:
            for piece in self._rows.popleft()[1]:
                dropped.setdefault(piece.conversation, set()).add(piece.last_seq)
                self.count -= piece.last_seq - piece.first_seq + 1
                self.size -= len(piece.packed) + _PIECE
        for conversation, seqs in dropped.items():
            # A new list: an iterator of the old one goes on.
            left = [piece for piece in self._pieces[conversation] if piece.last_seq not in seqs]
            if left:
                self._pieces[conversation] = left
            else:
                del self._pieces[conversation]
        self.first_row = self._rows[0][0] if self._rows else 0

    def pieces(self) -> Iterator[Piece]:
        """Yield all pieces, row by row."""
        for _, pieces in self._rows:
            yield from pieces

    def after(self, conversation: int, seq: int) -> Sequence[Piece]:
        """Return the pieces of a conversation that end after a seq, by seq."""
        pieces = self._pieces.get(conversation)
        if pieces is None:
            return ()
        if pieces[0].last_seq > seq:
            return pieces
        return pieces[bisect_left(pieces, seq + 1, key=_by_seq) :]

    def last(self, conversation: int) -> Piece | None:
        """Return the newest piece of a conversation; None if it has none."""
        pieces = self._pieces.get(conversation)
        return pieces[-1] if pieces else None

    def rows_up_to(self, row: int) -> Iterator[tuple[int, int]]:
        """Yield the rows up to one, by id, each with its bytes."""
        for number, pieces in self._rows:
            if number > row:
                return
            yield number, sum(len(piece.packed) for piece in pieces)


class ReadTail(Tail):
    """The tail of a reading connection, read at the beginning of each snapshot.

    Args:
        db: The connection.
        on_damage: Called with each row that can't be read.
    """

    def __init__(self, db: DatabaseReader, on_damage: OnDamage) -> None:
        super().__init__()
        self._db = db
        self._on_damage = on_damage
        db.on_snapshot(self.refresh)

    def refresh(self) -> None:
        """Bring the tail to the state of the snapshot that has begun."""
        folded, newest = journal.row_range(self._db)
        self.drop(folded)
        known = max(self.last_row, folded)
        if newest > known:
            for row, parts in journal.read_rows(self._db, known, self._on_damage):
                self.add(row, parts)
            self.last_row = max(self.last_row, newest)


def merge_last(tail: Tail, conversation: int, last_seq: int, last_ms: int) -> tuple[int, int]:
    """Return last seq and time of a conversation's newest message.

    Args:
        tail: The tail.
        conversation: The conversation.
        last_seq: Its last message that is folded.
        last_ms: The time of that.
    """
    piece = tail.last(conversation)
    if piece is None or piece.last_seq <= last_seq:
        return last_seq, last_ms
    return piece.last_seq, piece.last_ms
