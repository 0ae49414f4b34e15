"""Reading messages by conversation and seq: from chunks and, behind them, from the tail.

A page can begin in the middle of a chunk, and needs few of its messages. So chunks are decoded in slices.
What amendments have made of a message is stored beside its chunk, and is applied here.

What can't be read is reported, and a range of seqs stands for it: a chunk whose checksum is wrong, one that
is missing between two others, or a single message that is wrong although the checksum fits.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from qscpd.domain.model import Damage, MessageRow, StoredItem
from qscpd.domain.pages import join_damage
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.changes import Change, unpack_change
from qscpd.store.sqlite.chunks import place_of
from qscpd.store.sqlite.database import DatabaseReader
from qscpd.store.sqlite.places import AFTER, BEFORE, end_of_overlapped, stored_chunks, undamaged_before
from qscpd.store.sqlite.tail import Piece, Tail, merge_last

_SLICE: Final = 64
"""Messages that are decoded at once."""

_SEQS: Final = (1 << chunks.SEQ_BITS) - 1

_NO_CHANGES: Final[Mapping[int, Change]] = {}


class Scope(NamedTuple):
    """What the messages of a conversation have to fit."""

    conversation: int
    first_seq: int
    last_seq: int
    folded: int
    """The last seq that is in a chunk; what is behind it is in the tail."""
    writers: chunks.Writers


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A stored chunk, decoded, with what amendments have made of its messages."""

    first_seq: int
    last_seq: int
    rows: list[MessageRow]
    """Without those that are damaged."""
    damaged: Mapping[int, msgspec.Raw] = {}
    """Those that are damaged while the others are not, by seq, as they are stored."""
    is_amended: bool = False
    """Whether it still has texts, or other things, that amendments have replaced."""


class ChunkPlace(NamedTuple):
    """Place of a chunk, without its messages."""

    first_seq: int
    last_seq: int
    time_ms: int | None
    """The time of its first message; None if it can't be read."""


class _Slice(NamedTuple):
    """Messages of one source whose seqs follow each other."""

    first_seq: int
    last_seq: int
    rows: list[MessageRow]
    """Without those that are damaged."""


SCOPE: Final = "c.id, c.first_seq, c.last_seq, c.low, c.high, (SELECT max(id) FROM accounts)"
"""Columns of a scope, from `conversations c`."""

_NEXT: Final = "SELECT min(place) FROM chunks WHERE place > ? AND place <= ?"

_LAST: Final = "SELECT max(place) FROM chunks WHERE place BETWEEN ? AND ?"

_GROWING: Final = """
    SELECT place, CASE WHEN length(messages) < ? THEN messages END FROM chunks WHERE place BETWEEN ? AND ?
    ORDER BY place DESC LIMIT 1
"""

_HEAD: Final = f"""
    SELECT place, substr(messages, 1, {chunks.HEAD}) FROM chunks WHERE place BETWEEN ? AND ?
    ORDER BY place DESC LIMIT 1
"""  # noqa: S608 - ours

_CHANGES: Final = "SELECT place, change FROM amendments WHERE place BETWEEN ? AND ?"


