"""Queue of what sessions send to the store: messages, positions and skips.

Everything submitted during a tick of the loop goes to the `StoreWriter` at the end of that tick, in
the order of submission; only positions can wait longer (`qscpd.chat.marks`). Each item counts towards
what its session has pending, which is bounded. So is therefore all that waits here.

Messages to a room pass its gate. Fanning one message out to a thousand sessions costs nearly as much
as fanning out eight (a TLS record and a system call for each session), and so do their commits. So the
gate lets one batch pass at a time. While the batch is committed and fanned out, and for as long again
as the fan-out took, messages gather behind the gate; they are the next batch. All busy rooms share that
time: the cooldown of one begins where that of the one before ends. So together they never take more than
half of the loop's time, and each has its turn. In a quiet room no message waits.
"""

import asyncio
from typing import Final

from qscpd.chat.marks import MarkQueue
from qscpd.domain.model import Mark
from qscpd.sessions.session import Session
from qscpd.store.items import Item, PendingChat, PendingSkip
from qscpd.store.writer import StoreWriter

_SHORTEST_COOLDOWN_S: Final = 0.5e-3
"""A shorter cooldown is skipped: the loop's timers are no finer than a millisecond."""


class _Gate:
    """The gate of one room."""

    __slots__ = ("closed", "in_flight", "opened", "sessions", "timer", "waiting")

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] | None = None
        """Of those who wait for what waits now to pass."""
        self.closed = False
        """Whether a batch has passed and its cooldown is not over yet."""
        self.in_flight = 0
        """Messages that passed and that the store has not answered yet."""
        self.waiting: list[Item[Session]] = []
        self.sessions: set[Session] = set()
        """Whose messages wait."""
        self.timer: asyncio.TimerHandle | None = None


class SubmissionQueue:
    """Hands submitted items to the store's writer, once a tick.

    Args:
        writer: The writer.
    """

    def __init__(self, writer: StoreWriter[Session]) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._outbox: list[Item[Session]] = []
        self._gates: dict[int, _Gate] = {}
        """By the conversation of the room; a room without a gate has nothing in flight or cooling down."""
        self._filling: list[_Gate] = []
        """Gates whose batch is still open: it takes what comes until the end of the tick."""
        self._marks = MarkQueue(writer, self.hand_over)
        self._scheduled = False
        self._cooled_s = float("-inf")
        """When the cooldowns of all rooms so far are over."""

    def __len__(self) -> int:
        """Return how many items wait for the end of the tick, or for the writer."""
        return len(self._outbox) + len(self._marks)

    def submit(self, item: Item[Session], room: int | None = None) -> None:
        """Queue an item.

        Args:
            item: A message, or a skip of a session that has ended.
            room: The conversation of the room that a message goes to; None if it goes to a user.
        """
        if room is not None and not self._pass_gate(item, room):
            return
        self._outbox.append(item)
        if not self._scheduled:
            self._schedule()

    def submit_mark(self, session: Session, mark: Mark) -> None:
        """Queue a position; only the highest of a session, conversation and kind waits."""
        self._marks.add(session, mark)

    def flush_marks(self) -> None:
        """Hand positions to the writer before their time: a session that ends waits for its own."""
        self._marks.end_window()

    def submit_skip(self, session: Session, message_id: str) -> None:
        """Queue a skip; the session's later messages stay behind it."""
        self.submit(PendingSkip(session, message_id))
        self._marks.count(session)

    def _schedule(self) -> None:
        """End the tick with `hand_over`; called once a tick."""
        self._scheduled = True
        self._loop.call_soon(self.hand_over)

    def barrier(self) -> None:
        """Hand everything submitted so far to the writer, past the gates of all rooms.

        What the writer is asked to do next is done after all of it. Only for what no user can ask for often.
        """
        self._outbox += self._marks.take_all(None)
        for gate in self._gates.values():
            self._release(gate)
        self.hand_over()

    async def passed(self, *, room: int | None = None, session: Session | None = None) -> None:
        """Wait until what was submitted so far is with the writer; nothing passes a gate before its turn.

        Args:
            room: Wait for the messages to this room.
            session: Wait for the messages and positions of this session.
        """
        if room is None:
            self._outbox += self._marks.take_all(session)
        self.hand_over()
        gates = self._gates.values() if room is None else [self._gates.get(room)]
        for gate in list(gates):
            if gate is not None and (gate.waiting if session is None else session in gate.sessions):
                if gate.opened is None:
                    gate.opened = self._loop.create_future()
                await asyncio.shield(gate.opened)

    def answered(self, room: int, count: int, fan_out_s: float) -> None:
        """Note that the store has answered messages of a room, and that they were fanned out.

        Args:
            room: The conversation of the room.
            count: How many messages, stored or refused.
            fan_out_s: How long the fan-out kept the loop busy.
        """
        gate = self._gates.get(room)
        if gate is None:
            return
        gate.in_flight -= count
        if gate.in_flight or gate.timer is not None:
            return
        if fan_out_s < _SHORTEST_COOLDOWN_S:
            self._open(room)
        else:
            # While a fan-out keeps the loop busy, no cooldown goes on.
            began_s = self._loop.time() - fan_out_s
            self._cooled_s = max(self._cooled_s, began_s) + 2 * fan_out_s
            gate.timer = self._loop.call_at(self._cooled_s, self._open, room)

    def remove_room(self, room: int) -> None:
        """Forget the gate of a deleted room; what waits behind it goes to the store, to be refused."""
        gate = self._gates.pop(room, None)
        if gate is not None:
            self._release(gate)
            _stop_timer(gate)
            self.hand_over()

    def close(self) -> None:
        """Stop all timers and drop what waits."""
        for gate in self._gates.values():
            _stop_timer(gate)
            _wake(gate)
        self._gates.clear()
        self._outbox.clear()
        self._marks.close()

    def hand_over(self) -> None:
        """End the tick: hand what is queued to the writer."""
        self._scheduled = False
        for gate in self._filling:
            gate.closed = True
        self._filling.clear()
        marks = self._marks
        if marks.active:
            self._outbox += marks.take_batch()
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            self._writer.append(outbox)
        if marks.active:
            marks.ask()

    # --- gates

    def _pass_gate(self, item: Item[Session], room: int) -> bool:
        """Count an item into the room's open batch, or let it wait behind the closed gate."""
        gate = self._gates.get(room)
        if gate is None:
            gate = self._gates[room] = _Gate()
        if gate.closed:
            gate.waiting.append(item)
            if type(item) is PendingChat:
                gate.sessions.add(item.session)
            return False
        if not gate.in_flight:
            self._filling.append(gate)
        gate.in_flight += 1
        return True

    def _release(self, gate: _Gate) -> None:
        """Move what waits behind a gate to the outbox."""
        self._outbox += gate.waiting
        gate.in_flight += len(gate.waiting)
        gate.waiting.clear()
        gate.sessions.clear()
        _wake(gate)

    def _open(self, room: int) -> None:
        """End the cooldown: let the next batch pass, or forget the gate if nothing waits."""
        gate = self._gates[room]
        _stop_timer(gate)
        if gate.in_flight:
            return  # A barrier let messages pass; their answer opens the gate.
        if gate.waiting:
            self._release(gate)
            self.hand_over()
        else:
            del self._gates[room]


def _wake(gate: _Gate) -> None:
    """Let those continue who wait for the gate to open."""
    if gate.opened is not None:
        gate.opened.set_result(None)
        gate.opened = None


def _stop_timer(gate: _Gate) -> None:
    if gate.timer is not None:
        gate.timer.cancel()
        gate.timer = None
