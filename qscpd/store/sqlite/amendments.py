"""Amendments: edits, redactions and reactions, applied to their stored messages."""

from typing import Final, NamedTuple

import msgspec

from qscp.errors import ErrorCode
from qscpd.domain.messages import amend
from qscpd.domain.model import MessageRow, NewMessage, Refused, StoredMessage
from qscpd.domain.rooms import NO_MEMBERSHIP
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.chunk_reader import ChunkReader
from qscpd.store.sqlite.chunk_table import ChunkWriter
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.message_ids import MessageIds
from qscpd.store.sqlite.rooms import ModerationLog
from qscpd.store.sqlite.tail_cache import ConversationTail, TailCache

_OPENED: Final = 8
"""Decoded chunks that a transaction keeps: about 10 MiB."""


class _OpenedChunk:
    """A chunk that the running transaction reads or changes; it is written once, at the end."""

    __slots__ = ("changed", "conversation", "id", "rows")

    def __init__(self, number: int, conversation: int, rows: list[MessageRow]) -> None:
        self.id = number
        self.conversation = conversation
        self.rows = rows
        self.changed = False


class _Target(NamedTuple):
    """The message that an amendment is about."""

    row: MessageRow
    chunk: _OpenedChunk | None
    """None while the message is in the running transaction."""


class Amendments:
    """Applies amendments.

    Args:
        db: The database.
        tails: The tails of conversations.
        reader: Finds targets.
        writer: Replaces them.
        ids: The index of message ids.
        log: The moderation log.
        edit_within_ms: How long after its time a message can be edited.
    """

    def __init__(
        self,
        db: Database,
        tails: TailCache,
        reader: ChunkReader,
        writer: ChunkWriter,
        ids: MessageIds,
        log: ModerationLog,
        *,
        edit_within_ms: int,
    ) -> None:
        self._tails = tails
        self._reader = reader
        self._writer = writer
        self._ids = ids
        self._log = log
        self._edit_within_ms = edit_within_ms
        self.opened: list[_OpenedChunk] = []
        """Chunks that the running transaction has read or changed; `flush` writes them."""
        db.on_rollback(self.opened.clear)

    def apply(
        self, event: NewMessage, tail: ConversationTail, time_ms: int, now_ms: int
    ) -> chunks.Entry | Refused:
        """Apply an amendment to its target; return the amendment's own entry. `flush` writes the target.

        Args:
            event: The amendment.
            tail: Its conversation.
            time_ms: Its own time.
            now_ms: The steady time, for the edit window.
        """
        target = self._target(tail, event.meta.target)
        if target is None:
            return Refused(ErrorCode.UNKNOWN_MESSAGE)
        actor = author = NO_MEMBERSHIP
        if tail.room is not None:
            actor = self._tails.membership(tail.room, event.sender)
            author = self._tails.membership(tail.room, target.row.sender)
        outcome = amend(
            event,
            target.row,
            actor=actor,
            author=author,
            time_ms=time_ms,
            now_ms=now_ms,
            edit_within_ms=self._edit_within_ms,
        )
        if isinstance(outcome, Refused):
            return outcome
        if outcome.logged is not None:
            self._log.add(tail.id, outcome.logged, time_ms)
        self._replace(event, tail, target, outcome.message)
        return time_ms, event.sender, event.id, outcome.body, outcome.meta

    def current(
        self, message: NewMessage, stored: StoredMessage, tail: ConversationTail | None = None
    ) -> StoredMessage:
        """Return the place of a message that was stored before; of a reaction, with its number of users now.

        Args:
            message: The message, as it was sent again.
            stored: Where it is.
            tail: Its conversation's, if the running transaction adds to it.
        """
        if message.meta.kind != "react":
            return stored
        row = self._row(stored.conversation, message.meta.target, tail)
        users = row.meta.reactions.get(message.body, ()) if row is not None else ()
        return msgspec.structs.replace(stored, count=len(users))

    def flush(self) -> None:
        """Write the chunks that were changed."""
        for chunk in self.opened:
            self._write_back(chunk)
        self.opened.clear()

    def _replace(self, event: NewMessage, tail: ConversationTail, target: _Target, row: MessageRow) -> None:
        if target.chunk is None:
            if row.body != target.row.body:  # by its author or in a room, so both have the same recipient
                self._ids.add(tail.id, event.recipient, target.row)
            tail.added[row.seq - 1 - tail.last_seq + len(tail.added)] = chunks.entry(row)
            return
        chunk = target.chunk
        self._writer.exchange(tail.id, chunk.id, [target.row], [row])
        chunk.rows[row.seq - chunk.rows[0].seq] = row
        chunk.changed = True

    def _target(self, tail: ConversationTail, seq: int) -> _Target | None:
        """Find a message, also one of the running transaction."""
        first = tail.last_seq - len(tail.added) + 1
        if seq >= first:
            return _Target(MessageRow(seq, *tail.added[seq - first]), None)
        chunk = self._open(tail.id, seq)
        return _Target(chunk.rows[seq - chunk.rows[0].seq], chunk) if chunk is not None else None

    def _row(self, conversation: int, seq: int, tail: ConversationTail | None) -> MessageRow | None:
        """Return a message as it is now, without opening its chunk; None if it was pruned."""
        if tail is not None and seq > tail.last_seq - len(tail.added):
            return MessageRow(seq, *tail.added[seq - 1 - tail.last_seq])
        chunk = self._opened(conversation, seq)
        rows = chunk.rows if chunk is not None else None
        if rows is None:
            found = self._reader.containing(self._reader.scope(conversation), seq)
            rows = found[1] if found is not None else None
        return rows[seq - rows[0].seq] if rows is not None else None

    def _opened(self, conversation: int, seq: int) -> _OpenedChunk | None:
        for chunk in self.opened:
            if chunk.conversation == conversation and chunk.rows[0].seq <= seq <= chunk.rows[-1].seq:
                return chunk
        return None

    def _open(self, conversation: int, seq: int) -> _OpenedChunk | None:
        if (opened := self._opened(conversation, seq)) is not None:
            return opened
        found = self._reader.containing(self._reader.scope(conversation), seq)
        if found is None:
            return None
        if len(self.opened) >= _OPENED:
            self._write_back(self.opened.pop(0))
        chunk = _OpenedChunk(found[0], conversation, found[1])
        self.opened.append(chunk)
        return chunk

    def _write_back(self, chunk: _OpenedChunk) -> None:
        if chunk.changed:
            self._writer.write(chunk.conversation, chunk.id, chunk.rows)
