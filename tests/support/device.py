"""Device of a user, sans-I/O: a careful client that checks every promise of the server.

It has a device id, positions and an outbox. After a login it sends `resume`, then the outbox in order
under the same ids. A broken promise raises at once; `tests.support.oracle` checks what shows only over
many devices.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable

import msgspec

from qscp import frames
from qscp.limits import POSITIONS_LIMIT
from tests.support.devicelog import Ack, Applied, BrokenPromiseError, DeviceLog, Kind, Period, Sent
from tests.support.ids import IdMaker

__all__ = ["Device"]

ItemFrame = frames.Chat | frames.Edit | frames.Redact | frames.React

RETRYABLE = frozenset({"storage_full", "storage_failed", "out_of_order"})


class Device:
    """State of a device.

    Attributes:
        log: Record of what it sent and received.
        positions: How far it has applied each conversation.
        outbox: Messages without an answer, in order.
        flying: Ids that were sent on this connection and have no answer yet.
        live: Whether this connection's replay is over.
        epoch: Of the server's store.
        ended: The reason of the server's `bye`, or the code of its `error` or `auth_nack`.
        errors: Codes of `error` frames with a `ref`.
        answers: Of `join` and `leave`: `ok`, or the code.
    """

    def __init__(
        self, user: str, device: str, make_id: Callable[[], str] | None = None, features: tuple[str, ...] = ()
    ) -> None:
        self.log = DeviceLog(user, device)
        self.features = features
        self.positions: dict[str, int] = {}
        self.outbox: dict[str, Sent] = {}
        self.flying: set[str] = set()
        self.live = False
        self.logged_in = False
        self.epoch = ""
        self.ended = ""
        self.errors: list[str] = []
        self.answers: list[str] = []
        self._make_id = make_id or IdMaker()
        self._highest: dict[str, int] = {}
        self._own: defaultdict[str, dict[int, Applied]] = defaultdict(dict)
        self._reported: dict[str, int] = {}

    # --- sending

    def auth(self, password: str) -> frames.Auth:
        """Return the login frame; reset the state of the last connection."""
        self.live = self.logged_in = False
        self.ended = ""
        self.log.retried |= self.flying
        self.flying.clear()
        self._highest.clear()
        self._reported.clear()
        self.log.sessions += 1
        user, device = self.log.user, self.log.device
        return frames.Auth(user=user, password=password, device=device, features=list(self.features))

    def resume(self) -> list[frames.ClientFrame]:
        """Return the positions, in pages of `resume`."""
        # Own messages that were acked while earlier ones were missing: the replay sends them again.
        self._own.clear()
        self._highest = dict(self.positions)
        places = [frames.Position(each, seq) for each, seq in self.positions.items()]
        pages = [places[n : n + POSITIONS_LIMIT] for n in range(0, len(places), POSITIONS_LIMIT)] or [[]]
        return [frames.Resume(page, more=page is not pages[-1]) for page in pages]

    def resend(self) -> list[frames.ClientFrame]:
        """Return the outbox to send again, in order, under the same ids."""
        self.flying = set(self.outbox)
        return [each.frame() for each in self.outbox.values()]

    def send(self, to: str, body: str, message_id: str | None = None) -> list[frames.ClientFrame]:
        """Add a message to the outbox; return the frames to send now."""
        return self._send(Sent(message_id or self._make_id(), to, body))

    def change(
        self, kind: Kind, to: str, target: int, body: str = "", *, removed: bool = False
    ) -> list[frames.ClientFrame]:
        """Add an event to the outbox; return the frames to send now."""
        return self._send(Sent(self._make_id(), to, body, kind, target, removed))

    def _send(self, sent: Sent) -> list[frames.ClientFrame]:
        self.log.sent.append(sent)
        self.outbox[sent.id] = sent
        if not self.logged_in or self.flying != self.outbox.keys() - {sent.id}:
            return []  # earlier ones have to be sent first
        self.flying.add(sent.id)
        return [sent.frame()]

    def push(self, to: str, body: str) -> frames.ClientFrame:
        """Return a message to send at once, although earlier ones were refused."""
        sent = Sent(self._make_id(), to, body)
        self.log.sent.append(sent)
        self.outbox[sent.id] = sent
        self.flying.add(sent.id)
        return sent.frame()

    def skip(self) -> list[frames.ClientFrame]:
        """Skip the first refused message, and send the later ones again."""
        message_id = next(iter(self.outbox))
        del self.outbox[message_id]
        # One that was sent on an earlier connection might be stored nevertheless.
        if message_id not in self.log.retried:
            self.log.nacked[message_id] = "skipped"
        return [frames.Skip(message_id), *self.resend()]

    def receipts(self) -> list[frames.ClientFrame]:
        """Return receipts for positions that were not reported yet."""
        news = {each: seq for each, seq in self.positions.items() if self._reported.get(each) != seq}
        self._reported.update(news)
        for conversation, seq in news.items():
            self.log.received[conversation] = max(seq, self.log.received.get(conversation, 0))
        return [frames.Received(each, seq) for each, seq in news.items()]

    # --- receiving

    def handle(  # noqa: C901, PLR0912 - a case for each kind of frame
        self, frame: frames.ServerFrame
    ) -> list[frames.ClientFrame]:
        """Handle a frame; return the frames to answer with.

        Raises:
            BrokenPromiseError: The frame breaks a promise.
        """
        match frame:
            case frames.AuthAck():
                self._auth_ack(frame)
            case frames.AuthNack(code=code):
                self.ended = code
            case frames.Chat() | frames.Edit() | frames.Redact() | frames.React():
                self._item(frame)
            case frames.RoomChanged(room=room, last_seq=last_seq):
                if self.live and room.conversation not in self.positions:
                    self.begin(room.conversation, self._start_of_run(room.conversation, last_seq + 1))
                    self._absorb(room.conversation, None)
            case frames.RoomLeft(conversation=conversation):
                self._forget(conversation)
            case frames.RoomAck(ref="join" | "leave"):
                self.answers.append("ok")
            case frames.Gap():
                self._gap(frame)
            case frames.Resumed():
                self._resumed()
            case frames.ChatAck():
                self._ack(frame)
            case frames.ChatNack():
                return self._nack(frame)
            case frames.Delivered(conversation=conversation, seq=seq):
                self.log.delivered[conversation] = max(seq, self.log.delivered.get(conversation, 0))
            case frames.ServerRead(conversation=conversation, user=self.log.user, seq=seq):
                self.log.read[conversation] = max(seq, self.log.read.get(conversation, 0))
            case frames.ServerBye(reason=reason):
                self.ended = reason
            case frames.Error(code=code, ref=ref):
                if ref is None:
                    self.ended = code
                else:
                    self.errors.append(code)
                    if ref in ("join", "leave"):
                        self.answers.append(code)
            case frames.ServerPing():
                return [frames.ClientPong()]
            case _:
                pass
        return []

    def _auth_ack(self, frame: frames.AuthAck) -> None:
        if self.epoch not in ("", frame.epoch):
            self.positions.clear()
        self.epoch = frame.epoch
        self.logged_in = True

    def _item(self, frame: ItemFrame) -> None:
        conversation, seq = frame.conversation, frame.seq
        highest = self._highest.get(conversation, 0)
        if seq <= highest:
            raise BrokenPromiseError(f"{self}: got {conversation}/{seq} after {highest} on one connection")
        if self.live and frame.origin != "live":
            raise BrokenPromiseError(f"{self}: {conversation}/{seq} was replayed after `resumed`")
        self._highest[conversation] = seq
        self.log.live += frame.origin == "live"
        self.log.replayed += frame.origin == "replay"
        self._apply(conversation, _applied(frame))

    def _apply(self, conversation: str, message: Applied) -> None:
        """Apply a message, and own ones that were acked before it."""
        if conversation not in self.positions:
            self.begin(conversation, self._start_of_run(conversation, message.seq))
        self._absorb(conversation, message.seq - 1)
        position = self.positions[conversation]
        if message.seq <= position:
            self._compare(conversation, message)
        elif message.seq > position + 1:
            raise BrokenPromiseError(f"{self}: got {conversation}/{message.seq} after {position}")
        else:
            self._append(conversation, message)
            self._absorb(conversation, None)

    def _append(self, conversation: str, message: Applied) -> None:
        self.positions[conversation] = message.seq
        applied = self.log.applied[conversation]
        applied.append(message)
        if message.kind in ("edit", "redact"):
            index = _index(applied, message.target)
            if index is not None:
                text = message.body if message.kind == "edit" else ""
                applied[index] = msgspec.structs.replace(applied[index], body=text)

    def _forget(self, conversation: str) -> None:
        """Drop the position in a room that the user left: a new membership starts anew."""
        log = self.log
        if self.positions.pop(conversation, None) is not None:
            applied, gaps = log.applied.pop(conversation), log.gaps.pop(conversation, [])
            log.periods.append(Period(conversation, log.start.pop(conversation), applied, gaps))
        self._own.pop(conversation, None)

    def begin(self, conversation: str, position: int) -> None:
        """Start in a conversation after a position, or go back to it."""
        self.positions[conversation] = position
        self.log.start.setdefault(conversation, position)
        self.log.applied.setdefault(conversation, [])

    def _start_of_run(self, conversation: str, seq: int) -> int:
        """Return the position of a device that had none, from the first seq that it receives.

        It is the user's read position, unless acks cover own messages right before the seq.
        """
        own = self._own[conversation]
        while seq - 1 in own:
            seq -= 1
        return seq - 1

    def _absorb(self, conversation: str, last: int | None) -> None:
        own = self._own[conversation]
        while (seq := self.positions[conversation] + 1) in own and (last is None or seq <= last):
            self._append(conversation, own.pop(seq))
        for seq in [seq for seq in own if seq <= self.positions[conversation]]:
            del own[seq]

    def _compare(self, conversation: str, message: Applied) -> None:
        """Check that a repeated message is the same one."""
        applied = self.log.applied[conversation]
        index = _index(applied, message.seq)
        if index is not None and applied[index].lasting != message.lasting:
            raise BrokenPromiseError(f"{self}: in {conversation}, {applied[index]} is now {message}")

    def _gap(self, frame: frames.Gap) -> None:
        conversation, first, last = frame.conversation, frame.first, frame.last
        if first > last:
            raise BrokenPromiseError(f"{self}: an empty gap: {frame}")
        if frame.reason == "ahead" and first == 1:  # no such conversation, as after leaving a room
            self._forget(conversation)
            return
        known = self.log.gaps.setdefault(conversation, [])
        if any(first <= high and last >= low for low, high, _ in known):
            raise BrokenPromiseError(f"{self}: {frame} was received before: {known}")
        known.append((first, last, frame.reason))
        if frame.reason == "ahead":
            self.begin(conversation, first - 1)
            self._highest[conversation] = first - 1
            return
        if conversation not in self.positions:
            self.begin(conversation, first - 1)
        self._absorb(conversation, first - 1)
        # An own message can be in the gap, known from its ack.
        if first > self.positions[conversation] + 1 or first <= self._highest.get(conversation, 0):
            raise BrokenPromiseError(f"{self}: {frame} after {self.positions[conversation]}")
        self._highest[conversation] = last
        self.positions[conversation] = max(last, self.positions[conversation])
        self._absorb(conversation, None)

    def _resumed(self) -> None:
        if self.live:
            raise BrokenPromiseError(f"{self}: a second `resumed`")
        self.live = True
        for conversation, own in self._own.items():
            if own and conversation in self.positions:
                raise BrokenPromiseError(f"{self}: something is missing before {conversation}/{min(own)}")

    def _ack(self, frame: frames.ChatAck) -> None:
        sent = self.outbox.pop(frame.id, None)
        if sent is None or frame.id not in self.flying:
            raise BrokenPromiseError(f"{self}: an ack of no message in flight: {frame}")
        self.flying.discard(frame.id)
        self.log.acked[frame.id] = Ack(frame.conversation, frame.seq, frame.time)
        message = Applied(
            frame.seq,
            frame.id,
            self.log.user,
            "" if sent.kind == "redact" else sent.body,
            frame.time,
            sent.kind,
            sent.target,
            sent.removed,
        )
        position = self.positions.get(frame.conversation)
        if frame.repeated and self.live and (position is None or frame.seq > position):
            return  # It comes by replay, behind those before it.
        if position is None or (frame.seq > position and not self.live):
            # Earlier ones might be missing, and come later. Without a position, they might have been read on
            # another device, and never come. So an ack alone sets no position.
            self._own[frame.conversation][frame.seq] = message
            if position is not None:
                self._absorb(frame.conversation, None)
        elif frame.seq <= position:
            self._compare(frame.conversation, message)
        else:
            self._apply(frame.conversation, message)

    def _nack(self, frame: frames.ChatNack) -> list[frames.ClientFrame]:
        if frame.id not in self.flying:
            raise BrokenPromiseError(f"{self}: a nack of no message in flight: {frame}")
        self.flying.discard(frame.id)
        if frame.code not in RETRYABLE:
            del self.outbox[frame.id]
            self.log.nacked[frame.id] = frame.code
        return []

    def __str__(self) -> str:
        return f"{self.log.user}'s device {self.log.device[-4:]}, session {self.log.sessions}"


def _applied(frame: ItemFrame) -> Applied:
    place = frame.seq, frame.id, frame.sender
    match frame:
        case frames.Edit():
            return Applied(*place, frame.body, frame.time, "edit", frame.target)
        case frames.Redact():
            return Applied(*place, "", frame.time, "redact", frame.target)
        case frames.React():
            return Applied(*place, frame.text, frame.time, "react", frame.target, frame.removed)
    return Applied(*place, frame.body, frame.time)


def _index(applied: list[Applied], seq: int) -> int | None:
    """Return the index of a seq; None if the device does not have it."""
    index = bisect_left(applied, seq, key=lambda each: each.seq)
    return index if index < len(applied) and applied[index].seq == seq else None
