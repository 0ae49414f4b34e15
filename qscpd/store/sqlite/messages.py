"""Conversations and their messages, in SQLite: the hot path of the store."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from qscp.errors import ErrorCode
from qscpd.domain.model import (
    NO_META,
    ConversationRow,
    Found,
    Mark,
    MessageRow,
    Moved,
    NewMessage,
    Outcome,
    Refused,
    StoredMessage,
)
from qscpd.domain.rooms import may_see
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.events import Events
from qscpd.store.sqlite.message_ids import same
from qscpd.store.sqlite.tail_cache import ConversationTail, RoomTail

__all__ = ["Messages"]

_CACHED_CONVERSATIONS: Final = 50_000
"""Conversations whose last seq is kept in memory: about 10 MiB."""

_CONVERSATION: Final = """
    SELECT c.id, p.account, coalesce(a.name, r.name),
      CASE r.history WHEN 'joining' THEN max(c.first_seq, s.since) ELSE c.first_seq END,
      c.last_seq, m.read_seq, coalesce(p.delivered_seq, 0)
    FROM positions m JOIN conversations c ON c.id = m.conversation
    LEFT JOIN positions p ON p.conversation = c.id
      AND p.account = CASE m.account WHEN c.low THEN c.high ELSE c.low END
    LEFT JOIN accounts a ON a.id = p.account
    LEFT JOIN rooms r ON r.conversation = c.id
    LEFT JOIN standings s ON s.conversation = c.id AND s.account = m.account
    WHERE (CASE WHEN r.conversation IS NULL THEN c.last_seq > 0 ELSE s.role IS NOT NULL END)
