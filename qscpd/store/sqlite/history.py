"""Conversations and their messages as a member sees them, in SQLite."""

from collections.abc import Callable, Iterator, Sequence
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
from qscpd.store.sqlite.accounts import AccountReader
from qscpd.store.sqlite.blocks import BlockReader
from qscpd.store.sqlite.chunk_reader import SCOPE, ChunkReader, Scope
from qscpd.store.sqlite.database import DatabaseReader
from qscpd.store.sqlite.tail import Tail, merge_last
from qscpd.store.sqlite.unread import Listed, UnreadReader

_FIELDS: Final = len(ConversationRow._fields)
"""Columns of a conversation; the time of its newest message and its scope follow."""

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
    WHERE (CASE WHEN r.conversation IS NULL THEN c.last_ms > 0 ELSE s.role IS NOT NULL END)
"""  # noqa: S608 - ours
"""Conversations that an account can see: its pairs, and the rooms that it is a member of. A pair without a
stored message, because only a refused one was sent, is hidden from both."""

_CONVERSATIONS: Final = (
    f"{_CONVERSATION} AND m.account = ? AND m.conversation > ? ORDER BY m.conversation LIMIT ?"
)


class HistoryReader:
    """Reads conversations and pages of their messages."""

    def __init__(
        self,
        db: DatabaseReader,
        tail: Tail,
        accounts: AccountReader,
        blocks: BlockReader,
        reader: ChunkReader,
    ) -> None:
        self._db = db
        self._tail = tail
        self._accounts = accounts
        self._blocks = blocks
        self._reader = reader
        self._unread = UnreadReader(db, reader)

    # --- conversations

    def conversations(self, account: int, after: int, limit: int) -> Sequence[ConversationRow]:
        """See `StoreReader.conversations`."""
        return [row for row, _ in self._rows(_CONVERSATIONS, account, after, limit)]

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
            last_seq, last_ms = merge_last(self._tail, row[0], row[4], row[_FIELDS])
            yield last_ms, row[0], last_seq

    def visible(self, account: int, conversation: int) -> tuple[int, int, Scope] | None:
        """Return the first and last seq that an account sees, and the scope; None if it is not a member."""
        sql = f"{_CONVERSATION} AND m.account = ? AND m.conversation = ?"
        for row in self._db.read(sql, account, conversation):
            scope = self._reader.scope_of(row[_FIELDS + 1 :])
            return row[3], scope.last_seq, scope
        return None

    def conversation(self, account: int, conversation: int) -> tuple[ConversationRow, Scope] | None:
        """Return one conversation and its scope; None if the account is not a member of it."""
        sql = f"{_CONVERSATION} AND m.account = ? AND m.conversation = ?"
        rows = self._rows(sql, account, conversation)
        return (rows[0][0], self._reader.scope_of(rows[0][1][1:])) if rows else None

    def _rows(self, sql: str, *values: int) -> Sequence[tuple[ConversationRow, tuple[Any, ...]]]:
        """Return conversations, each with the time of its newest message and the columns of its scope."""
        with self._db.snapshot():
            found = [(self._conversation(row), row[_FIELDS:]) for row in self._db.iterate(sql, *values)]
            if not any(row.deleted for row, _ in found):
                return found
            # Only a deleted account can have another name than its own.
            names = self._accounts.names_of_deleted()
        return [
            (row._replace(name=names[row.peer]) if row.deleted and row.peer is not None else row, rest)
            for row, rest in found
        ]

    def _conversation(self, row: tuple[Any, ...]) -> ConversationRow:
        last_seq, _ = merge_last(self._tail, row[0], row[4], 0)
        found = ConversationRow(*row[:_FIELDS])
        return found._replace(last_seq=last_seq, deleted=bool(row[_FIELDS - 1]))

    def summaries(self, account: int, after: int, limit: int) -> ConversationPage:
        """See `StoreReader.conversation_list`."""
        with self._db.snapshot():
            found = self._rows(_CONVERSATIONS, account, after, limit)
            rows = [Listed(row, self._reader.scope_of(rest[1:])) for row, rest in found]
            counts, last = self._unread.count(account, self._blocks.blocked_by(account), rows)
        page = [
            ConversationSummary(row, *counts.get(row.id, (0, 0)))
            for row, _ in rows
            if last is None or row.id <= last
        ]
        more = len(rows) == limit or len(page) < len(rows)
        return ConversationPage(page, page[-1].conversation.id if more and page else None)

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
        with self._db.snapshot():
            for row in self.conversations(account, 0, 1_000_000):
                scope = self._reader.scope(row.id)
                items = self._reader.after(scope, row.first_seq - 1)
                for message in self._as_seen(scope, items, row.first_seq):
                    if not isinstance(message, Damage):
                        yield ExportedMessage(row.id, message)

    def export_room(self, conversation: int) -> Iterator[MessageRow]:
        """See `StoreReader.export_room`."""
        with self._db.snapshot():
            scope = self._reader.scope(conversation)
            for item in self._as_seen(scope, self._reader.after(scope, 0), 1):
                if not isinstance(item, Damage):
                    yield item

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
