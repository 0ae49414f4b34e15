"""Conversations and their messages as a member sees them, in SQLite."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final

from qscpd.domain.messages import as_seen
from qscpd.domain.model import (
    ConversationPage,
    ConversationRow,
    ConversationSummary,
    Damage,
    ExportedMessage,
    HistoryPage,
    MessageRow,
    ReplayPage,
    StoredItem,
)
from qscpd.domain.pages import split, take, take_messages
from qscpd.errors import StoreDamagedError
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.accounts import AccountReader
from qscpd.store.sqlite.blocks import BlockReader
from qscpd.store.sqlite.chunk_reader import SCOPE, ChunkReader, Scope, scope_of
from qscpd.store.sqlite.database import DatabaseReader

_FIELDS: Final = len(ConversationRow._fields)
"""Columns of a conversation; the time of its newest message and its scope follow."""

_UNREAD: Final = 1000
"""Where counting unread messages stops."""

_COUNTED: Final = 10_000
"""Messages behind the read position that are looked at, in one conversation: one's own are unread by nobody,
and there can be any number of them."""

_MESSAGE: Final = 64
"""What counting a message costs, in bytes that are read: about 1 µs. A chunk of short texts is small."""

_CONVERSATION: Final = f"""
    SELECT c.id, p.account, coalesce(a.name, r.name),
      CASE r.history WHEN 'joining' THEN max(c.first_seq, s.since) ELSE c.first_seq END,
      c.last_seq, m.read_seq, coalesce(p.delivered_seq, 0), coalesce(a.state = 'deleted', 0),
      c.last_ms, {SCOPE}
    FROM positions m JOIN conversations c ON c.id = m.conversation
    LEFT JOIN positions p ON p.conversation = c.id
      AND p.account = CASE m.account WHEN c.low THEN c.high ELSE c.low END
    LEFT JOIN accounts a ON a.id = p.account
    LEFT JOIN rooms r ON r.conversation = c.id
    LEFT JOIN standings s ON s.conversation = c.id AND s.account = m.account
    WHERE (CASE WHEN r.conversation IS NULL THEN c.last_seq > 0 ELSE s.role IS NOT NULL END)
"""  # noqa: S608 - ours
"""Conversations that an account can see: its pairs, and the rooms that it is a member of. A pair without a
stored message, because only a refused one was sent, is hidden from both."""

_UNREAD_CHUNKS: Final = f"""
    SELECT m.read_seq, k.last_seq, k.messages, {SCOPE}
    FROM positions m CROSS JOIN conversations c ON c.id = m.conversation
    CROSS JOIN chunks k ON k.conversation = m.conversation AND k.last_seq > m.read_seq
      AND k.last_seq <= c.last_seq
    WHERE m.account = ? AND m.conversation > ? AND m.conversation <= ?
      AND (c.low IS NOT NULL OR EXISTS (SELECT 1 FROM standings s WHERE s.conversation = m.conversation
        AND s.account = m.account AND s.role IS NOT NULL))
    ORDER BY m.conversation, k.last_seq
