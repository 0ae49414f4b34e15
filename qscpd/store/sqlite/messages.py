"""Appending messages and moving positions, in SQLite: the hot path of the store."""

from collections.abc import Iterable, Sequence
from typing import Final

from qscpd.domain.clock import Now
from qscpd.domain.events import PositionMoved
from qscpd.domain.messages import id_conflict, id_hash, pair_refusal, repeated, room_refusal
from qscpd.domain.model import NO_META, Mark, NewMessage, Outcome, Refused, StoredMessage
from qscpd.domain.rooms import NO_MEMBERSHIP
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.amendments import Amendments
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.message_ids import MessageIds
from qscpd.store.sqlite.rooms import RoomReader
from qscpd.store.sqlite.tail_cache import ConversationTail, TailCache, TailKey

_NOWHERE: Final = ConversationTail(0, 0, 0)


class _Batch:
    """The messages of a transaction, to find an id that is used twice in it.

    The table of ids is made, as far as it is needed, only when an id does not rise: hardly ever.
    """

    __slots__ = ("_by_id", "_listed", "messages", "outcomes")

    def __init__(self, messages: Sequence[NewMessage]) -> None:
        self.messages = messages
        self.outcomes: list[Outcome] = []
        self._by_id: dict[tuple[int, str], tuple[NewMessage, StoredMessage]] = {}
        self._listed = 0

    def find(self, message: NewMessage) -> Outcome | None:
        """Return the outcome of a message whose id was used before in the batch; None if it is new."""
        for index in range(self._listed, len(self.outcomes)):
            earlier, outcome = self.messages[index], self.outcomes[index]
            # The id of a refused message belongs to another one, which is stored.
            if isinstance(outcome, StoredMessage):
                self._by_id.setdefault((earlier.sender, earlier.id), (earlier, outcome))
        self._listed = len(self.outcomes)
        known = self._by_id.get((message.sender, message.id))
        if known is None:
            return None
        first, stored = known
        return repeated(message, stored, id_hash(first.recipient, first.body, first.meta))


class Messages:
    """Appends messages and moves positions."""

    def __init__(
        self, db: Database, rooms: RoomReader, tails: TailCache, ids: MessageIds, amendments: Amendments
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._tails = tails
        self._ids = ids
        self._amendments = amendments

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark]
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        """See `Store.append`."""
        batch = _Batch(messages)
        with self._db.transaction():
            touched = self._append(batch, self._db.now)
            self._write(touched)
            if self._amendments.opened:
                self._amendments.flush()
            moved = [self._move(mark) for mark in marks]
        for tail in touched:
            tail.added = []
        return batch.outcomes, moved

    def _append(self, batch: _Batch, now: Now) -> Sequence[ConversationTail]:
        """Add messages to the tails of their conversations; return these."""
        outcomes = batch.outcomes
        newest_ids, tails = self._ids.newest, self._tails.known
        touched: dict[int, ConversationTail] = {}
        # Messages come in runs from one user to one peer: what a run has in common is found once.
        sender = recipient = time_ms = 0
        newest = ""
        tail = _NOWHERE
        for message in batch.messages:
            if message.sender != sender:
                sender, recipient = message.sender, 0
                newest = newest_ids.get(sender) or self._ids.newest_of(sender)
            message_id = message.id
            if message_id > newest:
                newest = newest_ids[sender] = message_id
            else:
                known = batch.find(message) or self._ids.look_up(message)
                if known is not None:
                    outcomes.append(known if isinstance(known, StoredMessage) else self._conflict(message))
                    continue
            if message.recipient != recipient:
                recipient = message.recipient
                key: TailKey = recipient
                if recipient > 0:
                    key = (sender, recipient) if sender < recipient else (recipient, sender)
                tail = tails.get(key) or self._tails.load(key)
                # The clock may be set back; time never goes back within a conversation.
                time_ms = tail.last_ms = max(tail.last_ms, now.stamp_ms)
            entry: chunks.Entry = (time_ms, sender, message_id, message.body)
            count = 0
            if tail.room is not None or message.meta is not NO_META:
                checked = self._checked(message, tail, time_ms, now)
                if isinstance(checked, Refused):
                    outcomes.append(checked)
                    continue
                entry = checked
                count = entry[4].count if len(entry) > 4 else 0  # noqa: PLR2004 - the meta, if it has one
            touched[tail.id] = tail
            tail.last_seq += 1
            tail.added.append(entry)
            outcomes.append(StoredMessage(tail.id, tail.last_seq, time_ms, True, count))
        return list(touched.values())

    def _conflict(self, message: NewMessage) -> Refused:
        """Return the refusal of an id that was used for another message."""
        if message.recipient >= 0:
            return id_conflict(None, NO_MEMBERSHIP)
        room = self._rooms.get(-message.recipient)
        return id_conflict(room, self._rooms.membership(room.id, message.sender))

    def _checked(
        self, message: NewMessage, tail: ConversationTail, time_ms: int, now: Now
    ) -> chunks.Entry | Refused:
        """Return the entry of a message or of an applied amendment, or why it is refused."""
        room = tail.room
        if room is None:
            refused = pair_refusal(message, tail.last_seq)
        else:
            refused = room_refusal(
                message,
                room.row,
                self._tails.membership(room, message.sender),
                last_seq=tail.last_seq,
                waited_ms=room.waited(message.sender, now.boot_ms),
                now_ms=now.steady_ms,
            )
        if refused is not None:
            return refused
        if message.meta.kind:
            return self._amendments.apply(message, tail, time_ms, now.steady_ms)
        if room is not None:
            room.wrote(message.sender, now.boot_ms)
        if message.meta == NO_META:
            return time_ms, message.sender, message.id, message.body
        return time_ms, message.sender, message.id, message.body, message.meta

    def _write(self, tails: Iterable[ConversationTail]) -> None:
        with self._db.transaction() as db:
            db.executemany(
                "INSERT INTO chunks (conversation, last_seq, messages) VALUES (?, ?, ?)",
                [(tail.id, tail.last_seq, chunks.pack(tail.added)) for tail in tails],
            )
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
