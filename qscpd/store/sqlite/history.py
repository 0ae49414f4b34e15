"""Conversations and their messages as a member sees them, in SQLite."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from qscpd.domain.messages import as_seen
from qscpd.domain.model import (
    ConversationRow,
    ConversationSummary,
    ExportedMessage,
    HistoryPage,
    MessageRow,
    ReplayPage,
)
from qscpd.domain.pages import take, take_messages
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.accounts import AccountReader
from qscpd.store.sqlite.chunk_table import ChunkReader
from qscpd.store.sqlite.database import DatabaseReader

_UNREAD: Final = 1000
"""Where counting unread messages stops."""

_CONVERSATION: Final = """
    SELECT c.id, p.account, coalesce(a.name, r.name),
      CASE r.history WHEN 'joining' THEN max(c.first_seq, s.since) ELSE c.first_seq END,
      c.last_seq, m.read_seq, coalesce(p.delivered_seq, 0), coalesce(a.state = 'deleted', 0), c.last_ms
    FROM positions m JOIN conversations c ON c.id = m.conversation
    LEFT JOIN positions p ON p.conversation = c.id
      AND p.account = CASE m.account WHEN c.low THEN c.high ELSE c.low END
    LEFT JOIN accounts a ON a.id = p.account
    LEFT JOIN rooms r ON r.conversation = c.id
    LEFT JOIN standings s ON s.conversation = c.id AND s.account = m.account
    WHERE (CASE WHEN r.conversation IS NULL THEN c.last_seq > 0 ELSE s.role IS NOT NULL END)
"""
"""Conversations that an account can see: its pairs, and the rooms that it is a member of. A pair without a
stored message, because only a refused one was sent, is hidden from both."""

_UNREAD_CHUNKS: Final = """
    SELECT m.conversation, m.read_seq, k.last_seq, k.messages
    FROM positions m CROSS JOIN chunks k ON k.conversation = m.conversation AND k.last_seq > m.read_seq
    WHERE m.account = ? AND m.conversation > ? AND m.conversation <= ?
      AND (EXISTS (SELECT 1 FROM conversations c WHERE c.id = m.conversation AND c.low IS NOT NULL)
        OR EXISTS (SELECT 1 FROM standings s WHERE s.conversation = m.conversation
          AND s.account = m.account AND s.role IS NOT NULL))
    ORDER BY m.conversation, k.last_seq
