"""A device of somebody, sans-I/O: what a careful client keeps, and what it never lets a server get away with.

It has a device id, positions and an outbox, and says what to send after a login (`resume`, then the
outbox in order under the same ids). Whatever breaks a promise of the server raises at once, with
a sentence; what only shows over many devices is for `tests.support.oracle`.
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

Told = frames.Chat | frames.Edit | frames.Redact | frames.React

RETRYABLE = frozenset({"storage_full", "storage_failed", "out_of_order"})


class Device:
    """One device.

    Attributes:
        log: What it knows.
        positions: How far it has applied each conversation.
        outbox: Messages without an answer, in order.
        flying: Ids that were sent on this connection and have no answer yet.
        live: Whether this connection's replay is over.
        epoch: Of the server's store.
        ended: The reason of the server's `bye`, or the code of its `error`.
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
        self._told: dict[str, int] = {}
        self._own: defaultdict[str, dict[int, Applied]] = defaultdict(dict)
        self._reported: dict[str, int] = {}

    # --- what to send

    def auth(self, password: str) -> frames.Auth:
        """Log in; what the device knew of the connection before is over."""
        self.live = self.logged_in = False
        self.ended = ""
        self.log.retried |= self.flying
        self.flying.clear()
        self._told.clear()
        self._reported.clear()
        self.log.sessions += 1
        user, device = self.log.user, self.log.device
        return frames.Auth(user=user, password=password, device=device, features=list(self.features))

    def resume(self) -> list[frames.ClientFrame]:
        """Say what the device has, in pages."""
        # Own messages that were acknowledged but had others before them that did not come: they come again.
        self._own.clear()
        self._told = dict(self.positions)
        places = [frames.Position(each, seq) for each, seq in self.positions.items()]
        pages = [places[n : n + POSITIONS_LIMIT] for n in range(0, len(places), POSITIONS_LIMIT)] or [[]]
        return [frames.Resume(page, more=page is not pages[-1]) for page in pages]

    def resend(self) -> list[frames.ClientFrame]:
        """Send the outbox again, in order, under the same ids."""
        self.flying = set(self.outbox)
        return [each.frame() for each in self.outbox.values()]

    def send(self, to: str, body: str, message_id: str | None = None) -> list[frames.ClientFrame]:
        """Send a message; what is to be written now is returned."""
        return self._send(Sent(message_id or self._make_id(), to, body))

    def change(
        self, kind: Kind, to: str, target: int, body: str = "", *, removed: bool = False
    ) -> list[frames.ClientFrame]:
        """Send an event; what is to be written now is returned."""
        return self._send(Sent(self._make_id(), to, body, kind, target, removed))

    def _send(self, sent: Sent) -> list[frames.ClientFrame]:
        self.log.sent.append(sent)
        self.outbox[sent.id] = sent
        if not self.logged_in or self.flying != self.outbox.keys() - {sent.id}:
            return []  # something before it has to be sent first
        self.flying.add(sent.id)
        return [sent.frame()]

    def push(self, to: str, body: str) -> frames.ClientFrame:
        """Send a message at once, though others before it were refused."""
        sent = Sent(self._make_id(), to, body)
        self.log.sent.append(sent)
        self.outbox[sent.id] = sent
        self.flying.add(sent.id)
        return sent.frame()

    def skip(self) -> list[frames.ClientFrame]:
        """Give the first refused message up, and send those behind it again."""
        message_id = next(iter(self.outbox))
        del self.outbox[message_id]
        # One that was sent on an earlier connection may be stored all the same.
        if message_id not in self.log.retried:
            self.log.nacked[message_id] = "skipped"
        return [frames.Skip(message_id), *self.resend()]

    def receipts(self) -> list[frames.ClientFrame]:
        """Say how far the device has applied, where that was not said yet."""
        news = {each: seq for each, seq in self.positions.items() if self._reported.get(each) != seq}
        self._reported.update(news)
        for conversation, seq in news.items():
            self.log.received[conversation] = max(seq, self.log.received.get(conversation, 0))
        return [frames.Received(each, seq) for each, seq in news.items()]

    # --- what comes in

    def handle(  # noqa: C901, PLR0912 - a case for each kind of frame
        self, frame: frames.ServerFrame
    ) -> list[frames.ClientFrame]:
        """Take a frame in; return what to answer.

        Raises:
            BrokenPromiseError: It should not have come.
        """
        match frame:
            case frames.AuthAck():
                self._auth_ack(frame)
            case frames.Chat() | frames.Edit() | frames.Redact() | frames.React():
                self._tell(frame)
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

    def _tell(self, frame: Told) -> None:
        conversation, seq = frame.conversation, frame.seq
        told = self._told.get(conversation, 0)
        if seq <= told:
            raise BrokenPromiseError(f"{self}: got {conversation}/{seq} after {told} on one connection")
        if self.live and frame.origin != "live":
            raise BrokenPromiseError(f"{self}: {conversation}/{seq} was replayed after `resumed`")
        self._told[conversation] = seq
        self.log.live += frame.origin == "live"
        self.log.replayed += frame.origin == "replay"
        self._apply(conversation, _applied(frame))

    def _apply(self, conversation: str, message: Applied) -> None:
        """Apply a message, and own ones that were acknowledged before it."""
        if conversation not in self.positions:
            self.begin(conversation, self._start_of_run(conversation, message.seq))
        self._absorb(conversation, message.seq - 1)
        position = self.positions[conversation]
        if message.seq <= position:
            self._compare(conversation, message)
        elif message.seq > position + 1:
            raise BrokenPromiseError(f"{self}: got {conversation}/{message.seq} after {position}")
        else:
            self._take_in(conversation, message)
            self._absorb(conversation, None)

    def _take_in(self, conversation: str, message: Applied) -> None:
        self.positions[conversation] = message.seq
        applied = self.log.applied[conversation]
        applied.append(message)
        if message.kind in ("edit", "redact"):
            index = _index(applied, message.target)
            if index is not None:
                text = message.body if message.kind == "edit" else ""
                applied[index] = msgspec.structs.replace(applied[index], body=text)

    def _forget(self, conversation: str) -> None:
        """The person is not in a room any more: if they come back, it begins anew."""
        log = self.log
        if self.positions.pop(conversation, None) is not None:
            applied, gaps = log.applied.pop(conversation), log.gaps.pop(conversation, [])
            log.periods.append(Period(conversation, log.start.pop(conversation), applied, gaps))
        self._own.pop(conversation, None)

    def begin(self, conversation: str, position: int) -> None:
        """Begin in a conversation behind a position, or go back to it."""
        self.positions[conversation] = position
        self.log.start.setdefault(conversation, position)
        self.log.applied.setdefault(conversation, [])

    def _start_of_run(self, conversation: str, seq: int) -> int:
        """Where a device begins that had no position, and is told of a seq first.

        That is the person's read position, unless own messages right before it are known from their acks.
        """
        own = self._own[conversation]
        while seq - 1 in own:
            seq -= 1
        return seq - 1

    def _absorb(self, conversation: str, last: int | None) -> None:
        own = self._own[conversation]
        while (seq := self.positions[conversation] + 1) in own and (last is None or seq <= last):
            self._take_in(conversation, own.pop(seq))
        for seq in [seq for seq in own if seq <= self.positions[conversation]]:
            del own[seq]

    def _compare(self, conversation: str, message: Applied) -> None:
        """Whether a message that comes again is the same one."""
        applied = self.log.applied[conversation]
        index = _index(applied, message.seq)
        if index is not None and applied[index].lasting != message.lasting:
            raise BrokenPromiseError(f"{self}: in {conversation}, {applied[index]} is now {message}")

    def _gap(self, frame: frames.Gap) -> None:
        conversation, first, last = frame.conversation, frame.first, frame.last
        if first > last:
            raise BrokenPromiseError(f"{self}: an empty gap: {frame}")
        if frame.reason == "ahead" and first == 1:  # there is no such conversation, as when a room was left
            self._forget(conversation)
            return
        known = self.log.gaps.setdefault(conversation, [])
        if any(first <= high and last >= low for low, high, _ in known):
            raise BrokenPromiseError(f"{self}: {frame} was told before: {known}")
        known.append((first, last, frame.reason))
        if frame.reason == "ahead":
            self.begin(conversation, first - 1)
            self._told[conversation] = first - 1
            return
        if conversation not in self.positions:
            self.begin(conversation, first - 1)
        self._absorb(conversation, first - 1)
        # An own message may be in the gap, and is known from its ack.
        if first > self.positions[conversation] + 1 or first <= self._told.get(conversation, 0):
            raise BrokenPromiseError(f"{self}: {frame} after {self.positions[conversation]}")
        self._told[conversation] = last
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
            raise BrokenPromiseError(f"{self}: an ack of something else: {frame}")
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
        if position is None or (frame.seq > position and not self.live):
            # Others may be missing before it, and be told later; without a position, they may have been
            # read on another device, and are never told. So an ack alone is no position.
            self._own[frame.conversation][frame.seq] = message
            if position is not None:
                self._absorb(frame.conversation, None)
        elif frame.seq <= position:
            self._compare(frame.conversation, message)
        else:
            self._apply(frame.conversation, message)

    def _nack(self, frame: frames.ChatNack) -> list[frames.ClientFrame]:
        if frame.id not in self.flying:
            raise BrokenPromiseError(f"{self}: a nack of something else: {frame}")
        self.flying.discard(frame.id)
        if frame.code not in RETRYABLE:
            del self.outbox[frame.id]
            self.log.nacked[frame.id] = frame.code
        return []

    def __str__(self) -> str:
        return f"{self.log.user}'s device {self.log.device[-4:]}, session {self.log.sessions}"


def _applied(frame: Told) -> Applied:
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
    """Where a seq is; None if the device does not have it."""
    index = bisect_left(applied, seq, key=lambda each: each.seq)
    return index if index < len(applied) and applied[index].seq == seq else None
