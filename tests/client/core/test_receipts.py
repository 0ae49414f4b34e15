"""Receipts to the server: batched, few, sent once, and repeated after a lost connection."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp import frames
from qscp_client.core.changes import Reported
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Clock, Output
from qscp_client.core.receipts import Receipts


@dataclasses.dataclass
class Bench:
    """Receipts with a clock that a test sets."""

    now: float = 0.0
    out: Output = dataclasses.field(default_factory=Output)

    def __post_init__(self) -> None:
        self.receipts = Receipts(self.out, Clock(lambda: self.now, lambda: 0))

    def send(self) -> list[frames.ClientFrame]:
        """Return the frames sent when receipts are due."""
        self.now += 1
        self.receipts.send()
        return self.out.take_frames()


@pytest.fixture
def bench() -> Bench:
    """Return receipts on a new connection."""
    return Bench()


def applied(name: str = "bob", seq: int = 3) -> Conversation:
    """Return a conversation that was applied and displayed up to a seq."""
    conversation = Conversation("alice", f"c-{name}", name)
    conversation.cursors.apply(seq)
    conversation.cursors.display(seq)
    return conversation


def busy(bench: Bench, conversation: Conversation) -> list[frames.ClientFrame]:
    """Apply and display 16 messages a second for 10 s; return what is sent meanwhile."""
    sent: list[frames.ClientFrame] = []
    for seq in range(4, 164):
        bench.now += 1 / 16
        conversation.cursors.apply(seq)
        conversation.cursors.display(seq)
        bench.receipts.schedule(conversation)
        bench.receipts.send()
        sent += bench.out.take_frames()
    return sent


def test_receipts_are_sent_together_after_a_pause(bench: Bench) -> None:
    """After a pause, the newest positions are sent once."""
    bob = applied(seq=3)
    bench.receipts.schedule(bob)
    bench.receipts.send()
    assert bench.out.frames == []
    bob.cursors.apply(4)
    bench.receipts.schedule(bob)
    assert bench.receipts.due == pytest.approx(0.2)
    assert bench.send() == [frames.Received("c-bob", 4), frames.ClientRead("c-bob", 3)]
    assert bench.out.changes == [Reported("c-bob", 4)]
    assert bench.receipts.due is None
    assert bench.send() == []


def test_receipts_can_be_flushed(bench: Bench) -> None:
    """Receipts can be sent at once, as before `bye`."""
    bench.receipts.schedule(applied())
    bench.receipts.send(at_once=True)
    assert len(bench.out.frames) == 2


def test_receipts_of_a_busy_conversation_are_few(bench: Bench) -> None:
    """In 10 s of 16 messages a second there are 20 `received` and 10 `read`, which has the last seq."""
    bob = applied()
    sent = busy(bench, bob)
    assert [type(each) for each in sent].count(frames.Received) == 20
    assert [type(each) for each in sent].count(frames.ClientRead) == 10
    bench.now += 1
    bench.receipts.send()
    last = bench.out.take_frames()
    assert [each.seq for each in last if isinstance(each, frames.Received | frames.ClientRead)] == [163, 163]


def test_receipts_of_many_conversations_leave_together(bench: Bench) -> None:
    """A conversation that may be reported does not wait for its own pause when others are sent."""
    carol = applied("carol")
    bench.receipts.schedule(applied("bob"))
    bench.now += 0.15
    bench.receipts.schedule(carol)
    bench.now += 0.05
    bench.receipts.send()
    assert len(bench.out.take_frames()) == 4
    assert bench.receipts.due is None


def test_bye_sends_what_waits_for_its_time(bench: Bench) -> None:
    """Before `bye`, also receipts are sent whose conversation was reported a moment ago."""
    bob = applied()
    bench.receipts.schedule(bob)
    bench.send()
    bob.cursors.apply(4)
    bob.cursors.display(4)
    bench.receipts.schedule(bob)
    bench.receipts.send(at_once=True)
    assert bench.out.take_frames() == [frames.Received("c-bob", 4), frames.ClientRead("c-bob", 4)]


def test_your_own_messages_need_no_receipt(bench: Bench) -> None:
    """Nothing is sent for your own messages; the next one of another is reported."""
    bob = applied()
    bench.receipts.schedule(bob)
    bench.send()
    bob.cursors.apply(4, is_mine=True)
    bench.receipts.schedule(bob)
    assert bench.send() == []
    bob.cursors.apply(5)
    bob.cursors.apply(6, is_mine=True)
    bench.receipts.schedule(bob)
    assert bench.send() == [frames.Received("c-bob", 6)]


def test_in_a_room_only_reading_is_reported(bench: Bench) -> None:
    """In a room, only `read` is reported."""
    bench.receipts.schedule(applied("#dev"))
    assert bench.send() == [frames.ClientRead("c-#dev", 3)]


def test_receipts_are_repeated_after_a_reconnect(bench: Bench) -> None:
    """After a reconnect, `received` is repeated, and `read` if the server lacks it."""
    bob = applied()
    bench.receipts.schedule(bob)
    bench.send()
    bench.receipts.lost()
    assert bench.receipts.due is None
    bench.receipts.connected()
    assert bench.send() == [frames.Received("c-bob", 3)]
    bench.receipts.confirm_read(bob, 3)
    assert bench.receipts.due is None
    bench.receipts.confirm_read(bob, 1)
    assert bench.send() == [frames.ClientRead("c-bob", 3)]


def test_a_room_that_was_left_is_forgotten(bench: Bench) -> None:
    """No receipt is sent for a room that was left."""
    bench.receipts.schedule(applied("#dev"))
    bench.receipts.forget("c-#dev")
    assert bench.send() == []


@dataclasses.dataclass
class Peer:
    """A client and the positions of its server, over any number of connections."""

    bench: Bench = dataclasses.field(default_factory=Bench)
    hidden: bool = False
    newest: dict[str, int] = dataclasses.field(default_factory=dict)
    """Conversation -> the last seq that is not the client's own."""
    server: dict[tuple[type, str], int] = dataclasses.field(default_factory=dict)
    times: dict[tuple[type, str], float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.conversations = [applied(name, 1) for name in ("bob", "carol")]
        self.newest = {each.id: 1 for each in self.conversations}
        for each in self.conversations:
            self.bench.receipts.schedule(each)

    def step(self, what: str, number: int) -> None:
        """Do something with one of the conversations."""
        conversation, receipts = self.conversations[number % 2], self.bench.receipts
        cursors = conversation.cursors
        match what:
            case "theirs" | "mine":
                seq = (cursors.applied or 0) + 1
                cursors.apply(seq, is_mine=what == "mine")
                if what == "theirs":
                    self.newest[conversation.id] = seq
                receipts.schedule(conversation)
            case "read":
                if cursors.display(cursors.applied or 0):
                    receipts.schedule(conversation)
            case "wait":
                self.wait(number / 20)
            case "hide":
                self.hidden = not self.hidden
                receipts.hide(hidden=self.hidden)
            case _:
                self.reconnect()

    def wait(self, seconds: float) -> None:
        """Let time pass; the server gets what is due."""
        until = self.bench.now + seconds
        while (due := self.bench.receipts.due) is not None and due <= until:
            self.bench.now = max(self.bench.now, due)
            self.bench.receipts.send()
            for frame in self.bench.out.take_frames():
                assert isinstance(frame, frames.Received | frames.ClientRead)
                assert not (self.hidden and isinstance(frame, frames.Received))
                key = type(frame), frame.conversation
                apart = 0.5 if isinstance(frame, frames.Received) else 1.0
                assert self.bench.now - self.times.get(key, float("-inf")) > apart - 1e-6
                self.times[key] = self.bench.now
                self.server[key] = frame.seq
        self.bench.now = until

    def reconnect(self) -> None:
        """Lose the connection, and with it what was sent last; then connect again."""
        for key, sent in self.times.items():
            if sent == max(self.times.values()):
                self.server[key] = 0
        self.times.clear()
        self.bench.receipts.lost()
        self.bench.receipts.connected()
        for each in self.conversations:
            self.bench.receipts.confirm_read(each, self.server.get((frames.ClientRead, each.id), 0))


STEPS = st.tuples(
    st.sampled_from(["theirs", "mine", "read", "wait", "wait", "hide", "reconnect"]), st.integers(0, 30)
)


@given(st.lists(STEPS, max_size=40))
def test_the_last_position_always_arrives(steps: list[tuple[str, int]]) -> None:
    """Whatever happens, the server gets the newest positions in the end, and never too often."""
    peer = Peer()
    for what, number in steps:
        peer.step(what, number)
    if peer.hidden:
        peer.step("hide", 0)
    peer.wait(2.0)
    assert peer.bench.receipts.due is None
    for each in peer.conversations:
        assert peer.server[frames.Received, each.id] >= peer.newest[each.id]
        assert peer.server[frames.ClientRead, each.id] == each.cursors.displayed
