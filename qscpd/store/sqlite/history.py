"""Conversations and their messages as a member sees them, in SQLite."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from qscpd.domain.messages import as_seen
from qscpd.domain.model import (
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

    def newest_first(self, account: int) -> Iterator[tuple[ConversationRow, int, Scope]]:
        """Yield an account's conversations and the time of their newest message, the newest first."""
        sql = f"{_CONVERSATION} AND m.account = ? ORDER BY c.last_ms DESC"
        yield from ((row, rest[0], scope_of(rest[1:])) for row, rest in self._rows(sql, account))

    def conversation(self, account: int, conversation: int) -> tuple[ConversationRow, Scope] | None:
        """Return one conversation and its scope; None if the account is not a member of it."""
        sql = f"{_CONVERSATION} AND m.account = ? AND m.conversation = ?"
        rows = self._rows(sql, account, conversation)
        return (rows[0][0], scope_of(rows[0][1][1:])) if rows else None

    def _rows(self, sql: str, *values: int) -> Sequence[tuple[ConversationRow, tuple[Any, ...]]]:
        """Return conversations, each with the time of its newest message and the columns of its scope."""
        with self._db.snapshot():
            found = [(_conversation(row), row[_FIELDS:]) for row in self._db.read(sql, *values)]
            if not any(row.deleted for row, _ in found):
                return found
            # Only a deleted account can have another name than its own.
            names = self._accounts.names_of_deleted()
        return [
            (row._replace(name=names[row.peer]) if row.deleted and row.peer is not None else row, rest)
            for row, rest in found
        ]

    def summaries(self, account: int, after: int, limit: int) -> Sequence[ConversationSummary]:
        """See `StoreReader.conversation_list`."""
        with self._db.snapshot():
            rows = self.conversations(account, after, limit)
            blocked = self._blocks.blocked_by(account)
            try:
                counts = self._unread_counts(account, blocked, after, rows[-1].id) if rows else {}
            except StoreDamagedError:
                counts = {row.id: self._unread(account, blocked, row) for row in rows}
        return [ConversationSummary(row, *counts.get(row.id, (0, 0))) for row in rows]

    def _unread_counts(
        self, account: int, blocked: AbstractSet[int], after: int, last: int
    ) -> Mapping[int, tuple[int, int]]:
        """Count unread messages and mentions of the conversations in a range of ids.

        Mentions by blocked accounts do not count.

        Raises:
            StoreDamagedError: Something of them is damaged: count by what is shown.
        """
        counts: dict[int, tuple[int, int]] = {}
        full: int | None = after
        while full is not None:
            begin, full = full, None
            conversation = start = 0
            scope: Scope | None = None
            for row in self._db.iterate(_UNREAD_CHUNKS, account, begin, last):
                read, last_seq, blob = row[:3]
                if scope is None or row[3] != conversation:
                    scope, conversation = scope_of(row[3:]), row[3]
                    start = max(read, scope.first_seq - 1)
                rows = chunks.rows(last_seq, blob, scope.writers)
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
                if count == _UNREAD:
                    full = conversation  # the next query skips the rest of it
                    break
        return counts

    def _unread(
        self, account: int, blocked: AbstractSet[int], conversation: ConversationRow
    ) -> tuple[int, int]:
        """Count them in one conversation, around damaged pages."""
        count = mentions = 0
        for item in self._reader.after(self._reader.scope(conversation.id), conversation.read):
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
            page = take_messages(items, limit, max_bytes)
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
            return ReplayPage(row, *split(take(self._as_seen(scope, items, row.first_seq), limit, max_bytes)))

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