"""  # noqa: S608 - ours
"""Streamed from two indexes; `CROSS JOIN` keeps SQLite from reordering and then sorting them."""


_Counts = Mapping[int, tuple[int, int]]
"""Unread messages and mentions, by conversation."""


class HistoryReader:
    """Reads conversations and pages of their messages."""

    def __init__(
        self, db: DatabaseReader, accounts: AccountReader, blocks: BlockReader, reader: ChunkReader
    ) -> None:
        self._db = db
        self._accounts = accounts
        self._blocks = blocks
        self._reader = reader

    # --- conversations

    def conversations(self, account: int, after: int, limit: int) -> Sequence[ConversationRow]:
        """See `StoreReader.conversations`."""
        sql = f"{_CONVERSATION} AND m.account = ? AND m.conversation > ? ORDER BY c.id LIMIT ?"
        return [row for row, _ in self._rows(sql, account, after, limit)]

    def newest(self, account: int, conversation: int | None) -> Iterator[tuple[int, int, int]]:
        """Yield the time of the newest message, id and last seq of conversations that an account can see.

        Args:
            account: The account.
            conversation: Only this one; None: all.
        """
        sql, values = f"{_CONVERSATION} AND m.account = ?", [account]
        if conversation is not None:
            sql, values = f"{sql} AND m.conversation = ?", [account, conversation]
        for row in self._db.iterate(sql, *values):
            yield row[_FIELDS], row[0], row[4]

    def visible(self, account: int, conversation: int) -> tuple[int, int, Scope] | None:
        """Return the first and last seq that an account sees, and the scope; None if it is not a member."""
        sql = f"{_CONVERSATION} AND m.account = ? AND m.conversation = ?"
        for row in self._db.read(sql, account, conversation):
            return row[3], row[4], scope_of(row[_FIELDS + 1 :])
        return None

    def conversation(self, account: int, conversation: int) -> tuple[ConversationRow, Scope] | None:
        """Return one conversation and its scope; None if the account is not a member of it."""
        sql = f"{_CONVERSATION} AND m.account = ? AND m.conversation = ?"
        rows = self._rows(sql, account, conversation)
        return (rows[0][0], scope_of(rows[0][1][1:])) if rows else None

    def _rows(self, sql: str, *values: int) -> Sequence[tuple[ConversationRow, tuple[Any, ...]]]:
        """Return conversations, each with the time of its newest message and the columns of its scope."""
        with self._db.snapshot():
            found = [(_conversation(row), row[_FIELDS:]) for row in self._db.iterate(sql, *values)]
            if not any(row.deleted for row, _ in found):
                return found
            # Only a deleted account can have another name than its own.
            names = self._accounts.names_of_deleted()
        return [
            (row._replace(name=names[row.peer]) if row.deleted and row.peer is not None else row, rest)
            for row, rest in found
        ]

    def summaries(self, account: int, after: int, limit: int) -> ConversationPage:
        """See `StoreReader.conversation_list`."""
        with self._db.snapshot():
            rows = self.conversations(account, after, limit)
            blocked = self._blocks.blocked_by(account)
            try:
                counts, last = (
                    self._unread_counts(account, blocked, after, rows[-1].id) if rows else ({}, None)
                )
            except StoreDamagedError:
                counts, last = self._unread_around_damage(account, blocked, rows)
        page = [
            ConversationSummary(row, *counts.get(row.id, (0, 0)))
            for row in rows
            if last is None or row.id <= last
        ]
        more = len(rows) == limit or len(page) < len(rows)
        return ConversationPage(page, page[-1].conversation.id if more and page else None)

    def _unread_counts(
        self, account: int, blocked: AbstractSet[int], after: int, last: int
    ) -> tuple[_Counts, int | None]:
        """Count unread messages and mentions of the conversations in a range of ids.

        Mentions by blocked accounts do not count.

        Returns:
            The counts, and the last conversation that was counted; None: all of them.

        Raises:
            StoreDamagedError: Something of them is damaged: count by what is shown.
        """
        counts: dict[int, tuple[int, int]] = {}
        full: int | None = after
        while full is not None:
            begin, full = full, None
            conversation = start = seen = 0
            scope: Scope | None = None
            for row in self._db.iterate(_UNREAD_CHUNKS, account, begin, last):
                read, last_seq, blob = row[:3]
                if scope is None or row[3] != conversation:
                    if conversation and self._db.is_over:
                        return counts, conversation
                    scope, conversation, seen = scope_of(row[3:]), row[3], 0
                    start = max(read, scope.first_seq - 1)
                rows = chunks.rows(last_seq, blob, scope.writers)
                self._db.spend(_MESSAGE * len(rows))
                if rows[0].seq > start + 1 or (start > read and rows[0].seq <= start):
                    raise StoreDamagedError("a chunk is not in its place")
                count, mentions = counts.get(conversation, (0, 0))
                unread = [
                    each for each in rows if each.seq > read and each.sender != account and not each.meta.kind
                ][: _UNREAD - count]
                count += len(unread)
                mentions += sum(
                    account in each.meta.mentions and each.sender not in blocked for each in unread
                )
                counts[conversation] = count, mentions
                start = last_seq
                seen += len(rows)
                if count == _UNREAD or seen >= _COUNTED:
                    if self._db.is_over:
                        return counts, conversation
                    full = conversation  # the next query skips the rest of it
                    break
        return counts, None

    def _unread_around_damage(
        self, account: int, blocked: AbstractSet[int], rows: Sequence[ConversationRow]
    ) -> tuple[_Counts, int | None]:
        """Count them one conversation after the other; returns as `_unread_counts`."""
        self._db.begin_share()
        counts: dict[int, tuple[int, int]] = {}
        for row in rows:
            counts[row.id] = self._unread(account, blocked, row)
            if self._db.is_over:
                return counts, row.id
        return counts, None

    def _unread(
        self, account: int, blocked: AbstractSet[int], conversation: ConversationRow
    ) -> tuple[int, int]:
        """Count them in one conversation, around damaged pages."""
        count = mentions = 0
        items = self._reader.after(self._reader.scope(conversation.id), conversation.read)
        for item in islice(items, _COUNTED):
            self._db.spend(_MESSAGE)
            if not isinstance(item, Damage) and item.sender != account and not item.meta.kind:
                count += 1
                mentions += account in item.meta.mentions and item.sender not in blocked
                if count == _UNREAD:
                    break
        return count, mentions

    # --- messages

    def history_page(
        self,
        account: int,
        conversation: int,
        *,
        before: int | None,
        after: int | None,
        limit: int,
        max_bytes: int,
    ) -> HistoryPage | None:
        """See `StoreReader.history_page`."""
        with self._db.snapshot():
            found = self.conversation(account, conversation)
            if found is None:
                return None
            row, scope = found
            if after is not None:
                items = self._reader.after(scope, max(after, row.first_seq - 1))
            else:
                end = row.last_seq + 1
                items = self._reader.before(scope, end if before is None else min(before, end), row.first_seq)
            page = take_messages(items, limit, max_bytes, self._is_over)
            messages, damage = split(page.items)
            return HistoryPage(row, messages if after is not None else messages[::-1], page.cursor, damage)

    def replay_page(
        self, account: int, conversation: int, *, after: int, limit: int, max_bytes: int
    ) -> ReplayPage | None:
        """See `StoreReader.replay_page`."""
        with self._db.snapshot():
            found = self.conversation(account, conversation)
            if found is None:
                return None
            row, scope = found
            items = self._reader.after(scope, max(after, row.first_seq - 1))
            seen = self._as_seen(scope, items, row.first_seq)
            return ReplayPage(row, *split(take(seen, limit, max_bytes, self._is_over)))

    def _is_over(self) -> bool:
        return self._db.is_over

    def export(self, account: int) -> Iterator[ExportedMessage]:
        """See `StoreReader.export`."""
        for row in self.conversations(account, 0, 1_000_000):
            scope = self._reader.scope(row.id)
            items = self._reader.after(scope, row.first_seq - 1)
            for message in self._as_seen(scope, items, row.first_seq):
                if not isinstance(message, Damage):
                    yield ExportedMessage(row.id, message)

    def export_room(self, conversation: int) -> Iterator[MessageRow]:
        """See `StoreReader.export_room`."""
        scope = self._reader.scope(conversation)
        items = self._as_seen(scope, self._reader.after(scope, 0), 1)
        return (item for item in items if not isinstance(item, Damage))

    def _as_seen(self, scope: Scope, items: Iterator[StoredItem], first: int) -> Iterator[StoredItem]:
        """Yield items as a member sees them who can see from a seq on."""
        find = self._reader.finder(scope)
        kept = max(first, scope.first_seq)
        for item in items:
            if isinstance(item, Damage) or not item.meta.kind:
                yield item
            else:
                yield _as_seen(item, find, first, kept)


def _as_seen(row: MessageRow, find: Callable[[int], MessageRow | None], first: int, kept: int) -> StoredItem:
    """Return an amendment as it is seen, also if the message that it targets is damaged."""
    meta = row.meta
    if meta.kind == "redact" or meta.target < kept or find(meta.target) is not None:
        return as_seen(row, find, first)
    # The text of an edit is in the message only; a reaction has its number of that time.
    return Damage(row.seq, row.seq) if meta.kind == "edit" else row


def _conversation(row: tuple[Any, ...]) -> ConversationRow:
    return ConversationRow(*row[:_FIELDS])._replace(deleted=bool(row[_FIELDS - 1]))
