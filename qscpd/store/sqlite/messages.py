"""Appending messages and moving positions, in SQLite: the hot path of the store."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from qscpd.domain.clock import Now
from qscpd.domain.events import PositionMoved
from qscpd.domain.messages import id_hash, misdirected, pair_refusal, room_refusal
from qscpd.domain.model import NO_META, Mark, NewMessage, Outcome, Refused, RefusedMessage, StoredMessage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.amendments import Amendments
from qscpd.store.sqlite.conversation_cache import CachedConversation, ConversationCache, ConversationKey
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.ids import MessageIds, UsedId
from qscpd.store.sqlite.journal import Part, write_row
from qscpd.store.sqlite.positions import Positions
from qscpd.store.sqlite.slow_mode import SlowMode
from qscpd.store.sqlite.tail import Tail

_NOWHERE: Final = CachedConversation(0, 0, 0)


class _OverdueError(Exception):
    """The deadline has passed."""


class _Batch:
    """The messages of a transaction, to find an id that is used twice in it.

    The table of ids is made, as far as it is needed, only when an id does not rise: hardly ever.
    """

    __slots__ = ("_by_id", "_deadline_s", "_listed", "exceptions", "messages", "outcomes", "touched")

    def __init__(self, messages: Sequence[NewMessage], deadline_s: float) -> None:
        self.messages = messages
        self.outcomes: list[Outcome] = []
        """Of the first messages."""
        self.touched: dict[int, CachedConversation] = {}
        """Conversations that they are added to, by id."""
        self.exceptions: set[int] = set()
        """Indexes of messages whose ids are new although they did not rise."""
        self._deadline_s = deadline_s
        self._by_id: dict[tuple[int, str], UsedId] = {}
        self._listed = 0

    def check_time(self, owed_s: float = 0.0) -> None:
        """Raise an error if the transaction has to end before a message that takes long.

        Args:
            owed_s: What the transaction still has to do at its end, in seconds.
        """
        if self.outcomes and time.monotonic() + owed_s >= self._deadline_s:
            raise _OverdueError

    def stored_exceptions(self) -> Iterator[tuple[NewMessage, StoredMessage]]:
        """Yield the messages that were stored under an id that is new although it did not rise."""
        for index in sorted(self.exceptions):
            outcome = self.outcomes[index] if index < len(self.outcomes) else None
            if isinstance(outcome, StoredMessage):
                yield self.messages[index], outcome

    def find(self, message: NewMessage) -> UsedId | None:
        """Return which message of the batch was stored under the id of this one; None if none was."""
        for index in range(self._listed, len(self.outcomes)):
            earlier, outcome = self.messages[index], self.outcomes[index]
            if isinstance(outcome, StoredMessage) and outcome.new:
                key = id_hash(earlier.recipient, earlier.body, earlier.meta)
                used = UsedId(key, outcome.conversation, outcome.seq, outcome.time_ms)
                self._by_id[earlier.sender, earlier.id] = used
        self._listed = len(self.outcomes)
        return self._by_id.get((message.sender, message.id))


class Messages:
    """Appends messages and moves positions."""

    def __init__(
        self,
        db: Database,
        tail: Tail,
        conversations: ConversationCache,
        ids: MessageIds,
        amendments: Amendments,
        positions: Positions,
    ) -> None:
        self._db = db
        self._tail = tail
        self._conversations = conversations
        self._ids = ids
        self._amendments = amendments
        self._positions = positions
        self._slow_mode = SlowMode(db)

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark], deadline_s: float
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        """See `Store.append`."""
        batch = _Batch(messages, deadline_s)
        with self._db.transaction():
            with contextlib.suppress(_OverdueError):
                self._append(batch, self._db.now)
            touched = batch.touched.values()
            parts = self._parts(touched)
            row = write_row(self._db, parts) if parts else 0
            if batch.exceptions:
                self._ids.keep_new(batch.stored_exceptions())
            if self._amendments.has_read:
                self._amendments.flush()
            moved = self._positions.move(marks, batch.touched) if marks else []
        if parts:
            self._tail.add(row, parts)
            self._ids.unfolded.add_stored(batch.messages, batch.outcomes, batch.exceptions)
        for conversation in touched:
            conversation.added = []
        if self._slow_mode.added:
            self._slow_mode.apply()
        return batch.outcomes, moved

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """See `Store.known`."""
        outcomes = [
            self._amendments.current(message, known) if isinstance(known, StoredMessage) else known
            for message, known in zip(messages, self._ids.known(messages), strict=True)
        ]
        self._amendments.flush()
        return outcomes

    def _append(self, batch: _Batch, now: Now) -> None:
        """Add messages to their conversations.

        Only what takes long looks at the clock: what reads a chunk or the end of a conversation.

        Raises:
            _OverdueError: The deadline has passed before the first message that has no outcome.
        """
        outcomes = batch.outcomes
        newest_ids, conversations = self._ids.newest, self._conversations.known
        touched = batch.touched
        # Messages come in runs from one user to one peer: what a run has in common is found once.
        sender = time_ms = 0
        recipient: int | None = None
        newest = ""
        current = _NOWHERE
        for message in batch.messages:
            if message.sender != sender:
                sender, recipient = message.sender, None
                newest = newest_ids.get(sender) or self._newest_of(batch, sender)
            message_id = message.id
            if message_id > newest:
                newest = newest_ids[sender] = message_id
            else:
                batch.check_time()
                used = batch.find(message) or self._ids.look_up(message)
                if used is not None:
                    outcomes.append(self._repeated(message, used, touched))
                    continue
                batch.exceptions.add(len(outcomes))
            if message.recipient != recipient:
                if isinstance(message, RefusedMessage):
                    outcomes.append(self._ids.refuse(message, Refused(message.code, message.retry_after_s)))
                    continue
                recipient = message.recipient
                key: ConversationKey = recipient
                if recipient > 0:
                    key = (sender, recipient) if sender < recipient else (recipient, sender)
                current = conversations.get(key) or self._load(batch, key)
                # The clock may be set back; time never goes back within a conversation.
                time_ms = current.last_ms = max(current.last_ms, now.stamp_ms)
            entry: chunks.Entry = (time_ms, sender, message_id, message.body)
            count = 0
            astray = message.conversation and message.conversation != current.id
            if astray or current.is_restricted or message.meta is not NO_META:
                checked = self._checked(batch, message, current, time_ms, now)
                if isinstance(checked, Refused):
                    outcomes.append(self._ids.refuse(message, checked))
                    continue
                entry = checked
                count = entry[4].count if len(entry) > 4 else 0  # noqa: PLR2004 - the meta, if it has one
            touched[current.id] = current
            current.last_seq += 1
            current.added.append(entry)
            outcomes.append(StoredMessage(current.id, current.last_seq, time_ms, True, count))

    def _newest_of(self, batch: _Batch, account: int) -> str:
        if account not in self._ids.newest:
            batch.check_time()
        return self._ids.newest_of(account)

    def _load(self, batch: _Batch, key: ConversationKey) -> CachedConversation:
        batch.check_time()
        return self._conversations.load(key)

    def _repeated(
        self, message: NewMessage, used: UsedId, touched: Mapping[int, CachedConversation]
    ) -> Outcome:
        """Return the outcome of a message whose id was used before, with what is current of it."""
        outcome = self._ids.outcome(message, used)
        if isinstance(outcome, Refused):
            return outcome
        return self._amendments.current(message, outcome, touched.get(outcome.conversation))

    def _checked(
        self, batch: _Batch, message: NewMessage, tail: CachedConversation, time_ms: int, now: Now
    ) -> chunks.Entry | Refused:
        """Return the entry of a message or of an applied amendment, or why it is refused."""
        if isinstance(message, RefusedMessage):
            return Refused(message.code, message.retry_after_s)
        if message.conversation not in (0, tail.id):
            return misdirected(message)
        room = tail.room
        if room is None:
            refused = pair_refusal(message, tail.last_seq, tail.blockers)
        else:
            refused = room_refusal(
                message,
                room.row,
                self._conversations.membership(room, message.sender),
                last_seq=tail.last_seq,
                waited_ms=self._slow_mode.waited(room.row, message.sender, now.boot_ms),
                now_ms=now.steady_ms,
            )
        if refused is not None:
            return refused
        if message.meta.kind:
            batch.check_time(self._amendments.owed_s)
            return self._amendments.apply(message, tail, time_ms, now.steady_ms)
        if room is not None:
            self._slow_mode.wrote(room.row, message.sender, now.boot_ms)
        if message.meta == NO_META:
            return time_ms, message.sender, message.id, message.body
        return time_ms, message.sender, message.id, message.body, message.meta

    def _parts(self, touched: Iterable[CachedConversation]) -> list[Part]:
        """Return what is added to conversations as parts of a row of the journal."""
        parts: list[Part] = []
        for each in touched:
            first_seq = each.last_seq - len(each.added) + 1
            if first_seq == 1:
                self._show(each)
            packed = chunks.pack(each.added)
            if len(packed) <= chunks.BOUND:
                parts.append(Part(each.id, first_seq, each.last_seq, each.last_ms, packed))
                continue
            for count, part in chunks.divide(each.added):
                parts.append(Part(each.id, first_seq, first_seq + count - 1, each.last_ms, part))
                first_seq += count
        return parts

    def _show(self, conversation: CachedConversation) -> None:
        """Let both members of a pair see it: one without a time has no messages."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE conversations SET last_ms = ? WHERE id = ?", (conversation.last_ms, conversation.id)
            )
