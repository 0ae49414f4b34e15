"""Fan committed messages out to sessions, acknowledge them, and notify of positions that moved.

Messages from one session to one user are encoded together if that user has one session, and one by one,
but once for all sessions, if not. All that a commit added to a room is one payload for all of its
members' sessions.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from time import thread_time
from typing import Final

import msgspec

from qscp import codec, frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp.features import READ_RECEIPTS
from qscp.rooms import HistoryFrom
from qscpd.chat.rooms import LiveRoom, Rooms
from qscpd.chat.submission import SubmissionQueue
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import (
    NO_META,
    MessageRow,
    Moved,
    Outcome,
    PositionKind,
    Refused,
    StoredMessage,
)
from qscpd.sessions.encoding import frame_for_row
from qscpd.sessions.session import Session
from qscpd.store.writer import Committed, PendingChat

_ROUTE: Final = attrgetter("session", "message.sender", "message.recipient")

_NO_SESSIONS: Final[list[Session]] = []


class _RoomBatch:
    """What one commit adds to one room.

    A member who wrote in the same commit gets the others' messages one by one, between the
    acknowledgements of their own, in the order of the room. All other members get one payload.
    """

    __slots__ = ("_edits", "_messages", "_room", "_senders")

    def __init__(self, room: LiveRoom) -> None:
        self._room = room
        self._messages: list[tuple[int, bytes]] = []
        """Seq and line of each."""
        self._edits: dict[int, tuple[int, bytes]] = {}
        """Seq of an edit -> seq of its message, and the line for members who cannot see that."""
        self._senders: set[Session] = set()

    def add_sender(self, session: Session) -> None:
        """Note that a session is about to get acknowledgements of this room."""
        if session not in self._senders:
            self._senders.add(session)
            for seq, line in self._messages:
                self._deliver(session, seq, line)

    def add(self, sender: Session, seq: int, frame: frames.ServerFrame) -> None:
        """Add a message, edit, redaction or reaction."""
        line = codec.encode(frame)
        if type(frame) is frames.Edit and self._room.row.history is HistoryFrom.JOINING:
            hidden = msgspec.structs.replace(frame, body="", mentions=(), erased=True)
            self._edits[seq] = frame.target, codec.encode(hidden)
        for session in self._senders:
            if session is not sender:
                self._deliver(session, seq, line)
        self._messages.append((seq, line))

    def fan_out(self) -> None:
        """Send everything to the sessions of the members who wrote nothing."""
        if not self._messages:
            return
        room = self._room
        room.last_seq = self._messages[-1][0]
        messages, payload = self._messages, b"".join([line for _, line in self._messages])
        for session in room.sessions.difference(self._senders):
            if self._edits:
                messages = [(seq, self._seen_by(session, seq, line)) for seq, line in self._messages]
                payload = b"".join([line for _, line in messages])
            session.deliver_all(room.row.id, messages, payload)

    def _deliver(self, session: Session, seq: int, line: bytes) -> None:
        if session in self._room.sessions:
            session.deliver(self._room.row.id, seq, self._seen_by(session, seq, line))

    def _seen_by(self, session: Session, seq: int, line: bytes) -> bytes:
        """Return the line this member may see: edits of messages from before they joined have no text."""
        edit = self._edits.get(seq)
        if edit is None or session.identity is None:
            return line
        target, hidden = edit
        return line if target >= self._room.first_seq(session.identity.account) else hidden


class Delivery:
    """Delivers what the store has committed, and answers the senders.

    Args:
        sessions: The logged-in sessions of each account; the router's own.
        names: Names of accounts, by id.
        rooms: The rooms.
        submissions: The queue that messages came from; it waits for the answers to those of rooms.
    """

    def __init__(
        self,
        sessions: dict[int, list[Session]],
        names: dict[int, str],
        rooms: Rooms,
        submissions: SubmissionQueue,
    ) -> None:
        self._sessions = sessions
        self._names = names
        self._rooms = rooms
        self._submissions = submissions

    def committed(self, result: Committed[Session]) -> None:
        """Deliver and acknowledge what was committed, and notify of positions that moved."""
        answered: defaultdict[Session, int] = defaultdict(int)
        batches: dict[int, _RoomBatch] = {}
        # Messages come in runs from one session to one recipient, whose sessions are looked up once.
        outcomes = iter(result.outcomes)
        for route, run in groupby(result.chats, _ROUTE):
            # `zip` takes from the run first, so it leaves the outcomes of the next runs.
            pairs = zip(run, outcomes, strict=False)
            answered[route[0]] += self._deliver_run(*route, pairs, batches)
        self._notify_positions(result)
        self._fan_out(result.chats, batches)
        for session, count in answered.items():
            session.answered(count)

    def refused(self, chats: Sequence[PendingChat[Session]], code: ErrorCode) -> None:
        """Answer the senders of messages that were not stored."""
        answered: defaultdict[Session, int] = defaultdict(int)
        for chat in chats:
            session, message = chat.session, chat.message
            session.refused = True
            if message.recipient < 0:
                self._submissions.answered(-message.recipient, 1, 0.0)
            session.send_all((_nack(message.id, Refused(code)),))
            answered[session] += 1
        for session, count in answered.items():
            session.answered(count)

    # --- messages

    def _deliver_run(
        self,
        session: Session,
        sender: int,
        recipient: int,
        run: Iterable[tuple[PendingChat[Session], Outcome]],
        batches: dict[int, _RoomBatch],
    ) -> int:
        """Deliver and acknowledge messages of a session to one recipient; return how many there were."""
        batch = self._batch(batches, -recipient, session) if recipient < 0 else None
        listener = self._only_listener(session, sender, recipient) if recipient > 0 else None
        inbox: list[frames.ServerFrame] = []
        acks: list[frames.ServerFrame] = []
        for chat, outcome in run:
            message_id = chat.message.id
            if isinstance(outcome, Refused):
                acks.append(_nack(message_id, outcome))
                continue
            if outcome.new:
                session.messages_in += 1
                frame = self._frame(chat, outcome)
                if listener is not None:
                    inbox.append(frame)
                elif batch is not None:
                    batch.add(session, outcome.seq, frame)
                else:
                    self._deliver(chat, outcome, frame)
            conversation = f"c{outcome.conversation}"
            acks.append(frames.ChatAck(message_id, conversation, outcome.seq, outcome.time_ms))
        if listener is not None:
            listener.messages_out += len(inbox)
            listener.send_all(inbox)
        session.send_all(acks)
        return len(acks)

    def _batch(
        self, batches: dict[int, _RoomBatch], conversation: int, session: Session
    ) -> _RoomBatch | None:
        """Return what this commit adds to the room that a session writes in; None if it was deleted since."""
        batch = batches.get(conversation)
        if batch is None:
            room = self._rooms.by_id(conversation)
            if room is None:
                return None
            batch = batches[conversation] = _RoomBatch(room)
        batch.add_sender(session)
        return batch

    def _only_listener(self, sending: Session, sender: int, recipient: int) -> Session | None:
        """Return the one live session that a message goes to, as most often; None in all other cases."""
        theirs = self._sessions.get(recipient, _NO_SESSIONS)
        ours = self._sessions.get(sender, _NO_SESSIONS)
        if len(theirs) == 1 and theirs[0].live and (not ours or (len(ours) == 1 and ours[0] is sending)):
            return theirs[0]
        return None

    def _frame(self, chat: PendingChat[Session], place: StoredMessage) -> frames.ServerFrame:
        """Return the frame of a message, edit, redaction or reaction that was just stored."""
        message = chat.message
        meta = message.meta
        if meta is NO_META:
            name = self._names.get(message.sender, "")
            conversation, seq, time_ms = f"c{place.conversation}", place.seq, place.time_ms
            return frames.Chat(conversation, seq, message.id, name, chat.to, message.body, time_ms, "live")
        if place.count:
            meta = msgspec.structs.replace(meta, count=place.count)
        body = message.body if meta.kind != "redact" else None
        row = MessageRow(place.seq, place.time_ms, message.sender, message.id, body, meta)
        return frame_for_row(place.conversation, row, to=chat.to, origin="live", names=self._names)

    def _deliver(self, chat: PendingChat[Session], place: StoredMessage, frame: frames.ServerFrame) -> None:
        """Deliver a message to the recipient's sessions, and to the sender's other ones."""
        message = chat.message
        line = codec.encode(frame)
        theirs = self._sessions.get(message.recipient, _NO_SESSIONS)
        ours = self._sessions.get(message.sender, _NO_SESSIONS)
        for session in (*theirs, *ours):
            if session is not chat.session:
                session.deliver(place.conversation, place.seq, line)

    def _fan_out(self, chats: Sequence[PendingChat[Session]], batches: dict[int, _RoomBatch]) -> None:
        """Send what a commit added to rooms, and report how long each room kept the loop busy."""
        if not batches:
            return
        answered = Counter(-chat.message.recipient for chat in chats)
        for conversation, batch in batches.items():
            # The thread's own time: what other programs take meanwhile is not the room's doing.
            start = thread_time()
            batch.fan_out()
            self._submissions.answered(conversation, answered[conversation], thread_time() - start)

    # --- positions

    def _notify_positions(self, result: Committed[Session]) -> None:
        for mark, moved in zip(result.marks, result.moved, strict=True):
            if moved is not None:
                self._notify_moved(mark.session, moved)

    def _notify_moved(self, origin: Session, moved: Moved) -> None:
        mark, peer = moved
        conversation = conversation_id(mark.conversation)
        theirs = self._sessions.get(peer, _NO_SESSIONS) if peer is not None else _NO_SESSIONS
        if mark.kind is PositionKind.DELIVERED:
            for session in theirs:
                session.send_all((frames.Delivered(conversation, mark.seq),))
            return
        frame = frames.ServerRead(conversation, self._names.get(mark.account, ""), mark.seq)
        for session in self._sessions.get(mark.account, _NO_SESSIONS):
            if session is not origin:
                session.send_all((frame,))
        if origin.supports(READ_RECEIPTS):
            for session in theirs:
                if session.supports(READ_RECEIPTS):
                    session.send_all((frame,))


def _nack(message_id: str, refused: Refused) -> frames.ChatNack:
    code = refused.code
    return frames.ChatNack(message_id, code, ERROR_CODES[code].sentence, refused.retry_after_s)
