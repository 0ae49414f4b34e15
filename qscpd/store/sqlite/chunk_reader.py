"""Reading messages by conversation and seq: from chunks and, behind them, from the tail.

A page can begin in the middle of a chunk, and needs few of its messages. So chunks are decoded in slices.
What amendments have made of a message is stored beside its chunk, and is applied here.

What can't be read is reported, and a range of seqs stands for it: a chunk whose checksum is wrong, or one that
is missing between two others. Damaged pages can end a query in the middle. The rest is then read row by row.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from qscpd.domain.model import Damage, MessageRow, StoredItem
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.chunks import Change, place_of
from qscpd.store.sqlite.database import DatabaseReader
from qscpd.store.sqlite.places import next_place
from qscpd.store.sqlite.tail import Tail, merge_last

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
    """Empty if it is damaged."""
    is_amended: bool
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
    """Empty if they are damaged."""


class _Source:
    """Messages of a conversation as they are stored together: a chunk, or a piece of the tail.

    Attributes:
        first_seq: The first seq.
        last_seq: The last seq.
        packed: The messages; None if they can't be read.
    """

    __slots__ = ("_raws", "first_seq", "last_seq", "packed")

    def __init__(self, first_seq: int, last_seq: int, packed: bytes | None) -> None:
        self.first_seq = first_seq
        self.last_seq = last_seq
        self.packed = packed
        self._raws: Sequence[msgspec.Raw] = ()

    def rows(self, first: int, last: int, writers: chunks.Writers) -> list[MessageRow]:
        """Return some of the messages.

        Raises:
            StoreDamagedError: They are none, or have what no message can have.
        """
        if self.packed is None:
            return []
        if first == self.first_seq and last == self.last_seq:
            return chunks.rows(first, self.packed, writers)
        self._raws = self._raws or chunks.split(self.packed)
        part = self._raws[first - self.first_seq : last - self.first_seq + 1]
        return chunks.rows(first, chunks.pack(part), writers)


SCOPE: Final = "c.id, c.first_seq, c.last_seq, c.low, c.high, (SELECT max(id) FROM accounts)"
"""Columns of a scope, from `conversations c`."""

_AFTER: Final = """
    SELECT place, messages FROM chunks
    WHERE place >= coalesce((SELECT max(place) FROM chunks WHERE place BETWEEN ? AND ?), ?) AND place <= ?
    ORDER BY place