class ChunkReader:
    """Reads messages by conversation and seq.

    Args:
        db: The connection.
        tail: The tail of the connection.
        on_damage: Called with each damaged place that is read.
    """

    def __init__(self, db: DatabaseReader, tail: Tail, on_damage: OnDamage) -> None:
        self._db = db
        self._tail = tail
        self._on_damage = on_damage

    # --- messages

    def after(self, scope: Scope, seq: int) -> Iterator[StoredItem]:
        """Yield what is after a seq, by seq and without a hole up to the conversation's last seq."""
        return join_damage(self._after(scope, seq))

    def _after(self, scope: Scope, seq: int) -> Iterator[StoredItem]:
        expected = max(seq + 1, scope.first_seq)
        for first, last, rows in self._slices_after(scope, expected):
            if first > expected:
                yield self._missing(scope, expected, first - 1)
                expected = first
            for row in rows:
                if row.seq > expected:
                    yield Damage(expected, row.seq - 1)
                if row.seq >= expected:
                    yield row
                    expected = row.seq + 1
            if expected <= last:
                yield Damage(expected, last)
                expected = last + 1
        if expected <= scope.last_seq:
            yield self._missing(scope, expected, scope.last_seq)

    def before(self, scope: Scope, seq: int, first: int) -> Iterator[StoredItem]:
        """Yield what is before a seq and not before `first`, falling by seq and without a hole."""
        return join_damage(self._before(scope, seq, first))

    def _before(self, scope: Scope, seq: int, first: int) -> Iterator[StoredItem]:
        lowest = max(first, scope.first_seq)
        expected = min(seq - 1, scope.last_seq)
        for start, last, rows in self._slices_before(scope, expected):
            if expected < lowest:
                return
            if last < expected:
                yield self._missing(scope, max(last + 1, lowest), expected)
                expected = last
            for row in reversed(rows):
                if row.seq > expected:
                    continue
                if row.seq < lowest:
                    break
                if row.seq < expected:
                    yield Damage(row.seq + 1, expected)
                yield row
                expected = row.seq - 1
            if expected >= (end := max(start, lowest)):
                yield Damage(end, expected)
            expected = min(expected, start - 1)
        if expected >= lowest:
            yield self._missing(scope, lowest, expected)

    def finder(self, scope: Scope) -> Callable[[int], MessageRow | None]:
        """Return a function that finds messages by seq, quickly if they are near each other.

        It returns None for one that is pruned, damaged or unknown.
        """
        near: chunks.Source | None = None

        def find(seq: int) -> MessageRow | None:
            nonlocal near
            if not scope.first_seq <= seq <= scope.last_seq:
                return None
            if near is None or not near.first_seq <= seq <= near.last_seq:
                near = next(iter(self._sources_before(scope, seq)), None)
                if near is None or seq > near.last_seq:
                    return None
            rows = self._rows(scope, near, seq, seq)
            return rows[0] if rows else None

        return find

    # --- chunks

    def scope(self, conversation: int) -> Scope:
        """Return what the messages of a conversation have to fit."""
        rows = self._db.read(f"SELECT {SCOPE} FROM conversations c WHERE id = ?", conversation)  # noqa: S608 - ours
        if not rows:
            return Scope(conversation, 1, 0, 0, chunks.Writers(1, 0, pair=False))
        return self.scope_of(rows[0])

    def scope_of(self, row: Sequence[Any]) -> Scope:
        """Return the scope that the columns of `SCOPE` have, with what is in the tail."""
        conversation, first_seq, folded, low, high, newest = row
        pair = low is not None and high is not None
        writers = chunks.Writers(low, high, pair) if pair else chunks.Writers(1, newest or 0, pair)
        last_seq, _ = merge_last(self._tail, conversation, folded, 0)
        return Scope(conversation, first_seq, last_seq, folded, writers)

    def chunks_after(self, scope: Scope, seq: int) -> Generator[Chunk, None, None]:
        """Yield the chunks of a conversation that end after a seq, by seq; the tail is not in them."""
        for source in self._chunks_after(scope, seq + 1):
            first, last = source.first_seq, source.last_seq
            rows = self._rows(scope, source, first, last)
            damaged: dict[int, msgspec.Raw] = {}
            if len(rows) < last - first + 1 and source.packed is not None:
                damaged = dict(enumerate(source.raws(first, last), first))
                for row in rows:
                    del damaged[row.seq]
            yield Chunk(first, last, rows, damaged, bool(rows) and self._is_amended(scope, first, last))

    def _is_amended(self, scope: Scope, first: int, last: int) -> bool:
        base = place_of(scope.conversation, 0)
        return bool(self._db.read(_CHANGES, base | first, base | last))

    def readable(self, scope: Scope, piece: Piece) -> list[MessageRow]:
        """Return those messages of a piece of the tail that are not damaged, as they are now."""
        source = chunks.Source(piece.first_seq, piece.last_seq, piece.packed)
        return self._undamaged(scope, source, piece.first_seq, piece.last_seq)

    def growing(self, scope: Scope) -> tuple[int, bytes] | None:
        """Return first seq and messages of the last chunk if messages can be added to it."""
        base = place_of(scope.conversation, 0)
        for place, blob in self._db.read(_GROWING, chunks.GROWING, base, base | _SEQS):
            with contextlib.suppress(StoreDamagedError):
                return (int(place & _SEQS), chunks.messages(place, blob)) if blob is not None else None
        return None

    def last_chunk(self, conversation: int) -> int:
        """Return the first seq of the last chunk of a conversation; 0 without any.

        One at a seq that no message can have is damaged.
        """
        base = place_of(conversation, 0)
        found = self._db.read(_LAST, base, base | chunks.LAST_SEQ)[0][0]
        return 0 if found is None else int(found & _SEQS)

    def chunk_at(self, scope: Scope, seq: int) -> ChunkPlace | None:
        """Return where the chunk is that has a message, or is before it; None if that can't be read.

        For a message that is not folded: where its piece of the tail is.
        """
        if seq > scope.folded:
            for piece in self._tail.after(scope.conversation, seq - 1):
                return ChunkPlace(piece.first_seq, piece.last_seq, chunks.first_time(piece.packed))
            return None
        base = place_of(scope.conversation, 0)
        with contextlib.suppress(StoreDamagedError):
            for place, head in self._db.read(_HEAD, base, base | seq):
                first = place & _SEQS
                last = min(first + max(chunks.claimed(head), 1) - 1, scope.folded)
                return ChunkPlace(first, last, chunks.first_time(head))
        return None

    # --- slices

    def _slices_after(self, scope: Scope, seq: int) -> Iterator[_Slice]:
        """Yield slices from the one with a seq on, by seq."""
        for source in self._sources_after(scope, seq):
            begin = max(source.first_seq, seq)
            while begin <= source.last_seq:
                end = source.last_seq if source.packed is None else min(begin + _SLICE - 1, source.last_seq)
                yield _Slice(begin, end, self._rows(scope, source, begin, end))
                begin = end + 1

    def _slices_before(self, scope: Scope, seq: int) -> Iterator[_Slice]:
        """Yield slices from the one with a seq on, falling."""
        for source in self._sources_before(scope, seq):
            end = min(source.last_seq, seq)
            while end >= source.first_seq:
                begin = source.first_seq if source.packed is None else max(end - _SLICE + 1, source.first_seq)
                yield _Slice(begin, end, self._rows(scope, source, begin, end))
                end = begin - 1

    def _rows(self, scope: Scope, source: chunks.Source, first: int, last: int) -> list[MessageRow]:
        """Return messages as they are now; those that are damaged are reported, and left out."""
        try:
            rows = source.rows(first, last, scope.writers)
            changes = self.changes(scope, first, last)
        except StoreDamagedError:
            return self._undamaged(scope, source, first, last)
        if not changes:
            return rows
        return [changes[row.seq].apply(row) if row.seq in changes else row for row in rows]

    def _undamaged(self, scope: Scope, source: chunks.Source, first: int, last: int) -> list[MessageRow]:
        """Return those of the messages that are not damaged; report each of the others."""
        try:
            raws = source.raws(first, last)
        except StoreDamagedError as error:
            begin = max(source.first_seq, scope.first_seq)
            self._on_damage(DamagedPlace(str(error), scope.conversation, begin, source.last_seq))
            source.packed = None
            return []
        found: list[MessageRow] = []
        for seq, raw in enumerate(raws, first):
            try:
                row = chunks.row(seq, raw, scope.writers)
                change = self.changes(scope, seq, seq).get(seq)
            except StoreDamagedError as error:
                if seq >= scope.first_seq:
                    self._on_damage(DamagedPlace(str(error), scope.conversation, seq, seq))
            else:
                found.append(row if change is None else change.apply(row))
        return found

    def changes(self, scope: Scope, first: int, last: int) -> Mapping[int, Change]:
        """Return what amendments have made of messages, by seq.

        Raises:
            StoreDamagedError: It can't be read. Then the messages must not be shown: they can be redacted.
        """
        base = place_of(scope.conversation, 0)
        found = self._db.read(_CHANGES, base | first, base | last)
        if not found:
            return _NO_CHANGES
        return {place & _SEQS: unpack_change(place, change, scope.writers) for place, change in found}

    # --- sources

    def _sources_after(self, scope: Scope, seq: int) -> Iterator[chunks.Source]:
        if seq <= scope.folded:
            yield from self._chunks_after(scope, seq)
        for piece in self._tail.after(scope.conversation, max(scope.folded, seq - 1)):
            yield chunks.Source(piece.first_seq, piece.last_seq, piece.packed)

    def _sources_before(self, scope: Scope, seq: int) -> Iterator[chunks.Source]:
        for piece in reversed(self._tail.after(scope.conversation, scope.folded)):
            if piece.first_seq <= seq:
                yield chunks.Source(piece.first_seq, piece.last_seq, piece.packed)
        base = place_of(scope.conversation, 0)
        values = base, base | min(seq, scope.folded)
        done = 0
        for found in stored_chunks(self._db, BEFORE, values, falling=True):
            source = self._source(scope, *found)
            if source.first_seq != done:
                yield source
            done = source.first_seq

    def _chunks_after(self, scope: Scope, seq: int) -> Iterator[chunks.Source]:
        base = place_of(scope.conversation, 0)
        start, last = base | min(max(seq, 0), _SEQS), base | scope.folded
        done = 0
        for found in stored_chunks(self._db, AFTER, (base, start, start, last), falling=False):
            source = self._source(scope, *found)
            if source.last_seq >= seq and source.first_seq > done:
                yield source
            done = max(done, source.first_seq)

    def _source(
        self, scope: Scope, place: int, blob: bytes | None, following: int | None = None
    ) -> chunks.Source:
        """Return a stored chunk; if it is damaged, report it, and let it end before the next one.

        One that is damaged at a place that another one has is not read: its place is wrong. Then that one
        is returned.

        Args:
            scope: Its conversation.
            place: Its place.
            blob: The chunk; None if it can't be read.
            following: The place of the next chunk of any conversation, if it is known.
        """
        first, problem = place & _SEQS, "can't be read"
        if blob is not None:
            try:
                packed = chunks.messages(place, blob)
            except StoreDamagedError as error:
                problem = str(error)
            else:
                last = first + chunks.claimed(packed) - 1
                if following is not None and following <= place_of(scope.conversation, last):
                    last = end_of_overlapped(self._db, place, last)
                return chunks.Source(first, min(last, scope.folded), packed)
        for other, packed in undamaged_before(self._db, place):
            if other + chunks.claimed(packed) > place:
                return self._source(scope, other, chunks.seal(other, packed), place)
        last = self._end(scope, place)
        self._on_damage(DamagedPlace(problem, scope.conversation, max(first, scope.first_seq), last, place))
        return chunks.Source(first, last, None)

    def _end(self, scope: Scope, place: int) -> int:
        """Return the last seq before the next chunk behind a place, or of all chunks."""
        with contextlib.suppress(StoreDamagedError):
            for (following,) in self._db.read(_NEXT, place, place | _SEQS):
                if following is not None:
                    return min(scope.folded, int(following & _SEQS) - 1)
        return scope.folded

    # --- damage

    def _missing(self, scope: Scope, first: int, last: int) -> Damage:
        """Return a range without any chunk; report all that is missing there."""
        begin, end = first, last
        if first <= scope.folded:
            place = self.chunk_at(scope, first)
            begin = min(first, max(place.last_seq + 1 if place else 1, scope.first_seq))
            end = max(last, self._end(scope, place_of(scope.conversation, last)))
        self._on_damage(DamagedPlace("is missing", scope.conversation, begin, end))
        return Damage(first, last)