"""
"""Those that an account may see: its pairs, and the rooms that it is in. A pair of which only an event was
refused has nothing yet, and neither of them has to know of it."""


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
        """What became of an earlier message of the batch with the same id; None if there is none."""
        for index in range(self._listed, len(self.outcomes)):
            earlier, place = self.messages[index], self.outcomes[index]
            if isinstance(
                place, StoredMessage
            ):  # the id of a refused one belongs to another, which is stored
                self._by_id.setdefault((earlier.sender, earlier.id), (earlier, place))
        self._listed = len(self.outcomes)
        known = self._by_id.get((message.sender, message.id))
        if known is None:
            return None
        first, place = known
        if not same(first, message):
            return Refused()
        return StoredMessage(place.conversation, place.seq, place.time_ms, new=False)


class Messages(Events):
    """Appending, positions and reading back."""

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark] = ()
    ) -> tuple[Sequence[Outcome], Sequence[Moved | None]]:
        """See `Store.append`."""
        batch = _Batch(messages)
        outcomes = batch.outcomes
        touched: dict[int, ConversationTail] = {}
        with self._transaction():
            now = self._clock_ms()
            # Messages come in runs from one person to one other: what a run has in common is found once.
            sender = recipient = time_ms = 0
            newest = ""
            end = _NOWHERE
            for message in messages:
                if message.sender != sender:
                    sender, recipient = message.sender, 0
                    newest = self._newest_id(sender)
                message_id = message.id
                if message_id > newest:
                    newest = self._newest_ids[sender] = message_id
                else:
                    known = batch.find(message) or self._look_up(message)
                    if known is not None:
                        outcomes.append(
                            known if isinstance(known, StoredMessage) else self._conflict(message)
                        )
                        continue
                if message.recipient != recipient:
                    recipient = message.recipient
                    end = self._end_of(sender, recipient)
                    # The clock may be set back; time never is, within a conversation.
                    time_ms = end.last_ms = max(end.last_ms, now)
                entry: chunks.Entry = (time_ms, sender, message_id, message.body)
                count = 0
                if end.room is not None or message.meta is not NO_META:
                    checked = self._checked(message, end, time_ms)
                    if isinstance(checked, Refused):
                        outcomes.append(checked)
                        continue
                    entry = checked
                    count = entry[4].count if len(entry) > 4 else 0  # noqa: PLR2004 - only what has more has one
                touched[end.id] = end
                end.last_seq += 1
                end.added.append(entry)
                outcomes.append(StoredMessage(end.id, end.last_seq, time_ms, True, count))
            self._write(touched.values())
            self._write_opened()
            moved = [self._move(mark) for mark in marks]
        for end in touched.values():
            end.added = []
        return outcomes, moved

    def _conflict(self, message: NewMessage) -> Refused:
        """Refuse an id that was used for something else; for who may not see a room, there is none."""
        if message.recipient < 0:
            membership = self._membership_of(-message.recipient, message.sender)
            if not may_see(self.room(-message.recipient), membership):
                return Refused(ErrorCode.UNKNOWN_ROOM)
        return Refused()

    def _checked(self, message: NewMessage, end: ConversationTail, time_ms: int) -> chunks.Entry | Refused:
        """The entry of a message that may be written, or of an event that happens now."""
        refused = self._refusal(message, end, time_ms)
        if refused is not None:
            return refused
        if message.meta.kind:
            return self._happen(message, end, time_ms)
        if end.room is not None:
            end.room.speaks(message.sender, time_ms)
        if message.meta == NO_META:
            return time_ms, message.sender, message.id, message.body
        return time_ms, message.sender, message.id, message.body, message.meta

    def _end_of(self, sender: int, recipient: int) -> ConversationTail:
        if recipient < 0:
            key = (recipient, recipient)
            return self._conversations.get(key) or self._load_room(key)
        pair = (sender, recipient) if sender < recipient else (recipient, sender)
        return self._conversations.get(pair) or self._load_pair(pair)

    def _write(self, ends: Iterable[ConversationTail]) -> None:
        self._db.executemany(
            "INSERT INTO chunks (conversation, last_seq, messages) VALUES (?, ?, ?)",
            [(end.id, end.last_seq, chunks.pack(end.added)) for end in ends],
        )
        self._db.executemany(
            "UPDATE conversations SET last_seq = ?, last_ms = ? WHERE id = ?",
            [(end.last_seq, end.last_ms, end.id) for end in ends],
        )

    def _load_room(self, key: tuple[int, int]) -> ConversationTail:
        """Read the end of a room; the router knows no rooms but those that there are."""
        self._make_room_in_cache()
        room = self.room(-key[0])
        sql = "SELECT last_ms FROM conversations WHERE id = ?"
        last_ms = self._db.execute(sql, (room.id,)).fetchone()[0]
        end = self._conversations[key] = ConversationTail(room.id, room.last_seq, last_ms, RoomTail(room))
        return end

    def _make_room_in_cache(self) -> None:
        if len(self._conversations) >= _CACHED_CONVERSATIONS:
            # Those that the transaction has touched must stay: their `added` is not written yet.
            self._conversations = {key: each for key, each in self._conversations.items() if each.added}

    def _load_pair(self, pair: tuple[int, int]) -> ConversationTail:
        """Read the end of a pair's conversation, or make the conversation; inside a transaction."""
        self._make_room_in_cache()
        row = self._db.execute(
            "SELECT id, last_seq, last_ms FROM conversations WHERE low = ? AND high = ?", pair
        ).fetchone()
        if row is None:
            sql = "INSERT INTO conversations (low, high, last_seq, last_ms) VALUES (?, ?, 0, 0) RETURNING id"
            number = self._db.execute(sql, pair).fetchall()[0][0]
            self._db.executemany(
                "INSERT INTO positions (account, conversation) VALUES (?, ?)",
                [(each, number) for each in pair],
            )
            row = (number, 0, 0)
        end = self._conversations[pair] = ConversationTail(*row)
        return end

    def _move(self, mark: Mark) -> Moved | None:
        """Move a position up, inside a transaction; None if it stays."""
        # The columns are named after the kinds. What a mark may not pass is the end of the conversation.
        rows = self._db.execute(
            f"""UPDATE positions SET {mark.kind}_seq = min(?, last_seq)
                FROM conversations c WHERE c.id = conversation AND account = ? AND conversation = ?
                AND (low IS NOT NULL OR EXISTS (SELECT 1 FROM standings s WHERE s.conversation = c.id
                  AND s.account = positions.account AND s.role IS NOT NULL))
                AND {mark.kind}_seq < min(?, last_seq) RETURNING {mark.kind}_seq""",  # noqa: S608 - an enum
            (mark.seq, mark.account, mark.conversation, mark.seq),
        ).fetchall()
        if not rows:
            return None
        low, high = self._db.execute(
            "SELECT low, high FROM conversations WHERE id = ?", (mark.conversation,)
        ).fetchone()  # both None in a room
        return Moved(mark._replace(seq=rows[0][0]), high if mark.account == low else low)

    def _forget(self) -> None:
        super()._forget()
        self._conversations = {}

    # --- reading

    def conversations(
        self, account: int, after: int = 0, limit: int = 1_000_000
    ) -> Sequence[ConversationRow]:
        """See `Store.conversations`."""
        sql = f"{_CONVERSATION} AND m.account = ? AND m.conversation > ? ORDER BY c.id LIMIT ?"
        return [ConversationRow(*row) for row in self._read(sql, account, after, limit)]

    def conversation(self, account: int, conversation: int) -> ConversationRow | None:
        """See `Store.conversation`."""
        rows = self._read(f"{_CONVERSATION} AND m.account = ? AND m.conversation = ?", account, conversation)
        return ConversationRow(*rows[0]) if rows else None

    def unread(self, account: int, conversation: int, read: int, most: int = 1000) -> tuple[int, int]:
        """See `Store.unread`."""
        count = mentions = 0
        for row in self._chunks_after(conversation, read):
            for message in chunks.rows(*row):
                if message.seq > read and message.sender != account and not message.meta.kind:
                    count += 1
                    mentions += account in message.meta.mentions
            if count >= most:
                return most, min(mentions, most)
        return count, mentions

    def messages_after(
        self, conversation: int, seq: int, limit: int, most_bytes: int, first: int = 1
    ) -> Sequence[MessageRow]:
        """See `Store.messages_after`."""
        found = (
            message
            for row in self._chunks_after(conversation, seq)
            for message in chunks.rows(*row)
            if message.seq > seq
        )
        return _first(self._as_told(conversation, found, first), limit, most_bytes)

    def messages_before(
        self, conversation: int, seq: int, limit: int, most_bytes: int, first: int = 1
    ) -> Sequence[MessageRow]:
        """See `Store.messages_before`."""
        # The chunk that has the message before `seq` may end behind it.
        sql = """SELECT last_seq, messages FROM chunks WHERE conversation = ? AND last_seq <= coalesce(
                   (SELECT min(last_seq) FROM chunks WHERE conversation = ? AND last_seq >= ?), ?)
                 ORDER BY last_seq DESC"""
        found = (
            message
            for row in self._iterate(sql, conversation, conversation, seq - 1, seq - 1)
            for message in reversed(chunks.rows(*row))
            if message.seq < seq
        )
        seen = itertools.takewhile(lambda message: message.seq >= first, found)
        return _first(self._as_told(conversation, seen, first), limit, most_bytes)[::-1]

    def _as_told(
        self, conversation: int, messages: Iterable[MessageRow], first: int = 1
    ) -> Iterator[MessageRow]:
        """Give each edit the text that its message has by now, and each reaction the number of people.

        What is before `first` is not told, and neither is the text of an edit of it.
        """
        find = self._finder(conversation)
        for row in messages:
            if row.seq < first:
                continue
            if row.meta.kind == "react":
                message = find(row.meta.target)
                people = message.meta.reactions.get(row.body or "", ()) if message is not None else ()
                yield row._replace(meta=msgspec.structs.replace(row.meta, count=len(people)))
            elif row.meta.kind == "edit":
                message = find(row.meta.target) if row.meta.target >= first else None
                body = message.body if message is not None else None
                mentions = message.meta.mentions if message is not None else ()
                meta = msgspec.structs.replace(row.meta, mentions=mentions)
                yield row._replace(body=body, meta=meta)
            else:
                yield row

    def export(self, account: int) -> Iterator[Found]:
        """See `Store.export`."""
        for row in self.conversations(account):
            for chunk in self._chunks_after(row.id, row.first_seq - 1):
                for message in self._as_told(row.id, chunks.rows(*chunk), row.first_seq):
                    yield Found(row.id, message)

    def export_room(self, conversation: int) -> Iterator[MessageRow]:
        """See `Store.export_room`."""
        for chunk in self._chunks_after(conversation, 0):
            yield from self._as_told(conversation, chunks.rows(*chunk))

    def _chunks_after(self, conversation: int, seq: int) -> Iterator[tuple[int, bytes]]:
        sql = (
            "SELECT last_seq, messages FROM chunks WHERE conversation = ? AND last_seq > ? ORDER BY last_seq"
        )
        return self._iterate(sql, conversation, seq)


def _first(messages: Iterable[MessageRow], limit: int, most_bytes: int) -> list[MessageRow]:
    taken: list[MessageRow] = []
    size = 0
    for message in messages:
        # What it takes on the wire, when every character has to be escaped.
        size += 200 + 2 * len((message.body or "").encode()) + 100 * len(message.meta.reactions)
        size += 40 * len(message.meta.mentions)
        if taken and (len(taken) >= limit or size > most_bytes):
            break
        taken.append(message)
    return taken
