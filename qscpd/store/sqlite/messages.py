"""Appending messages and moving positions, in SQLite: the hot path of the store."""

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from qscpd.domain.clock import Now
from qscpd.domain.events import PositionMoved
from qscpd.domain.messages import id_hash, misdirected, pair_refusal, room_refusal
from qscpd.domain.model import NO_META, Mark, NewMessage, Outcome, Refused, RefusedMessage, StoredMessage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.amendments import Amendments
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.message_ids import MessageIds, UsedId
from qscpd.store.sqlite.slow_mode import SlowMode
from qscpd.store.sqlite.tail_cache import ConversationTail, TailCache, TailKey

_NOWHERE: Final = ConversationTail(0, 0, 0)


class _OverdueError(Exception):
    """The deadline has passed."""


class _Batch:
    """The messages of a transaction, to find an id that is used twice in it.

    The table of ids is made, as far as it is needed, only when an id does not rise: hardly ever.
    """

    __slots__ = ("_by_id", "_deadline_s", "_listed", "messages", "outcomes", "touched")

    def __init__(self, messages: Sequence[NewMessage], deadline_s: float) -> None:
        self.messages = messages
        self.outcomes: list[Outcome] = []
        """Of the first messages."""
        self.touched: dict[int, ConversationTail] = {}
        """Conversations that they are added to, by id."""
        self._deadline_s = deadline_s
        self._by_id: dict[tuple[int, str], UsedId] = {}
        self._listed = 0

    def check_time(self, *, moved_on: bool = False) -> None:
        """Raise an error if the transaction has to end before a message that takes long.

        Args:
            moved_on: Whether it has done something that lasts, even without an outcome.
        """
        if (self.outcomes or moved_on) and time.monotonic() >= self._deadline_s:
            raise _OverdueError

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

    def __init__(self, db: Database, tails: TailCache, ids: MessageIds, amendments: Amendments) -> None:
        self._db = db
        self._tails = tails
        self._ids = ids
        self._amendments = amendments
        self._slow_mode = SlowMode(db)

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark], deadline_s: float
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        """See `Store.append`."""
        batch = _Batch(messages, deadline_s)
        with self._db.transaction():
            with contextlib.suppress(_OverdueError):
                self._append(batch, self._db.now)
            self._write(batch.touched.values())
            if self._amendments.opened:
                self._amendments.flush()
            moved = [self._move(mark) for mark in marks]
        for tail in batch.touched.values():
            tail.added = []
        if self._slow_mode.added:
            self._slow_mode.apply()
        return batch.outcomes, moved

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """See `Store.known`."""
        return [
            self._amendments.current(message, known) if isinstance(known, StoredMessage) else known
            for message, known in zip(messages, self._ids.known(messages), strict=True)
        ]

    def _append(self, batch: _Batch, now: Now) -> None:
        """Add messages to the tails of their conversations.

        Only what takes long looks at the clock: what reads a chunk or the tail of a conversation.

        Raises:
            _OverdueError: The deadline has passed before the first message that has no outcome.
        """
        outcomes = batch.outcomes
        newest_ids, tails = self._ids.newest, self._tails.known
        touched = batch.touched
        # Messages come in runs from one user to one peer: what a run has in common is found once.
        sender = time_ms = 0
        recipient: int | None = None
        newest = ""
        tail = _NOWHERE
        for message in batch.messages:
            if message.sender != sender:
                sender, recipient = message.sender, None
                newest = newest_ids.get(sender) or self._newest_of(batch, sender)
            message_id = message.id
            if message_id > newest:
                newest = newest_ids[sender] = message_id
            else:
                batch.check_time()
                self._index_ids(batch)
                used = batch.find(message) or self._ids.look_up(message)
                if used is not None:
                    outcomes.append(self._repeated(message, used, touched))
                    continue
            if message.recipient != recipient:
                if isinstance(message, RefusedMessage):
                    outcomes.append(self._ids.refuse(message, Refused(message.code, message.retry_after_s)))
                    continue
                recipient = message.recipient
                key: TailKey = recipient
                if recipient > 0:
                    key = (sender, recipient) if sender < recipient else (recipient, sender)
                tail = tails.get(key) or self._load(batch, key)
                # The clock may be set back; time never goes back within a conversation.
                time_ms = tail.last_ms = max(tail.last_ms, now.stamp_ms)
            entry: chunks.Entry = (time_ms, sender, message_id, message.body)
            count = 0
            astray = message.conversation and message.conversation != tail.id
            if astray or tail.is_restricted or message.meta is not NO_META:
                checked = self._checked(batch, message, tail, time_ms, now)
                if isinstance(checked, Refused):
                    outcomes.append(self._ids.refuse(message, checked))
                    continue
                entry = checked
                count = entry[4].count if len(entry) > 4 else 0  # noqa: PLR2004 - the meta, if it has one
            touched[tail.id] = tail
            tail.last_seq += 1
            tail.added.append(entry)
            outcomes.append(StoredMessage(tail.id, tail.last_seq, time_ms, True, count))

    def _index_ids(self, batch: _Batch) -> None:
        """Index the ids of all chunks, which can be many behind a burst: in several transactions, then."""
        while self._ids.index_step():
            batch.check_time(moved_on=True)

    def _newest_of(self, batch: _Batch, account: int) -> str:
        if account not in self._ids.newest:
            batch.check_time()
            self._index_ids(batch)
        return self._ids.newest_of(account)

    def _load(self, batch: _Batch, key: TailKey) -> ConversationTail:
        batch.check_time()
        return self._tails.load(key)

    def _repeated(
        self, message: NewMessage, used: UsedId, touched: Mapping[int, ConversationTail]
    ) -> Outcome:
        """Return the outcome of a message whose id was used before, with what is current of it."""
        outcome = self._ids.outcome(message, used)
        if isinstance(outcome, Refused):
            return outcome
        return self._amendments.current(message, outcome, touched.get(outcome.conversation))

    def _checked(
        self, batch: _Batch, message: NewMessage, tail: ConversationTail, time_ms: int, now: Now
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
                self._tails.membership(room, message.sender),
                last_seq=tail.last_seq,
                waited_ms=self._slow_mode.waited(room.row, message.sender, now.boot_ms),
                now_ms=now.steady_ms,
            )
        if refused is not None:
            return refused
        if message.meta.kind:
            batch.check_time()
            self._index_ids(batch)  # as replacing a text needs it
            return self._amendments.apply(message, tail, time_ms, now.steady_ms)
        if room is not None:
            self._slow_mode.wrote(room.row, message.sender, now.boot_ms)
        if message.meta == NO_META:
            return time_ms, message.sender, message.id, message.body
        return time_ms, message.sender, message.id, message.body, message.meta

    def _write(self, tails: Iterable[ConversationTail]) -> None:
        added: list[tuple[int, int, bytes]] = []
        for tail in tails:
            blob = chunks.pack(tail.added)
            if len(blob) <= chunks.BOUND:
                added.append((tail.id, tail.last_seq, blob))
                continue
            last_seq = tail.last_seq - len(tail.added)
            for count, part in chunks.divide(tail.added):
                last_seq += count
                added.append((tail.id, last_seq, part))
        with self._db.transaction() as db:
            db.executemany("INSERT INTO chunks (conversation, last_seq, messages) VALUES (?, ?, ?)", added)
            db.executemany(
                "UPDATE conversations SET last_seq = ?, last_ms = ? WHERE id = ?",
                [(tail.last_seq, tail.last_ms, tail.id) for tail in tails],
            )

    def _move(self, mark: Mark) -> PositionMoved | None:
        """Move a position up; return None if it stays."""
        # The columns are named after the kinds. A position is never above the conversation's last seq.
        with self._db.transaction() as db:
            rows = db.execute(
                f"""UPDATE positions SET {mark.kind}_seq = min(?, last_seq)
                    FROM conversations c WHERE c.id = conversation AND account = ? AND conversation = ?
                    AND (low IS NOT NULL OR EXISTS (SELECT 1 FROM standings s WHERE s.conversation = c.id
                      AND s.account = positions.account AND s.role IS NOT NULL))
                    AND {mark.kind}_seq < min(?, last_seq) RETURNING {mark.kind}_seq""",  # noqa: S608 - an enum
                (mark.seq, mark.account, mark.conversation, mark.seq),
            ).fetchall()
            if not rows:
                return None
            low, high = db.execute(
                "SELECT low, high FROM conversations WHERE id = ?", (mark.conversation,)
            ).fetchone()  # both None in a room
        return PositionMoved(mark._replace(seq=rows[0][0]), high if mark.account == low else low)