"""

_BEFORE: Final = "SELECT place, messages FROM chunks WHERE place BETWEEN ? AND ? ORDER BY place DESC"

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
        expected = max(seq + 1, scope.first_seq)
        for first, last, rows in self._slices_after(scope, expected):
            if first > expected:
                yield self._missing(scope, expected, first - 1)
                expected = first
            if not rows and last >= expected:
                yield Damage(expected, last)
            for row in rows:
                if row.seq > expected:
                    yield Damage(expected, row.seq - 1)
                if row.seq >= expected:
                    yield row
                    expected = row.seq + 1
            expected = max(expected, last + 1)
        if expected <= scope.last_seq:
            yield self._missing(scope, expected, scope.last_seq)

    def before(self, scope: Scope, seq: int, first: int) -> Iterator[StoredItem]:
        """Yield what is before a seq and not before `first`, falling by seq and without a hole."""
        lowest = max(first, scope.first_seq)
        expected = min(seq - 1, scope.last_seq)
        for start, last, rows in self._slices_before(scope, expected):
            if expected < lowest:
                return
            if last < expected:
                yield self._missing(scope, max(last + 1, lowest), expected)
                expected = last
            if not rows and expected >= max(start, lowest):
                yield Damage(max(start, lowest), expected)
            for row in reversed(rows):
                if row.seq > expected:
                    continue
                if row.seq < lowest:
                    break
                if row.seq < expected:
                    yield Damage(row.seq + 1, expected)
                yield row
                expected = row.seq - 1
            expected = min(expected, start - 1)
        if expected >= lowest:
            yield self._missing(scope, lowest, expected)

    def finder(self, scope: Scope) -> Callable[[int], MessageRow | None]:
        """Return a function that finds messages by seq, quickly if they are near each other.

        It returns None for one that is pruned, damaged or unknown.
        """
        near: _Source | None = None

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
            yield Chunk(first, last, rows, bool(rows and self.changes(scope, first, last)))

    def growing(self, scope: Scope) -> tuple[int, bytes] | None:
        """Return first seq and messages of the last chunk if messages can be added to it."""
        base = place_of(scope.conversation, 0)
        for place, blob in self._db.read(_GROWING, chunks.GROWING, base, base | _SEQS):
            with contextlib.suppress(StoreDamagedError):
                return (int(place & _SEQS), chunks.unseal(place, blob)) if blob is not None else None
        return None

    def last_chunk(self, conversation: int) -> int:
        """Return the first seq of the last chunk of a conversation; 0 without any."""
        base = place_of(conversation, 0)
        found = self._db.read(_LAST, base, base | _SEQS)[0][0]
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

    def _rows(self, scope: Scope, source: _Source, first: int, last: int) -> list[MessageRow]:
        """Return messages as they are now; none, and report it, if they are damaged."""
        try:
            rows = source.rows(first, last, scope.writers)
            changes = self.changes(scope, first, last)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(str(error), scope.conversation, first, last))
            return []
        if not changes:
            return rows
        return [changes[row.seq].apply(row) if row.seq in changes else row for row in rows]

    def changes(self, scope: Scope, first: int, last: int) -> Mapping[int, Change]:
        """Return what amendments have made of messages, by seq.

        Raises:
            StoreDamagedError: It can't be read. Then the messages must not be shown: they can be redacted.
        """
        base = place_of(scope.conversation, 0)
        found = self._db.read(_CHANGES, base | first, base | last)
        if not found:
            return _NO_CHANGES
        return {place & _SEQS: chunks.unpack_change(place, change, scope.writers) for place, change in found}

    # --- sources

    def _sources_after(self, scope: Scope, seq: int) -> Iterator[_Source]:
        if seq <= scope.folded:
            yield from self._chunks_after(scope, seq)
        for piece in self._tail.after(scope.conversation, max(scope.folded, seq - 1)):
            yield _Source(piece.first_seq, piece.last_seq, piece.packed)

    def _sources_before(self, scope: Scope, seq: int) -> Iterator[_Source]:
        for piece in reversed(self._tail.after(scope.conversation, scope.folded)):
            if piece.first_seq <= seq:
                yield _Source(piece.first_seq, piece.last_seq, piece.packed)
        base = place_of(scope.conversation, 0)
        for place, blob in self._stored(_BEFORE, (base, base | min(seq, scope.folded)), falling=True):
            yield self._source(scope, place, blob)

    def _chunks_after(self, scope: Scope, seq: int) -> Iterator[_Source]:
        base = place_of(scope.conversation, 0)
        start, last = base | min(max(seq, 0), _SEQS), base | scope.folded
        for place, blob in self._stored(_AFTER, (base, start, start, last), falling=False):
            source = self._source(scope, place, blob)
            if source.last_seq >= seq:
                yield source

    def _source(self, scope: Scope, place: int, blob: bytes | None) -> _Source:
        """Return a stored chunk; if it is damaged, report it, and let it end before the next one."""
        first = place & _SEQS
        problem = "can't be read"
        if blob is not None:
            try:
                packed = chunks.unseal(place, blob)
            except StoreDamagedError as error:
                problem = str(error)
            else:
                return _Source(first, min(first + chunks.claimed(packed) - 1, scope.folded), packed)
        last = scope.folded
        with contextlib.suppress(StoreDamagedError):
            for (following,) in self._db.read(_NEXT, place, place | _SEQS):
                if following is not None:
                    last = min(last, (following & _SEQS) - 1)
        first_shown = max(first, scope.first_seq)
        self._on_damage(DamagedPlace(problem, scope.conversation, first_shown, last, place))
        return _Source(first, last, None)

    def _stored(
        self, sql: str, values: tuple[int, ...], *, falling: bool
    ) -> Iterator[tuple[int, bytes | None]]:
        """Yield place and blob of chunks; around what SQLite can't read."""
        done: int | None = None
        try:
            for place, blob in self._db.iterate(sql, *values):
                yield place, blob
                done = place
        except StoreDamagedError:
            pass
        else:
            return
        low, high = values[0], values[-1]
        if falling:
            high = high if done is None else done - 1
        else:
            low = values[1] if done is None else done + 1
            if done is None and (start := next_place(self._db, values[0], low, falling=True)) is not None:
                low = start
        while (found := next_place(self._db, low, high, falling=falling)) is not None:
            yield found, self._blob(found)
            low, high = (low, found - 1) if falling else (found + 1, high)

    def _blob(self, place: int) -> bytes | None:
        """Return the blob of a chunk; None if it can't be read."""
        try:
            found = self._db.read("SELECT messages FROM chunks WHERE place = ?", place)
        except StoreDamagedError:
            return None
        return found[0][0] if found else None

    # --- damage

    def _missing(self, scope: Scope, first: int, last: int) -> Damage:
        """Report and return a range without any chunk."""
        self._on_damage(DamagedPlace("is missing", scope.conversation, first, last))
        return Damage(first, last)