"""
"""Streamed from two indexes; `CROSS JOIN` keeps SQLite from reordering and then sorting them."""


class HistoryReader:
    """Reads conversations and pages of their messages."""

    def __init__(self, db: DatabaseReader, accounts: AccountReader, reader: ChunkReader) -> None:
        self._db = db
        self._accounts = accounts
        self._reader = reader

    # --- conversations

    def conversations(self, account: int, after: int, limit: int) -> Sequence[ConversationRow]:
        """See `StoreReader.conversations`."""
        sql = f"{_CONVERSATION} AND m.account = ? AND m.conversation > ? ORDER BY c.id LIMIT ?"
        return [row for row, _ in self._rows(sql, account, after, limit)]

    def newest_first(self, account: int) -> Iterator[tuple[ConversationRow, int]]:
        """Yield an account's conversations and the time of their newest message, the newest first."""
        sql = f"{_CONVERSATION} AND m.account = ? ORDER BY c.last_ms DESC"
        yield from self._rows(sql, account)

    def conversation(self, account: int, conversation: int) -> ConversationRow | None:
        """Return one conversation; None if the account is not a member of it."""
        sql = f"{_CONVERSATION} AND m.account = ? AND m.conversation = ?"
        rows = self._rows(sql, account, conversation)
        return rows[0][0] if rows else None

    def _rows(self, sql: str, *values: int) -> Sequence[tuple[ConversationRow, int]]:
        """Return conversations, and the time of the newest message of each."""
        with self._db.snapshot():
            found = [(_conversation(row), row[-1]) for row in self._db.read(sql, *values)]
            if not any(row.deleted for row, _ in found):
                return found
            # Only a deleted account can have another name than its own.
            names = self._accounts.names_of_deleted()
        return [
            (row._replace(name=names[row.peer]) if row.deleted and row.peer is not None else row, last_ms)
            for row, last_ms in found
        ]

    def summaries(self, account: int, after: int, limit: int) -> Sequence[ConversationSummary]:
        """See `StoreReader.conversation_list`."""
        with self._db.snapshot():
            rows = self.conversations(account, after, limit)
            counts = self._unread_counts(account, after, rows[-1].id) if rows else {}
        return [ConversationSummary(row, *counts.get(row.id, (0, 0))) for row in rows]

    def _unread_counts(self, account: int, after: int, last: int) -> Mapping[int, tuple[int, int]]:
        """Count unread messages and mentions of the conversations in a range of ids."""
        counts: dict[int, tuple[int, int]] = {}
        full: int | None = after
        while full is not None:
            start, full = full, None
            for conversation, read, *chunk in self._db.iterate(_UNREAD_CHUNKS, account, start, last):
                count, mentions = counts.get(conversation, (0, 0))
                unread = _unread(account, read, *chunk)[: _UNREAD - count]
                count += len(unread)
                mentions += sum(account in row.meta.mentions for row in unread)
                counts[conversation] = count, mentions
                if count == _UNREAD:
                    full = conversation  # the next query skips the rest of it
                    break
        return counts

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
            row = self.conversation(account, conversation)
            if row is None:
                return None
            if after is not None:
                rows = self._reader.after(row.id, max(after, row.first_seq - 1))
                return HistoryPage(row, *take_messages(rows, limit, max_bytes))
            end = row.last_seq + 1
            rows = self._before(row.id, end if before is None else min(before, end), row.first_seq)
            messages, cursor = take_messages(rows, limit, max_bytes)
            return HistoryPage(row, messages[::-1], cursor)

    def replay_page(
        self, account: int, conversation: int, *, after: int, limit: int, max_bytes: int
    ) -> ReplayPage | None:
        """See `StoreReader.replay_page`."""
        with self._db.snapshot():
            row = self.conversation(account, conversation)
            if row is None:
                return None
            rows = self._reader.after(row.id, max(after, row.first_seq - 1))
            return ReplayPage(row, take(self._as_seen(row.id, rows, row.first_seq), limit, max_bytes))

    def export(self, account: int) -> Iterator[ExportedMessage]:
        """See `StoreReader.export`."""
        for row in self.conversations(account, 0, 1_000_000):
            rows = self._reader.after(row.id, row.first_seq - 1)
            for message in self._as_seen(row.id, rows, row.first_seq):
                yield ExportedMessage(row.id, message)

    def export_room(self, conversation: int) -> Iterator[MessageRow]:
        """See `StoreReader.export_room`."""
        return self._as_seen(conversation, self._reader.after(conversation, 0), 1)

    def _before(self, conversation: int, seq: int, first: int) -> Iterator[MessageRow]:
        return takewhile(lambda row: row.seq >= first, self._reader.before(conversation, seq))

    def _as_seen(self, conversation: int, rows: Iterator[MessageRow], first: int) -> Iterator[MessageRow]:
        find = self._reader.finder(conversation)
        return (as_seen(row, find, first) for row in rows)


def _conversation(row: tuple[Any, ...]) -> ConversationRow:
    return ConversationRow(*row[:-2])._replace(deleted=bool(row[-2]))


def _unread(account: int, read: int, last_seq: int, blob: bytes) -> list[MessageRow]:
    """Return the messages of a chunk that are unread."""
    return [
        row
        for row in chunks.rows(last_seq, blob)
        if row.seq > read and row.sender != account and not row.meta.kind
    ]
