"""Fan-out: send committed messages and moved positions to everyone but the session that caused them.

Messages from one session to one user are encoded together if that user has one session, and one by one,
but once for all sessions, if not. All that a commit added to a room is one payload for all of its
members' sessions.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from qscp import codec, frames
from qscp.features import READ_RECEIPTS
from qscpd.chat.blocks import Blocks
from qscpd.chat.room_batch import RoomBatch
from qscpd.chat.room_fan_out import RoomFanOut
from qscpd.chat.rooms import Rooms
from qscpd.domain.events import PositionMoved
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import NO_META, MessageRow, NewMessage, Outcome, PositionKind, StoredMessage
from qscpd.sessions.encoding import frame_for_row
from qscpd.sessions.session import Session

_NO_SESSIONS: Final[list[Session]] = []


class FanOut:
    """Sends what was committed to the sessions of users and of rooms' members.

    Args:
        sessions: The logged-in sessions of each account; the router's own.
        names: Names of accounts, by id.
        rooms: The rooms.
        room_fan_out: Sends to the members of rooms.
        blocks: Who blocks whom.
    """

    def __init__(
        self,
        sessions: Mapping[int, list[Session]],
        names: Mapping[int, str],
        rooms: Rooms,
        room_fan_out: RoomFanOut,
        blocks: Blocks,
    ) -> None:
        self._sessions = sessions
        self._names = names
        self._rooms = rooms
        self._room_fan_out = room_fan_out
        self._blocks = blocks

    def send_run(
        self,
        origin: Session | None,
        messages: Sequence[NewMessage],
        outcomes: Sequence[Outcome],
        batches: dict[int, RoomBatch],
    ) -> None:
        """Send the new ones of some messages from one session to one recipient.

        Args:
            origin: The session that sent them, and is about to get answers; None if it is on another node.
            messages: The messages; at least one.
            outcomes: Of each of the messages.
            batches: What the commit adds to rooms, by conversation; messages to a room are added.
        """
        sender, recipient = messages[0].sender, messages[0].recipient
        if recipient < 0:
            self._add_to_room(origin, -recipient, messages, outcomes, batches)
            return
        name, to = self._names.get(sender, ""), self._names.get(recipient, "")
        listener = self._only_listener(origin, sender, recipient)
        if listener is not None:
            inbox: list[frames.ServerFrame] = []
            for message, outcome in zip(messages, outcomes, strict=True):
                if type(outcome) is StoredMessage and outcome.new:  # as in `_new`, but a third faster
                    inbox.append(self._frame(message, outcome, name, to))
            if not inbox or listener.outbound.deliver_frames(inbox):
                return
        theirs = self._sessions.get(recipient, _NO_SESSIONS)
        ours = self._sessions.get(sender, _NO_SESSIONS)
        for message, place in _new(messages, outcomes):
            line = codec.encode(self._frame(message, place, name, to))
            for session in (*theirs, *ours):
                if session is not origin:
                    session.outbound.deliver(place.conversation, place.seq, line)

    def send_rooms(self, batches: Mapping[int, RoomBatch]) -> None:
        """Send what a commit added to rooms."""
        for batch in batches.values():
            self._room_fan_out.send(batch)

    def send_position(self, event: PositionMoved) -> None:
        """Notify the account's other sessions, and the peer, of a position that moved."""
        mark, peer = event.mark, event.peer
        conversation = conversation_id(mark.conversation)
        theirs = _NO_SESSIONS
        if peer is not None and not self._blocks.between(mark.account, peer):
            theirs = self._sessions.get(peer, _NO_SESSIONS)
        if mark.kind is PositionKind.DELIVERED:
            for session in theirs:
                session.outbound.send_state(frames.Delivered(conversation, mark.seq))
            return
        frame = frames.ServerRead(conversation, self._names.get(mark.account, ""), mark.seq)
        for session in self._sessions.get(mark.account, _NO_SESSIONS):
            if session.id != mark.session:
                session.outbound.send_state(frame)
        if mark.receipt:
            for session in theirs:
                if session.supports(READ_RECEIPTS):
                    session.outbound.send_state(frame)

    # --- messages

    def _add_to_room(
        self,
        origin: Session | None,
        conversation: int,
        messages: Sequence[NewMessage],
        outcomes: Sequence[Outcome],
        batches: dict[int, RoomBatch],
    ) -> None:
        batch = batches.get(conversation)
        if batch is None:
            room = self._rooms.by_id(conversation)
            if room is None:
                return  # It is deleted: none of these messages is new.
            self._room_fan_out.finish(conversation)
            batch = batches[conversation] = RoomBatch(room)
        if origin is not None:
            batch.add_sender(origin, len(messages))
        name, to = self._names.get(messages[0].sender, ""), batch.name
        for message, place in _new(messages, outcomes):
            batch.add(origin, place.seq, self._frame(message, place, name, to))

    def _only_listener(self, origin: Session | None, sender: int, recipient: int) -> Session | None:
        """Return the one live session that a message goes to, as most often; None in all other cases."""
        theirs = self._sessions.get(recipient, _NO_SESSIONS)
        ours = self._sessions.get(sender, _NO_SESSIONS)
        if len(theirs) != 1 or not theirs[0].outbound.live:
            return None
        return theirs[0] if not ours or (len(ours) == 1 and ours[0] is origin) else None

    def _frame(self, message: NewMessage, place: StoredMessage, name: str, to: str) -> frames.ServerFrame:
        """Return the frame of a new message, edit, redaction or reaction.

        Args:
            message: The message.
            place: Where it was stored.
            name: The sender's name.
            to: The recipient's name.
        """
        meta = message.meta
        if meta is NO_META:
            # The first is as `conversation_id`, without a call per message.
            conversation, seq, time_ms = f"c{place.conversation}", place.seq, place.time_ms
            return frames.Chat(conversation, seq, message.id, name, to, message.body, time_ms, "live")
        if place.count:
            meta = msgspec.structs.replace(meta, count=place.count)
        body = message.body if meta.kind != "redact" else None
        row = MessageRow(place.seq, place.time_ms, message.sender, message.id, body, meta)
        return frame_for_row(place.conversation, row, to=to, origin="live", names=self._names)


def _new(
    messages: Sequence[NewMessage], outcomes: Sequence[Outcome]
) -> list[tuple[NewMessage, StoredMessage]]:
    """Return the messages that are neither retries nor refused, and their places."""
    return [
        (message, place)
        for message, place in zip(messages, outcomes, strict=True)
        if type(place) is StoredMessage and place.new
    ]
