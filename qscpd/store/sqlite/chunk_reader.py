"""Reading chunks, also of a damaged file: what can't be read is reported, and a range of seqs stands for it.

The number of messages in a chunk must fit the distance to the chunk before it. Where it does not, a chunk
between them is missing, or this one is damaged and its seqs would be wrong. It is read only if the index of
message ids has one of its ids under the seq that it would have, or if this run wrote it.

Damaged pages can end a query in the middle. The rest is then read row by row: the places of chunks are in
the index `chunk_positions`, on other pages.
"""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from qscpd.domain.model import Damage, MessageRow, StoredItem
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.database import DatabaseReader

_PATIENCE: Final = 50
"""Damaged chunks in a row after which their range is yielded, so that a page of them has an end."""

_NEAR: Final = 8
"""Chunks that a look-up of one message tries: those before the right one may be damaged copies."""

_WITNESSES: Final = 10
"""Messages of a chunk that are looked up to confirm its seqs."""


class Scope(NamedTuple):
    """What the chunks of a conversation have to fit."""

    conversation: int
    first_seq: int
    last_seq: int
    writers: chunks.Writers


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A stored chunk. A Struct, because there can be one for each message."""

    id: int
    start: int
    """The last seq of the chunk before it; before the first one, that of what was pruned."""
    last_seq: int
    rows: list[MessageRow]
    """Empty if it is damaged."""


_Stored = tuple[int, int, bytes | None, int | None]
"""Id, last seq, blob (None if it can't be read), and the last seq of the chunk before the first one."""

SCOPE: Final = "c.id, c.first_seq, c.last_seq, c.low, c.high, (SELECT max(id) FROM accounts)"
"""Columns of a scope, from `conversations c`."""

_AFTER: Final = """
    SELECT id, last_seq, messages,
      (SELECT max(last_seq) FROM chunks WHERE conversation = ? AND last_seq <= ?)
    FROM chunks WHERE conversation = ? AND last_seq > ? AND last_seq <= ? ORDER BY last_seq
"""

# The chunk that has a seq may end behind it.
_BEFORE: Final = """
    SELECT id, last_seq, messages, NULL FROM chunks
    WHERE conversation = ? AND last_seq <= min(?, coalesce(
      (SELECT min(last_seq) FROM chunks WHERE conversation = ? AND last_seq >= ?), ?))
    ORDER BY last_seq DESC
"""

_PLACES_AFTER: Final = """
    SELECT id, last_seq FROM chunks WHERE conversation = ? AND last_seq BETWEEN ? AND ? ORDER BY last_seq
"""

_PLACES_BEFORE: Final = f"{_PLACES_AFTER} DESC"


def scope_of(row: Sequence[Any]) -> Scope:
    """Return the scope that the columns of `SCOPE` have."""
    conversation, first_seq, last_seq, low, high, newest = row
    pair = low is not None and high is not None
    writers = chunks.Writers(low, high, pair) if pair else chunks.Writers(1, newest or 0, pair)
    return Scope(conversation, first_seq, last_seq, writers)


def _may_overlap(pair: Sequence[tuple[Any, ...]]) -> bool:
    """Return whether the second of two stored chunks has more messages than places behind the first."""
    if len(pair) == 1:
        return False
    places, blob = pair[1][1] - pair[0][1], pair[1][2]
    if blob and blob[0] == chunks.SMALL + places:  # as nearly always
        return False
    return bool(chunks.claimed(blob) > places)


class ChunkReader:
    """Reads messages by conversation and seq.

    Args:
        db: The connection.
        on_damage: Called with each damaged place that is read.

    Attributes:
        trusts_new: Whether chunks that are not indexed were written by this run.
    """

    def __init__(self, db: DatabaseReader, on_damage: OnDamage) -> None:
        self.trusts_new = True
        self._db = db
        self._on_damage = on_damage

    # --- messages

    def after(self, scope: Scope, seq: int) -> Iterator[StoredItem]:
        """Yield what is after a seq, by seq and without a hole up to the conversation's last seq."""
        expected = max(seq + 1, scope.first_seq)
        damaged = 0
        for chunk in self.chunks_after(scope, seq):
            rows = chunk.rows
            if rows:
                first = rows[0].seq
                if first > expected:
                    yield self._damage(scope, Damage(expected, first - 1), chunk.start, damaged)
                yield from rows if first >= expected else rows[expected - first :]
            elif damaged + 1 < _PATIENCE:
                damaged += 1
                continue
            else:
                yield Damage(expected, chunk.last_seq)
            expected, damaged = chunk.last_seq + 1, 0
        if expected <= scope.last_seq:
            yield self._damage(scope, Damage(expected, scope.last_seq), expected - 1, damaged)

    def before(self, scope: Scope, seq: int, first: int) -> Iterator[StoredItem]:
        """Yield what is before a seq and not before `first`, falling by seq and without a hole."""
        first = max(first, scope.first_seq)
        expected = min(seq - 1, scope.last_seq)
        # Where a range without a chunk ends is known unless the page begins inside it.
        damaged = int(expected < scope.last_seq)
        for chunk in self._chunks_before(scope, seq - 1):
            if expected < first:
                return
            damaged += not chunk.rows
            lowest = chunk.start + 1
            if chunk.rows:
                if chunk.last_seq < expected:
                    yield self._damage(scope, Damage(chunk.last_seq + 1, expected), chunk.last_seq, damaged)
                    expected = chunk.last_seq
                lowest = chunk.rows[0].seq
                yield from reversed(chunk.rows[max(first - lowest, 0) : max(expected - lowest + 1, 0)])
            elif damaged < _PATIENCE:
                continue
            else:
                yield Damage(max(lowest, first), expected)
            expected, damaged = min(lowest - 1, expected), 0
        if expected >= first:
            yield self._damage(scope, Damage(first, expected), first - 1, damaged)

    def containing(self, scope: Scope, seq: int) -> tuple[int, list[MessageRow]] | None:
        """Return id and rows of the chunk with a message; None if it is pruned, damaged or unknown."""
        if not scope.first_seq <= seq <= scope.last_seq:
            return None
        with contextlib.suppress(StoreDamagedError):  # the quick way, if all is well
            number = scope.conversation
            pair = self._db.read(f"{_AFTER} LIMIT 2", number, seq - 1, number, seq - 1, scope.last_seq)
            if pair and not _may_overlap(pair):
                chunk, last_seq, blob, start = pair[0]
                rows = chunks.rows(last_seq, blob, scope.writers)
                if rows[0].seq == (scope.first_seq if start is None else start + 1):
                    return chunk, rows
        with contextlib.closing(self.chunks_after(scope, seq - 1)) as found:
            for _, chunk in zip(range(_NEAR), found, strict=False):
                if chunk.rows:
                    first = max(chunk.rows[0].seq, scope.first_seq)
                    return (chunk.id, chunk.rows) if first <= seq else None
        return None

    def finder(self, scope: Scope) -> Callable[[int], MessageRow | None]:
        """Return a function that finds messages by seq, quickly if they are near each other."""
        near: list[MessageRow] = []

        def find(seq: int) -> MessageRow | None:
            nonlocal near
            if not near or not near[0].seq <= seq <= near[-1].seq:
                found = self.containing(scope, seq)
                if found is None:
                    return None
                near = found[1]
            return near[seq - near[0].seq]

        return find

    # --- chunks

    def scope(self, conversation: int) -> Scope:
        """Return what the chunks of a conversation have to fit."""
        rows = self._db.read(f"SELECT {SCOPE} FROM conversations c WHERE id = ?", conversation)  # noqa: S608 - ours
        return scope_of(rows[0]) if rows else Scope(conversation, 1, 0, chunks.Writers(1, 0, pair=False))

    def chunks_after(self, scope: Scope, seq: int) -> Generator[Chunk, None, None]:
        """Yield the chunks of a conversation that end after a seq, by seq."""
        last: _Stored | None = None
        start = 0
        for each in self._stored(scope, seq, falling=False):
            if last is None:
                start = min(scope.first_seq - 1, seq) if each[3] is None else each[3]
            else:
                chunk = self._chunk(scope, last, start)
                start = last[1]
                if _may_overlap((last, each)):
                    chunk = self._unless_overlapped(scope, chunk, self._chunk(scope, each, start))
                if start >= scope.first_seq:
                    yield chunk
            last = each
        if last is not None and last[1] >= scope.first_seq:
            yield self._chunk(scope, last, start)

    def _chunks_before(self, scope: Scope, seq: int) -> Generator[Chunk, None, None]:
        """Yield the chunks of a conversation from the one with a seq on, falling."""
        upper: Chunk | None = None
        last: _Stored | None = None
        for each in itertools.chain(self._stored(scope, seq, falling=True), (None,)):
            if last is not None:
                start = min(scope.first_seq, last[1]) - 1 if each is None else each[1]
                chunk = self._chunk(scope, last, start)
                if upper is not None:
                    if upper.rows and upper.rows[0].seq <= last[1]:
                        chunk = self._unless_overlapped(scope, chunk, upper)
                elif not chunk.rows and (found := self.containing(scope, seq)) is not None:
                    yield Chunk(found[0], found[1][0].seq - 1, found[1][-1].seq, found[1])
                yield chunk
                upper = chunk
            last = each

    def _unless_overlapped(self, scope: Scope, lower: Chunk, upper: Chunk) -> Chunk:
        """Return a chunk; if the next one has the same seqs, only if these are certain."""
        if not lower.rows or not upper.rows or upper.rows[0].seq > lower.last_seq:
            return lower
        if self._is_placed(scope.conversation, lower.id, lower.last_seq, lower.rows):
            return lower
        place = DamagedPlace("is out of place", scope.conversation, lower.start + 1, lower.last_seq, lower.id)
        self._on_damage(place)
        return Chunk(lower.id, lower.start, lower.last_seq, [])

    def _chunk(self, scope: Scope, stored: _Stored, start: int) -> Chunk:
        chunk, last_seq, blob, _ = stored
        return Chunk(chunk, start, last_seq, self.rows(scope, chunk, start, last_seq, blob))

    def _stored(self, scope: Scope, seq: int, *, falling: bool) -> Iterator[_Stored]:
        """Yield the stored chunks after a seq, or from the one with it on; around what SQLite can't read."""
        done = 0
        number, last = scope.conversation, scope.last_seq
        if falling:
            found = self._db.iterate(_BEFORE, number, last, number, seq, seq)
        else:
            found = self._db.iterate(_AFTER, number, seq, number, seq, last)
        try:
            for each in found:
                yield each
                done = each[1]
        except StoreDamagedError:
            pass
        else:
            return
        # The rest row by row.
        start = None if done or falling else self.last_before(scope, seq + 1)
        places = self._places_between(scope, seq, falling=falling)
        if done:
            places = itertools.islice(itertools.dropwhile(lambda place: place[1] != done, places), 1, None)
        for chunk, last_seq in places:
            yield chunk, last_seq, self.blob(chunk), start

    def _places_between(self, scope: Scope, seq: int, *, falling: bool) -> Iterator[tuple[int, int]]:
        """Yield id and last seq of the chunks after a seq, or from the one with it on."""
        if not falling:
            yield from self._places(_PLACES_AFTER, scope.conversation, seq + 1, scope.last_seq)
            return
        top = seq = min(seq, scope.last_seq)
        sql = "SELECT min(last_seq) FROM chunks WHERE conversation = ? AND last_seq BETWEEN ? AND ?"
        for (found,) in self._places(sql, scope.conversation, seq, scope.last_seq):
            top = seq if found is None else found
        yield from self._places(_PLACES_BEFORE, scope.conversation, 0, top)

    def rows(
        self, scope: Scope, chunk: int, start: int, last_seq: int, blob: bytes | None
    ) -> list[MessageRow]:
        """Return the messages of a chunk; none, and report it, if it is damaged.

        Args:
            scope: Of its conversation.
            chunk: Its id.
            start: The last seq of the chunk before it.
            last_seq: Its own.
            blob: Its content; None if it can't be read.
        """
        problem = "can't be read"
        if blob is not None:
            try:
                rows = chunks.rows(last_seq, blob, scope.writers)
            except StoreDamagedError as error:
                problem = str(error)
            else:
                if len(rows) == last_seq - start or self._is_placed(scope.conversation, chunk, start, rows):
                    return rows
                problem = f"{len(rows)} messages for {last_seq - start} places"
        self._on_damage(DamagedPlace(problem, scope.conversation, start + 1, last_seq, chunk))
        return []

    def _places(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield rows of the index of places; if it is damaged itself, those before the damage."""
        try:
            yield from self._db.iterate(sql, *values)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(str(error)))

    def blob(self, chunk: int) -> bytes | None:
        """Return the blob of a chunk; None if it can't be read."""
        try:
            found = self._db.read("SELECT messages FROM chunks WHERE id = ?", chunk)
        except StoreDamagedError:
            return None
        return found[0][0] if found else None

    def last_before(self, scope: Scope, seq: int) -> int:
        """Return the last seq of the chunk that ends before a seq, or that of what was pruned."""
        sql = "SELECT max(last_seq) FROM chunks WHERE conversation = ? AND last_seq < ?"
        for (last,) in self._places(sql, scope.conversation, seq):
            if last is not None:
                return int(last)
        return min(scope.first_seq, seq) - 1

    # --- damage

    def _damage(self, scope: Scope, damage: Damage, start: int, damaged: int) -> Damage:
        """Report a range without any chunk; one with a damaged chunk was reported."""
        if not damaged:
            place = DamagedPlace("is missing", scope.conversation, min(start + 1, damage.first), damage.last)
            self._on_damage(place)
        return damage

    def _is_placed(self, conversation: int, chunk: int, start: int, rows: list[MessageRow]) -> bool:
        """Return whether the seqs of a chunk that does not follow the one before it are certain."""
        sql = "SELECT conversation, seq FROM sent_ids WHERE account = ? AND id = ?"
        try:
            # Opening the store indexes everything that earlier runs wrote.
            if rows[0].seq > start and self.trusts_new and chunk > int(self._db.meta("ids_indexed")):
                return True
            for row in rows[:_WITNESSES]:
                for found in self._db.read(sql, row.sender, bytes.fromhex(row.id)):
                    return bool(found == (conversation, row.seq))
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(str(error)))
        return False
