"""Amendments: edits, redactions and reactions, applied to their stored messages.

A chunk is not rewritten for them: what they make of a message is stored beside its chunk, as a row of
`amendments`, and applied when the message is read. Folding brings it into the chunk (`fold.py`).
"""

from collections.abc import Callable
from typing import Final

import msgspec

from qscp.errors import ErrorCode
from qscpd.domain.messages import amend
from qscpd.domain.model import MessageRow, NewMessage, Refused, StoredMessage
from qscpd.domain.rooms import NO_MEMBERSHIP
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.changes import Change, pack_change
from qscpd.store.sqlite.chunk_reader import ChunkReader, Scope
from qscpd.store.sqlite.chunks import place_of
from qscpd.store.sqlite.conversation_cache import CachedConversation, ConversationCache
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.ids import MessageIds
from qscpd.store.sqlite.rooms import ModerationLog
from qscpd.store.sqlite.search_index import SearchIndex

_FINDERS: Final = 8
"""Conversations whose chunks a transaction keeps in memory: about 1 MiB."""


_INDEX_S: Final = 0.2e-6
"""What the search index takes for each character of a text that is added or removed, in seconds.

Measured with texts in which each word is another one."""


class _Changed:
    """A message that the running transaction changes."""

    __slots__ = ("before", "folded", "now")

    def __init__(self, row: MessageRow, *, folded: bool) -> None:
        self.before = self.now = row
        self.folded = folded
        """Whether it is in a chunk, and so in the search index."""


class Amendments:
    """Applies amendments.

    Args:
        db: The database.
        conversations: The conversations.
        reader: Finds targets.
        ids: The index of message ids.
        index: The search index.
        log: The moderation log.
        on_text_replaced: Called when a text is replaced or removed.
        edit_within_ms: How long after its time a message can be edited.
    """

    def __init__(
        self,
        db: Database,
        conversations: ConversationCache,
        reader: ChunkReader,
        ids: MessageIds,
        index: SearchIndex,
        log: ModerationLog,
        *,
        on_text_replaced: Callable[[], None],
        edit_within_ms: int,
    ) -> None:
        self._db = db
        self._conversations = conversations
        self._reader = reader
        self._ids = ids
        self._index = index
        self._log = log
        self._on_text_replaced = on_text_replaced
        self._edit_within_ms = edit_within_ms
        self.changed: dict[tuple[int, int], _Changed] = {}
        """Messages that the running transaction changes, by conversation and seq; `flush` writes them."""
        self.has_read = False
        """Whether the running transaction has looked at messages, so that `flush` has something to do."""
        self.owed_s = 0.0
        """What `flush` takes at most, in seconds."""
        self._finders: dict[int, tuple[Scope, Callable[[int], MessageRow | None]]] = {}
        """Of the running transaction, by conversation."""
        db.on_rollback(self._forget)

    def apply(
        self, event: NewMessage, conversation: CachedConversation, time_ms: int, now_ms: int
    ) -> chunks.Entry | Refused:
        """Apply an amendment to its target; return the amendment's own entry. `flush` writes the target.

        Args:
            event: The amendment.
            conversation: Its conversation.
            time_ms: Its own time.
            now_ms: The steady time, for the edit window.
        """
        target = self._row(conversation.id, event.meta.target, conversation)
        if target is None:
            return Refused(ErrorCode.UNKNOWN_MESSAGE)
        actor = author = NO_MEMBERSHIP
        if conversation.room is not None:
            actor = self._conversations.membership(conversation.room, event.sender)
            author = self._conversations.membership(conversation.room, target.sender)
        outcome = amend(
            event,
            target,
            actor=actor,
            author=author,
            time_ms=time_ms,
            now_ms=now_ms,
            edit_within_ms=self._edit_within_ms,
        )
        if isinstance(outcome, Refused):
            return outcome
        if outcome.logged is not None:
            self._log.add(conversation.id, outcome.logged, time_ms)
        self._replace(conversation, target, outcome.message)
        return time_ms, event.sender, event.id, outcome.body, outcome.meta

    def current(
        self, message: NewMessage, stored: StoredMessage, conversation: CachedConversation | None = None
    ) -> StoredMessage:
        """Return the place of a message that was stored before; of a reaction, with its number of users now.

        Args:
            message: The message, as it was sent again.
            stored: Where it is.
            conversation: Its conversation, if the running transaction adds to it.
        """
        if message.meta.kind != "react":
            return stored
        row = self._row(stored.conversation, message.meta.target, conversation)
        users = row.meta.reactions.get(message.body, ()) if row is not None else ()
        return msgspec.structs.replace(stored, count=len(users))

    def flush(self) -> None:
        """Write what was changed; a long text costs the search index some milliseconds."""
        written: list[tuple[int, bytes]] = []
        # In order: FTS5 begins another segment of the index at each rowid that is below the one before.
        for conversation, seq in sorted(self.changed):
            each = self.changed[conversation, seq]
            place = place_of(conversation, seq)
            written.append((place, pack_change(place, _change(each.now))))
            if each.folded and each.now.body != each.before.body:
                self._index.exchange(conversation, [each.before], [each.now])
        if written:
            with self._db.transaction() as db:
                db.executemany("REPLACE INTO amendments VALUES (?, ?)", written)
        self._forget()

    def _forget(self) -> None:
        self.owed_s = 0.0
        self.has_read = False
        self.changed.clear()
        self._finders.clear()

    def _replace(self, conversation: CachedConversation, target: MessageRow, row: MessageRow) -> None:
        if row.body != target.body:
            self._ids.keep(conversation.id, [target])
            self._on_text_replaced()
        first = conversation.last_seq - len(conversation.added) + 1
        if row.seq >= first:
            conversation.added[row.seq - first] = chunks.entry(row)
            return
        changed = self.changed.get((conversation.id, row.seq))
        if changed is None:
            scope, _ = self._finder(conversation.id)
            changed = _Changed(target, folded=row.seq <= scope.folded)
            self.changed[conversation.id, row.seq] = changed
        if changed.folded:
            self.owed_s += (len(target.body or "") + len(row.body or "")) * _INDEX_S
        changed.now = row

    def _row(self, conversation: int, seq: int, adding: CachedConversation | None) -> MessageRow | None:
        """Return a message as it is now, also one of the running transaction; None if it is unknown.

        Args:
            conversation: Its conversation.
            seq: Its seq.
            adding: Its conversation, if the running transaction adds to it.
        """
        if adding is not None and seq > (before := adding.last_seq - len(adding.added)):
            return MessageRow(seq, *adding.added[seq - before - 1])
        changed = self.changed.get((conversation, seq))
        if changed is not None:
            return changed.now
        _, find = self._finder(conversation)
        return find(seq)

    def _finder(self, conversation: int) -> tuple[Scope, Callable[[int], MessageRow | None]]:
        found = self._finders.get(conversation)
        if found is None:
            if len(self._finders) >= _FINDERS:
                del self._finders[next(iter(self._finders))]
            self.has_read = True
            scope = self._reader.scope(conversation)
            found = self._finders[conversation] = scope, self._reader.finder(scope)
        return found


def _change(row: MessageRow) -> Change:
    """Return what is stored of a changed message: its text only if it can differ from that in its chunk."""
    return Change(row.meta, row.body, has_body=row.body is None or bool(row.meta.edited_ms))
