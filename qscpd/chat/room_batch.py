"""Additions of one commit to one room: one payload for all of its members' sessions."""

import msgspec

from qscp import codec, frames
from qscp.rooms import HistoryFrom
from qscpd.chat.rooms import LiveRoom
from qscpd.sessions.session import Session


class RoomBatch:
    """Additions of one commit to one room.

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

    @property
    def name(self) -> str:
        """The room's name."""
        return self._room.row.name

    def add(self, sender: Session | None, seq: int, frame: frames.ServerFrame) -> None:
        """Add a message, edit, redaction or reaction."""
        line = codec.encode(frame)
        if type(frame) is frames.Edit and self._room.row.history is HistoryFrom.JOINING:
            hidden = msgspec.structs.replace(frame, body="", mentions=(), erased=True)
            self._edits[seq] = frame.target, codec.encode(hidden)
        for session in self._senders:
            if session is not sender:
                self._deliver(session, seq, line)
        self._messages.append((seq, line))

    def send(self) -> None:
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
            session.outbound.deliver_all(room.row.id, messages, payload)

    def _deliver(self, session: Session, seq: int, line: bytes) -> None:
        if session in self._room.sessions:
            session.outbound.deliver(self._room.row.id, seq, self._seen_by(session, seq, line))

    def _seen_by(self, session: Session, seq: int, line: bytes) -> bytes:
        """Return the line this member may see: edits of messages from before they joined have no text."""
        edit = self._edits.get(seq)
        if edit is None or session.identity is None:
            return line
        target, hidden = edit
        return line if target >= self._room.first_seq(session.identity.account) else hidden
