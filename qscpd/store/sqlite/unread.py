"""Unread messages and mentions of an account, counted for its list of conversations.

Nothing is looked at of a conversation that is read to the end.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final, NamedTuple

from qscpd.domain.model import NO_META, ConversationRow, Damage, MessageRow
from qscpd.store.sqlite.chunk_reader import ChunkReader, Scope
from qscpd.store.sqlite.database import DatabaseReader

_UNREAD: Final = 1000
"""Where counting unread messages stops."""

_COUNTED: Final = 10_000
"""Messages behind the read position that are looked at, in one conversation: one's own are unread by nobody,
and there can be any number of them."""

_MESSAGE: Final = 64
"""What counting a message costs, in bytes that are read: about 1 µs. A chunk of short texts is small."""


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

    def count(self, account: int, blocked: AbstractSet[int], listed: Sequence[Listed]) -> Counts:
        """Count in conversations of an account, or in the first of them.

        Args:
            account: The account.
            blocked: Those that it blocks.
            listed: The conversations, read in the same snapshot.
        """
        counts: dict[int, tuple[int, int]] = {}
        for row, scope in listed:
            if row.read < row.last_seq:
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
    messages: Sequence[MessageRow], account: int, blocked: AbstractSet[int], limit: int
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
