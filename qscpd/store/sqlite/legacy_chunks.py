"""Chunks of schemas 1 to 5, as the upgrade of a store and the inspection of an old backup read them.

Such a chunk is a row with the seq of its last message, and packed messages without a checksum. Its first seq
is certain if its number of messages fits the distance to the chunk before it. Otherwise a chunk between them
is missing, or this one is damaged. Then it is read only if the index of message ids has one of its ids under
the seq that it would have.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from qscpd.domain.model import Damage, MessageRow
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.faults import READ_ERRORS, describe, is_damage

_WITNESSES: Final = 10
"""Messages of a chunk that are looked up to confirm its seqs."""

_CONVERSATIONS: Final = 1000
"""Conversations that are read at once."""

_SCOPES: Final = """
    SELECT id, first_seq, last_seq, low, high, (SELECT max(id) FROM accounts) FROM conversations
    WHERE id > ? ORDER BY id LIMIT ?
"""

_IN_RANGE: Final = "FROM chunks WHERE conversation = ? AND last_seq > ? AND last_seq <= ? ORDER BY last_seq"


class LegacyScope(NamedTuple):
    """What the chunks of a conversation have to fit."""

    conversation: int
    first_seq: int
    last_seq: int
    low: int | None
    """With `high`, the accounts of a pair; None in a room."""
    high: int | None
    writers: chunks.Writers


class LegacyChunk(NamedTuple):
    """A chunk that can be read."""

    id: int
    rows: list[MessageRow]
    """Its messages; those that were pruned or are in the chunk before it are left out."""
    packed: bytes | None
    """Its bytes; None if some of its messages are left out."""
    size: int
    """Bytes that it has in the store."""


_Stored = tuple[int, int, bytes | None]
"""Id, last seq, and blob (None if it can't be read)."""


class _Decoded(NamedTuple):
    """A stored chunk and its messages."""

    id: int
    last_seq: int
    rows: list[MessageRow]
    """Empty if it is damaged."""
    blob: bytes | None


def scopes(db: sqlite3.Connection) -> Iterator[LegacyScope]:
    """Yield what is known of each conversation, in a database of schema 2 or later."""
    last = 0
    while found := db.execute(_SCOPES, (last, _CONVERSATIONS)).fetchall():
        for conversation, first_seq, last_seq, low, high, newest in found:
            pair = low is not None and high is not None
            writers = chunks.Writers(low, high, pair) if pair else chunks.Writers(1, newest or 0, pair)
            yield LegacyScope(conversation, first_seq, last_seq, low, high, writers)
            last = conversation


def read_rows(db: sqlite3.Connection, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, up to the first one that is damaged.

    Raises:
        StoreDamagedError: The file is damaged there.
        sqlite3.Error: It can't be read now, or the reading was interrupted: nothing is known of its content.
    """
    try:
        yield from db.execute(sql, values)
    except READ_ERRORS as error:
        if is_damage(error):
            raise StoreDamagedError(describe(error)) from error
        raise


class LegacyReader:
    """Reads the chunks of a database of an old schema.

    Args:
        db: The database.
        schema: Its schema.
        on_damage: Called with each damaged place that is read.
    """

    def __init__(self, db: sqlite3.Connection, schema: int, on_damage: OnDamage) -> None:
        self._db = db
        self._has_ids = schema > 1
        self._on_damage = on_damage

    def items(self, scope: LegacyScope) -> Iterator[LegacyChunk | Damage]:
        """Yield the chunks of a conversation by seq, and the ranges that can't be read between them."""
        expected, reported = scope.first_seq, False
        for chunk, last_seq, rows, blob in self._certain(scope):
            kept = rows if not rows or rows[0].seq >= expected else rows[expected - rows[0].seq :]
            if not kept:
                reported = True
                continue
            if kept[0].seq > expected:
                yield self._damage(scope, Damage(expected, kept[0].seq - 1), reported=reported)
            yield LegacyChunk(chunk, kept, blob if len(kept) == len(rows) else None, len(blob or b""))
            expected, reported = last_seq + 1, False
        if expected <= scope.last_seq:
            yield self._damage(scope, Damage(expected, scope.last_seq), reported=reported)

    def _damage(self, scope: LegacyScope, damage: Damage, *, reported: bool) -> Damage:
        """Report a range without any chunk; one with a damaged chunk was reported."""
        if not reported:
            self._on_damage(DamagedPlace("is missing", scope.conversation, damage.first, damage.last))
        return damage

    def _certain(self, scope: LegacyScope) -> Iterator[_Decoded]:
        """Yield the stored chunks; none with messages that the next one has, too, unless they are certain."""
        lower: _Decoded | None = None
        for upper in self._decoded(scope):
            if lower is not None:
                yield self._unless_overlapped(scope, lower, upper)
            lower = upper
        if lower is not None:
            yield lower

    def _unless_overlapped(self, scope: LegacyScope, lower: _Decoded, upper: _Decoded) -> _Decoded:
        rows = lower.rows
        if not rows or not upper.rows or upper.rows[0].seq > lower.last_seq or self._is_placed(scope, rows):
            return lower
        problem, first = "is out of place", rows[0].seq
        self._on_damage(DamagedPlace(problem, scope.conversation, first, lower.last_seq, lower.id))
        return lower._replace(rows=[])

    def _decoded(self, scope: LegacyScope) -> Iterator[_Decoded]:
        start = self._start(scope)
        for chunk, last_seq, blob in self._stored(scope):
            yield _Decoded(chunk, last_seq, self._rows(scope, (chunk, last_seq, blob), start), blob)
            start = last_seq

    def _start(self, scope: LegacyScope) -> int:
        """Return the last seq of what was pruned."""
        sql = "SELECT max(last_seq) FROM chunks WHERE conversation = ? AND last_seq < ?"
        with contextlib.suppress(StoreDamagedError):
            for (last_seq,) in read_rows(self._db, sql, scope.conversation, scope.first_seq):
                if last_seq is not None:
                    return int(last_seq)
        return scope.first_seq - 1

    def _stored(self, scope: LegacyScope) -> Iterator[_Stored]:
        """Yield the stored chunks of a conversation; around what SQLite can't read, row by row."""
        done = scope.first_seq - 1
        try:
            values = scope.conversation, done, scope.last_seq
            for chunk, last_seq, blob in read_rows(
                self._db, f"SELECT id, last_seq, messages {_IN_RANGE}", *values
            ):
                yield chunk, last_seq, blob
                done = last_seq
        except StoreDamagedError:
            # The places are in the index, on other pages.
            yield from self._row_by_row(scope, done)

    def _row_by_row(self, scope: LegacyScope, done: int) -> Iterator[_Stored]:
        try:
            values = scope.conversation, done, scope.last_seq
            for chunk, last_seq in read_rows(self._db, f"SELECT id, last_seq {_IN_RANGE}", *values):
                yield chunk, last_seq, self._blob(chunk)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"places of messages of c{scope.conversation}: {error}"))

    def _blob(self, chunk: int) -> bytes | None:
        with contextlib.suppress(StoreDamagedError):
            for (blob,) in read_rows(self._db, "SELECT messages FROM chunks WHERE id = ?", chunk):
                return bytes(blob)
        return None

    def _rows(self, scope: LegacyScope, stored: _Stored, start: int) -> list[MessageRow]:
        """Return the messages of a chunk; report one that is damaged, or that stands for missing ones."""
        chunk, last_seq, blob = stored
        problem = "can't be read" if blob is None else "is missing"
        if blob:
            try:
                rows = chunks.rows(last_seq - chunks.claimed(blob) + 1, blob, scope.writers)
            except StoreDamagedError as error:
                problem = str(error)
            else:
                if len(rows) == last_seq - start or self._is_placed(scope, rows):
                    return rows
                problem = f"{len(rows)} messages for {last_seq - start} places"
        self._on_damage(DamagedPlace(problem, scope.conversation, start + 1, last_seq, chunk))
        return []

    def _is_placed(self, scope: LegacyScope, rows: list[MessageRow]) -> bool:
        """Return whether the index of message ids confirms the seqs of a chunk."""
        if not self._has_ids:
            return False
        sql = "SELECT conversation, seq FROM sent_ids WHERE account = ? AND id = ?"
        try:
            for row in rows[:_WITNESSES]:
                for found in read_rows(self._db, sql, row.sender, bytes.fromhex(row.id)):
                    return bool(found == (scope.conversation, row.seq))
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"message ids: {error}"))
        return False
