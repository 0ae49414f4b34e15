"""What a commit means for the sessions: messages to deliver, answers, positions that moved.

A message for one session is encoded with all else that the session gets of this commit. One for
several sessions is encoded once, and all that a room got is one piece of bytes for each of its members.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from qscp import codec, frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp.features import READ_RECEIPTS
from qscp.rooms import HistoryFrom
from qscpd.chat.rooms import LiveRoom, Rooms
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import NO_META, MessageRow, Moved, NewMessage, PositionKind, Refused, StoredMessage
from qscpd.sessions.encoding import pushed
from qscpd.sessions.session import Session
from qscpd.store.writer import Committed, PendingChat

__all__ = ["Delivery"]

_Output = defaultdict[Session, list[frames.ServerFrame | Raw]]
"""What goes out to each session."""

_NOBODY: Final[list[Session]] = []


class _RoomBatch:
    """What one commit adds to one room."""

    __slots__ = ("_edits", "_lines", "_room", "_senders", "_seqs")

    def __init__(self, room: LiveRoom) -> None:
        self._room = room
        self._lines: list[bytes] = []
        self._seqs: list[int] = []
        self._edits: dict[int, tuple[int, bytes]] = {}
        """Seq of an edit -> seq of its message, and the line for those who may not see that."""
        self._senders: dict[Session, list[frames.ServerFrame | Raw]] = {}

    def sender(self, session: Session, out: list[frames.ServerFrame | Raw]) -> None:
        """A session writes: what others write comes to it between its own acknowledgements, in order."""
        if session not in self._senders:
            self._senders[session] = out
            for seq, line in zip(self._seqs, self._lines, strict=True):
                self._tell_sender(session, seq, line)

    def add(self, sender: Session, seq: int, frame: frames.ServerFrame) -> None:
        """Something was written."""
        line = codec.encode(frame)
        if type(frame) is frames.Edit and self._room.row.history is HistoryFrom.JOINING:
            hidden = msgspec.structs.replace(frame, body="", mentions=(), erased=True)
            self._edits[seq] = frame.target, codec.encode(hidden)
        for session in self._senders:
            if session is not sender:
                self._tell_sender(session, seq, line)
        self._lines.append(line)
        self._seqs.append(seq)

    def send(self, answered: int) -> None:
        """Hand everything to the sessions of the members.

        Args:
            answered: How many messages the store came back with, stored or not.
        """
        room = self._room
        if self._lines:
            room.last_seq = self._seqs[-1]
            self._send_to_members()
        room.queue.answered(answered, len(room.sessions) if self._lines else 0)

    def _send_to_members(self) -> None:
        piece, count = b"".join(self._lines), len(self._lines)
        for session in self._room.sessions.difference(self._senders):
            if not session.live:
                for seq, line in zip(self._seqs, self._lines, strict=True):
                    self._hold(session, seq, line)
            elif self._edits:
                lines = zip(self._seqs, self._lines, strict=True)
                session.send_piece(b"".join(self._seen_by(session, *each) for each in lines), count)
            elif session.closed or session in session.router.dirty:
                session.send_piece(piece, count)
            else:
                # As `send_piece` would, without a call: it is two thirds of what a busy room costs.
                session.frames_out += count
                session.messages_out += count
                session.link.write(piece)

    def _tell_sender(self, session: Session, seq: int, line: bytes) -> None:
        if session not in self._room.sessions:
            return
        if session.live:
            session.messages_out += 1
            self._senders[session].append(Raw(self._seen_by(session, seq, line)[:-1]))
        else:
            self._hold(session, seq, line)

    def _hold(self, session: Session, seq: int, line: bytes) -> None:
        """Keep a line for a session that is told what it missed; before that, the store has it."""
        if session.replay is not None:
            session.replay.hold(self._room.row.id, seq, self._seen_by(session, seq, line))

    def _seen_by(self, session: Session, seq: int, line: bytes) -> bytes:
        """A line as somebody may see it: the text of an edit is none of who came behind the message."""
        edit = self._edits.get(seq)
        if edit is None or session.account is None:
            return line
        target, hidden = edit
        return line if target >= self._room.first_seq(session.account.id) else hidden


class Delivery:
    """Delivers and answers.

    Args:
        sessions: The sessions of each account that are logged in; the router's own.
        names: Names of accounts, by id.
        rooms: The rooms.
        wake: Makes sure that what was queued for sessions leaves.
    """

    def __init__(
        self,
        sessions: dict[int, list[Session]],
        names: dict[int, str],
        rooms: Rooms,
        wake: Callable[[Iterable[Session]], None],
    ) -> None:
        self._sessions = sessions
        self._names = names
        self._rooms = rooms
        self._wake = wake

    def committed(self, result: Committed[Session]) -> None:
        """Deliver and acknowledge what was committed, and tell of positions that moved."""
        out: _Output = defaultdict(list)
        answered: defaultdict[Session, int] = defaultdict(int)
        batches: dict[int, _RoomBatch] = {}
        # Messages come in runs from one session to one person: what a run has in common is found once.
        session = None
        recipient = 0
        for chat, outcome in zip(result.chats, result.outcomes, strict=True):
            message = chat.message
            if chat.session is not session or message.recipient != recipient:
                session, recipient = chat.session, message.recipient
                name, acks = session.name, out[session]
                batch = self._batch(batches, -recipient, session, acks) if recipient < 0 else None
                listener = self._only_listener(session, message)
                inbox = out[listener] if listener is not None else None
            answered[session] += 1
            if isinstance(outcome, Refused):
                acks.append(_nack(message.id, outcome))
                continue
            conversation = f"c{outcome.conversation}"
            seq, time_ms = outcome.seq, outcome.time_ms
            if outcome.new:
                session.messages_in += 1
                if message.meta is NO_META:
                    frame: frames.ServerFrame = frames.Chat(
                        conversation, seq, message.id, name, chat.to, message.body, time_ms, "live"
                    )
                else:
                    frame = self._told(chat, outcome)
                if listener is not None and inbox is not None:
                    listener.messages_out += 1
                    inbox.append(frame)
                elif batch is not None:
                    batch.add(session, seq, frame)
                else:
                    self._deliver(chat, outcome, frame, out)
            acks.append(frames.ChatAck(message.id, conversation, seq, time_ms))
        self._tell_positions(result, out)
        self._queue(out)
        if batches:
            _send(result.chats, batches)
        for session, count in answered.items():
            session.answered(count)

    def _batch(
        self,
        batches: dict[int, _RoomBatch],
        conversation: int,
        session: Session,
        acks: list[frames.ServerFrame | Raw],
    ) -> _RoomBatch | None:
        """What this commit adds to the room that a session writes in; None if it was deleted meanwhile."""
        batch = batches.get(conversation)
        if batch is None:
            room = self._rooms.by_id(conversation)
            if room is None:
                return None
            batch = batches[conversation] = _RoomBatch(room)
        batch.sender(session, acks)
        return batch

    def _told(self, chat: PendingChat[Session], place: StoredMessage) -> frames.ServerFrame:
        message = chat.message
        body = message.body if message.meta.kind != "redact" else None
        meta = msgspec.structs.replace(message.meta, count=place.count) if place.count else message.meta
        row = MessageRow(place.seq, place.time_ms, message.sender, message.id, body, meta)
        return pushed(place.conversation, row, to=chat.to, origin="live", names=self._names)

    def _only_listener(self, sending: Session, message: NewMessage) -> Session | None:
        """The one live session that a message goes to, as most often; None if it is not so simple."""
        theirs = self._sessions.get(message.recipient, _NOBODY)
        ours = self._sessions.get(message.sender, _NOBODY)
        if len(theirs) == 1 and theirs[0].live and (not ours or (len(ours) == 1 and ours[0] is sending)):
            return theirs[0]
        return None

    def _deliver(
        self, chat: PendingChat[Session], place: StoredMessage, frame: frames.ServerFrame, out: _Output
    ) -> None:
        """Queue a message for the recipient's sessions, and for the sender's other ones."""
        message = chat.message
        line = codec.encode(frame)
        shared = Raw(line[:-1])
        theirs = self._sessions.get(message.recipient, _NOBODY)
        ours = self._sessions.get(message.sender, _NOBODY)
        for session in (*theirs, *ours):
            if session is chat.session:
                continue
            if session.live:
                session.messages_out += 1
                out[session].append(shared)
            elif session.replay is not None:
                session.replay.hold(place.conversation, place.seq, line)

    def _tell_positions(self, result: Committed[Session], out: _Output) -> None:
        for mark, moved in zip(result.marks, result.moved, strict=True):
            if moved is not None:
                self._tell_moved(mark.session, moved, out)

    def _tell_moved(self, origin: Session, moved: Moved, out: _Output) -> None:
        mark, peer = moved
        conversation = conversation_id(mark.conversation)
        theirs = self._sessions.get(peer, _NOBODY) if peer is not None else _NOBODY
        if mark.kind is PositionKind.DELIVERED:
            frame: frames.ServerFrame = frames.Delivered(conversation, mark.seq)
            for session in theirs:
                out[session].append(frame)
            return
        user = self._names.get(mark.account, "")
        frame = frames.ServerRead(conversation, user, mark.seq)
        for session in self._sessions.get(mark.account, ()):
            if session is not origin:
                out[session].append(frame)
        if READ_RECEIPTS in origin.features:
            for session in theirs:
                if READ_RECEIPTS in session.features:
                    out[session].append(frame)

    def refused(self, chats: Sequence[PendingChat[Session]], code: ErrorCode) -> None:
        """Tell the senders that nothing of this was stored."""
        out: _Output = defaultdict(list)
        for chat in chats:
            chat.session.refused = True
            if (room := self._rooms.by_id(-chat.message.recipient)) is not None:
                room.queue.answered(1, 0)
            out[chat.session].append(_nack(chat.message.id, Refused(code)))
        self._queue(out)
        for session, nacks in out.items():
            session.answered(len(nacks))

    def _queue(self, out: _Output) -> None:
        for session, each in out.items():
            session.queue(each)
        self._wake(out)


def _send(chats: Sequence[PendingChat[Session]], batches: dict[int, _RoomBatch]) -> None:
    """Let what a commit added to rooms go out."""
    answered = Counter(-chat.message.recipient for chat in chats)
    for conversation, batch in batches.items():
        batch.send(answered[conversation])


def _nack(message_id: str, refused: Refused) -> frames.ChatNack:
    code = refused.code
    return frames.ChatNack(message_id, code, ERROR_CODES[code].sentence, refused.retry_after_s)
