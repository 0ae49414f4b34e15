"""What happens to messages: edits, redactions and reactions, and who may do them.

An event takes a seq of its own, so that a device that was away is told of it like of a message; and the
message that it is about is rewritten in the same transaction, so that whoever reads it later reads what it
is now. The new text of an edit is in the message only: taken away there, it is gone.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from qscp.errors import ErrorCode
from qscp.limits import REACTIONS_LIMIT
from qscp.rooms import PERMISSIONS, RANKS, HistoryFrom, RoomRole
from qscpd.domain.model import MessageMeta, MessageRow, NewMessage, Refused
from qscpd.domain.rooms import FOREVER_MS, Membership, refusal
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.message_ids import digest
from qscpd.store.sqlite.rooms import Rooms
from qscpd.store.sqlite.tail_cache import ConversationTail, RoomTail

__all__ = ["Events"]


_OPENED: Final = 8
"""Chunks that a transaction holds decoded at once: about 10 MiB."""


class _Opened:
    """A chunk that the running transaction looks into or changes; it is written once, at the end."""

    __slots__ = ("changed", "conversation", "id", "rows")

    def __init__(self, number: int, conversation: int, rows: list[MessageRow]) -> None:
        self.id = number
        self.conversation = conversation
        self.rows = rows
        self.changed = False


class _Target(NamedTuple):
    """The message that an event is about."""

    row: MessageRow
    chunk: _Opened | None
    """Where it is; None while it is in the running transaction."""


class Events(Rooms):
    """Checking what is to be written, and rewriting messages."""

    _edit_within_ms: int
    _opened: list[_Opened]

    def _refusal(self, message: NewMessage, end: ConversationTail, now_ms: int) -> Refused | None:
        """Why a message may not be written, or an event not happen; None if it may. Inside a transaction."""
        first = 1
        if end.room is not None:
            membership = self._membership_in(end.room, message.sender)
            refused = _refused_by_room(message, end.room, membership, now_ms)
            if refused is not None:
                return refused
            if end.room.row.history is HistoryFrom.JOINING:
                first = membership.since
        about = message.meta.target or message.meta.reply_to
        if about and not first <= about <= end.last_seq:
            return Refused(ErrorCode.UNKNOWN_MESSAGE)
        return None

    def _membership_in(self, room: RoomTail, account: int) -> Membership:
        membership = room.memberships.get(account)
        if membership is None:
            membership = room.memberships[account] = self._membership_of(room.row.id, account)
        return membership

    def _happen(self, message: NewMessage, end: ConversationTail, time_ms: int) -> chunks.Entry | Refused:
        """Let an event happen to its message; return the event's own entry. Inside a transaction."""
        target = self._target(end, message.meta.target)
        if target is None or target.row.meta.kind or target.row.body is None:
            return Refused(ErrorCode.UNKNOWN_MESSAGE)
        match message.meta.kind:
            case "edit":
                return self._edit(message, end, target, time_ms)
            case "redact":
                return self._redact(message, end, target, time_ms)
            case _:
                return self._react(message, end, target, time_ms)

    def _edit(
        self, message: NewMessage, end: ConversationTail, target: _Target, time_ms: int
    ) -> chunks.Entry | Refused:
        row = target.row
        if row.sender != message.sender:
            return Refused(ErrorCode.NOT_ALLOWED)
        if time_ms - row.time_ms >= self._edit_within_ms:
            return Refused(ErrorCode.TOO_LATE)
        meta = msgspec.structs.replace(row.meta, edited_ms=time_ms, mentions=message.meta.mentions)
        self._rewrite(message, end, target, row._replace(body=message.body, meta=meta))
        kept = MessageMeta(kind="edit", target=row.seq, digest=digest(message.body))
        return time_ms, message.sender, message.id, None, kept

    def _redact(
        self, message: NewMessage, end: ConversationTail, target: _Target, time_ms: int
    ) -> chunks.Entry | Refused:
        row = target.row
        if row.sender != message.sender:
            if not self._may_redact(end.room, message.sender, row.sender):
                return Refused(ErrorCode.NOT_ALLOWED)
            self._log(
                end.id,
                actor=message.sender,
                action="redact",
                target=row.sender,
                seq=row.seq,
                text=message.body,
            )
        gone = row._replace(body=None, meta=MessageMeta(reply_to=row.meta.reply_to))
        self._rewrite(message, end, target, gone)
        return time_ms, message.sender, message.id, None, MessageMeta(kind="redact", target=row.seq)

    def _may_redact(self, room: RoomTail | None, actor: int, author: int) -> bool:
        if room is None:
            return False
        role, other = self._membership_in(room, actor).role, self._membership_in(room, author).role
        if RANKS[role] < RANKS[PERMISSIONS["redact"]]:
            return False
        return role is RoomRole.OWNER or RANKS[role] > RANKS[other]

    def _react(
        self, message: NewMessage, end: ConversationTail, target: _Target, time_ms: int
    ) -> chunks.Entry | Refused:
        row, text, meta = target.row, message.body, message.meta
        reactions = dict(row.meta.reactions)
        before = reactions.get(text, ())
        if (message.sender in before) is not meta.removed:
            return Refused(ErrorCode.UNCHANGED)
        theirs = tuple(each for each in before if each != message.sender)
        if not meta.removed:
            theirs += (message.sender,)
        reactions[text] = theirs
        if not theirs:
            del reactions[text]
        if len(reactions) > REACTIONS_LIMIT:
            return Refused(ErrorCode.TOO_MANY_REACTIONS)
        changed = row._replace(meta=msgspec.structs.replace(row.meta, reactions=reactions))
        self._rewrite(message, end, target, changed)
        kept = MessageMeta(kind="react", target=row.seq, removed=meta.removed, count=len(theirs))
        return time_ms, message.sender, message.id, text, kept

    # --- the message

    def _target(self, end: ConversationTail, seq: int) -> _Target | None:
        """Find a message, also one of the running transaction."""
        first = end.last_seq - len(end.added) + 1
        if seq >= first:
            return _Target(MessageRow(seq, *end.added[seq - first]), None)
        chunk = self._open_chunk(end.id, seq)
        return _Target(chunk.rows[seq - chunk.rows[0].seq], chunk) if chunk is not None else None

    def _open_chunk(self, conversation: int, seq: int) -> _Opened | None:
        for chunk in self._opened:
            if chunk.conversation == conversation and chunk.rows[0].seq <= seq <= chunk.rows[-1].seq:
                return chunk
        found = self._chunk_with(conversation, seq)
        if found is None:
            return None
        if len(self._opened) >= _OPENED:
            self._write_back(self._opened.pop(0))
        chunk = _Opened(found[0], conversation, found[1])
        self._opened.append(chunk)
        return chunk

    def _write_opened(self) -> None:
        """Write the chunks that the running transaction has changed."""
        for chunk in self._opened:
            self._write_back(chunk)
        self._opened = []

    def _write_back(self, chunk: _Opened) -> None:
        if chunk.changed:
            self._write_rows(chunk.id, chunk.rows)

    def _write_rows(self, chunk: int, rows: Iterable[MessageRow]) -> None:
        packed = chunks.pack([chunks.entry(row) for row in rows])
        self._db.execute("UPDATE chunks SET messages = ? WHERE id = ?", (packed, chunk))

    def _chunk_with(self, conversation: int, seq: int) -> tuple[int, list[MessageRow]] | None:
        """The chunk that a message is in, and its rows; None if it was pruned, or never was."""
        sql = """SELECT id, last_seq, messages FROM chunks WHERE conversation = ? AND last_seq >= ?
                 ORDER BY last_seq LIMIT 1"""
        for chunk, last_seq, blob in self._read(sql, conversation, seq):
            rows = chunks.rows(last_seq, blob)
            if rows[0].seq <= seq:
                return chunk, rows
        return None

    def _finder(self, conversation: int) -> Callable[[int], MessageRow | None]:
        """What finds messages of a conversation by their seq, quickly if they are near each other."""
        near: list[MessageRow] = []

        def find(seq: int) -> MessageRow | None:
            nonlocal near
            if not near or not near[0].seq <= seq <= near[-1].seq:
                found = self._chunk_with(conversation, seq)
                if found is None:
                    return None
                near = found[1]
            return near[seq - near[0].seq]

        return find

    def _rewrite(self, event: NewMessage, end: ConversationTail, target: _Target, row: MessageRow) -> None:
        """Put a message in the place of what it was."""
        if target.chunk is None:
            if row.body != target.row.body:  # by its author or in a room, so both went to the same
                self._index_id(end.id, event.recipient, target.row)
            end.added[row.seq - 1 - end.last_seq + len(end.added)] = chunks.entry(row)
            return
        chunk = target.chunk
        self._exchange(end.id, chunk.id, [target.row], [row])
        chunk.rows[row.seq - chunk.rows[0].seq] = row
        chunk.changed = True

    def _exchange(self, conversation: int, chunk: int, old: list[MessageRow], new: list[MessageRow]) -> None:
        """Prepare the indexes for rows of a chunk that become others. Inside a transaction."""
        if int(self._meta("ids_indexed")) < chunk:
            self._index_all_ids()  # from the texts that were sent
        # A long text costs the index of words half a millisecond, and a reaction leaves it as it was.
        texts = [(before, after) for before, after in zip(old, new, strict=True) if before.body != after.body]
        self._unindex(chunk, conversation, [before for before, _ in texts])
        self._reindex(chunk, conversation, [after for _, after in texts])

    def _replace_rows(
        self, conversation: int, chunk: int, old: list[MessageRow], new: list[MessageRow]
    ) -> None:
        """Put some rows of a chunk in the place of what they were. Inside a transaction."""
        self._exchange(conversation, chunk, old, new)
        last_seq, blob = self._db.execute(
            "SELECT last_seq, messages FROM chunks WHERE id = ?", (chunk,)
        ).fetchone()
        changed = {row.seq: row for row in new}
        self._write_rows(chunk, (changed.get(row.seq, row) for row in chunks.rows(last_seq, blob)))

    def _forget(self) -> None:
        super()._forget()
        self._opened = []


def _refused_by_room(
    message: NewMessage, room: RoomTail, membership: Membership, now_ms: int
) -> Refused | None:
    event = bool(message.meta.kind)
    code = refusal(room.row, membership, now_ms, reacts=event)
    if code is ErrorCode.MUTED:
        forever = membership.muted_until_ms >= FOREVER_MS
        return Refused(code, None if forever else (membership.muted_until_ms - now_ms) / 1000)
    if code is not None:
        return Refused(code)
    if event or not room.row.slow_s or RANKS[membership.role] >= RANKS[RoomRole.MODERATOR]:
        return None
    wait_s = room.wait_s(message.sender, now_ms)
    return Refused(ErrorCode.SLOW_MODE, wait_s) if wait_s else None
