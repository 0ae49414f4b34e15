"""Additions of one commit to one room: one payload for all of its members' sessions."""

from collections.abc import Sequence

import msgspec

from qscp import codec, frames
from qscp.rooms import HistoryFrom
from qscpd.chat.live_room import LiveRoom
from qscpd.sessions.session import Session


class RoomBatch:
    """Additions of one commit to one room.

    A member who wrote in the same commit gets the others' messages one by one, between the
    acknowledgements of their own, in the order of the room. All other members get one payload.

    Attributes:
        answered: Messages to the room in the commit that came from sessions of this node, refused or not.
    """

    __slots__ = ("_edits", "_messages", "_payload", "_room", "_senders", "answered")

    def __init__(self, room: LiveRoom) -> None:
        self._room = room
        self._messages: list[tuple[int, bytes]] = []
        """Seq and line of each."""
        self._edits: dict[int, tuple[int, bytes]] = {}
        """Seq of an edit -> seq of its message, and the line for members who cannot see that."""
        self._senders: set[Session] = set()
        self._payload = b""
        self.answered = 0

    @property
    def conversation(self) -> int:
        """The room's conversation."""
        return self._room.row.id

    def add_sender(self, session: Session, count: int) -> None:
        """Note that a session is about to get acknowledgements of this room.

        Args:
            session: The session.
            count: How many of its messages the commit has.
        """
        self.answered += count
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

    def begin(self) -> list[Session]:
        """Let sessions that are catching up buffer everything; return the live ones, for `send_to`.

        The members who wrote have it already.
        """
        if not self._messages:
            return []
        self._room.last_seq = self._messages[-1][0]
        self._payload = b"".join([line for _, line in self._messages])
        live: list[Session] = []
        for session in self._room.sessions.difference(self._senders):
            if session.outbound.live:
                live.append(session)
            else:
                self.send_to((session,))
        return live

    def send_to(self, sessions: Sequence[Session]) -> None:
        """Send everything to some sessions."""
        conversation, messages, payload = self._room.row.id, self._messages, self._payload
        for session in sessions:
            if self._edits:
                messages = [(seq, self._seen_by(session, seq, line)) for seq, line in self._messages]
                payload = b"".join([line for _, line in messages])
            session.outbound.deliver_all(conversation, messages, payload)

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
