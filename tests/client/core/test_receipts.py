"""Receipts to the server: batched, sent once, and repeated after a lost connection."""

import dataclasses

import pytest

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
