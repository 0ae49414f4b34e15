"""Unread messages and mentions of an account, counted for its list of conversations.

One query has the chunks behind the read positions of a whole page. What is read to the end has none, so
nothing of it is looked at.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final, NamedTuple

from qscpd.domain.model import NO_META, ConversationRow, Damage, MessageRow
from qscpd.errors import StoreDamagedError
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.chunk_reader import ChunkReader, Scope
from qscpd.store.sqlite.database import DatabaseReader

_UNREAD: Final = 1000
"""Where counting unread messages stops."""

_COUNTED: Final = 10_000
"""Messages behind the read position that are looked at, in one conversation: one's own are unread by nobody,
and there can be any number of them."""

_MESSAGE: Final = 64
"""What counting a message costs, in bytes that are read: about 1 µs. A chunk of short texts is small."""

_CHUNKS: Final = """
    SELECT m.conversation, k.last_seq, k.messages
    FROM positions m CROSS JOIN conversations c ON c.id = m.conversation
    CROSS JOIN chunks k ON k.conversation = m.conversation AND k.last_seq > m.read_seq
      AND k.last_seq <= c.last_seq
    WHERE m.account = ? AND m.conversation > ? AND m.conversation <= ? AND m.read_seq < c.last_seq
      AND (c.low IS NOT NULL OR EXISTS (SELECT 1 FROM standings s WHERE s.conversation = m.conversation
        AND s.account = m.account AND s.role IS NOT NULL))
    ORDER BY m.conversation, k.last_seq
"""
"""Streamed from two indexes; `CROSS JOIN` keeps SQLite from reordering and then sorting them."""


class Listed(NamedTuple):
    """A conversation to count in, and its scope."""

    row: ConversationRow
    scope: Scope


class Counts(NamedTuple):
    """Counts of a page of conversations."""

    of: Mapping[int, tuple[int, int]]
    """Unread messages and mentions, by conversation; one without is not in it."""
    last: int | None
    """The last conversation that was counted; None: all of them."""


class UnreadReader:
    """Counts unread messages and mentions; those of blocked accounts do not mention.

    Args:
        db: The store.
        reader: Reads conversations that are damaged.
    """

    def __init__(self, db: DatabaseReader, reader: ChunkReader) -> None:
        self._db = db
        self._reader = reader

    def count(self, account: int, blocked: AbstractSet[int], after: int, listed: Sequence[Listed]) -> Counts:
        """Count in all conversations of an account in a range of ids, or in the first of them.

        Args:
            account: The account.
            blocked: Those that it blocks.
            after: The id that the range begins behind.
            listed: Every conversation in the range, by id; read in the same snapshot.
        """
        try:
            return self._count_all(account, blocked, after, listed)
        except StoreDamagedError:
            return self._count_around_damage(account, blocked, listed)

    def _count_all(
        self, account: int, blocked: AbstractSet[int], after: int, listed: Sequence[Listed]
    ) -> Counts:
        """Count in all of them by one query.

        Raises:
            StoreDamagedError: Something of them is damaged: count by what is shown.
        """
        by_id = {each.row.id: each for each in listed}
        last = listed[-1].row.id if listed else after
        counts: dict[int, tuple[int, int]] = {}
        full: int | None = after
        while full is not None and full < last:
            begin, full = full, None
            conversation = read = start = seen = count = mentions = 0
            writers: chunks.Writers | None = None
            for number, last_seq, blob in self._db.iterate(_CHUNKS, account, begin, last):
                if writers is None or number != conversation:
                    if conversation and self._db.is_over:
                        return Counts(counts, conversation)
                    if (found := by_id.get(number)) is None:
                        raise StoreDamagedError("chunks of a conversation that is not listed")
                    conversation, read, writers = number, found.row.read, found.scope.writers
                    start, seen, count, mentions = max(read, found.scope.first_seq - 1), 0, 0, 0
                entries = chunks.entries(last_seq, blob, writers)
                self._db.spend(_MESSAGE * len(entries))
                first = last_seq - len(entries) + 1
                if first > start + 1 or (start > read and first <= start):
                    raise StoreDamagedError("a chunk is not in its place")
                more = _count(entries[max(read + 1 - first, 0) :], account, blocked, _UNREAD - count)
                count, mentions = counts[conversation] = count + more[0], mentions + more[1]
                start = last_seq
                seen += len(entries)
                if count == _UNREAD or seen >= _COUNTED:
                    if self._db.is_over:
                        return Counts(counts, conversation)
                    full = conversation  # the next query skips the rest of it
                    break
        return Counts(counts, None)

    def _count_around_damage(
        self, account: int, blocked: AbstractSet[int], listed: Sequence[Listed]
    ) -> Counts:
        """Count in one conversation after the other."""
        self._db.begin_share()
        counts: dict[int, tuple[int, int]] = {}
        for row, scope in listed:
            counts[row.id] = self._count_readable(account, blocked, row.read, scope)
            if self._db.is_over:
                return Counts(counts, row.id)
        return Counts(counts, None)

    def _count_readable(
        self, account: int, blocked: AbstractSet[int], read: int, scope: Scope
    ) -> tuple[int, int]:
        """Count in one conversation, around damaged pages."""
        count = mentions = 0
        for item in islice(self._reader.after(scope, read), _COUNTED):
            self._db.spend(_MESSAGE)
            if not isinstance(item, Damage):
                more = _count((item,), account, blocked, 1)
                count, mentions = count + more[0], mentions + more[1]
                if count == _UNREAD:
                    break
        return count, mentions


def _count(
    messages: Sequence[chunks.Decoded | MessageRow], account: int, blocked: AbstractSet[int], limit: int
) -> tuple[int, int]:
    """Return how many of some messages are unread, up to a limit, and how many of those are mentions.

    Args:
        messages: Messages behind the read position.
        account: The account.
        blocked: Those that it blocks.
        limit: Where counting stops.
    """
    count = mentions = 0
    for each in messages:
        if each.sender != account:
            if (meta := each.meta) is NO_META:  # nearly all
                count += 1
            elif not meta.kind:
                count += 1
                mentions += account in meta.mentions and each.sender not in blocked
            if count == limit:
                break
    return count, mentions
