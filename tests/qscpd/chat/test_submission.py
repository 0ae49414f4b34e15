"""The submission queue: order, the gates of rooms, cooldowns and barriers."""

import asyncio

import pytest

from qscpd.chat.submission import SubmissionQueue
from qscpd.domain.model import NewMessage
from qscpd.sessions.session import Session
from qscpd.store.items import PendingChat
from tests.support.clock import in_virtual_time
from tests.support.doubles import RouterDouble, SlowWriter

ROOM, OTHER = 7, 8


class QueueHarness:
    """A submission queue of a session, with a writer that keeps its items."""

    def __init__(self) -> None:
        self.router = RouterDouble("alice")
        self.session: Session = self.router.login("alice")[0]
        self.writer = SlowWriter()
        self.queue = SubmissionQueue(self.writer)

    def submit(self, body: str, room: int | None = None) -> None:
        """Submit a message to bob, or to a room."""
        message = NewMessage(1, -room if room is not None else 2, "f" * 32, body)
        self.queue.submit(PendingChat(self.session, message), room)

    def take(self) -> list[str]:
        """Return the bodies that the writer got since the last call."""
        items, self.writer.waiting = self.writer.waiting, []
        return [item.message.body for item in items if isinstance(item, PendingChat)]

    def close(self) -> None:
        """Stop all timers."""
        self.queue.close()
        self.router.close()


@pytest.fixture
async def submissions() -> QueueHarness:
    """A queue in a running loop."""
    return QueueHarness()


async def test_messages_of_a_tick_are_one_batch_in_order(submissions: QueueHarness) -> None:
    """Messages submitted in one tick reach the writer in order."""
    for number, room in enumerate([None, ROOM, None, OTHER, ROOM]):
        submissions.submit(str(number), room)
    assert submissions.take() == []
    await asyncio.sleep(0)
    assert submissions.take() == ["0", "1", "2", "3", "4"]
    submissions.close()


async def test_a_room_has_one_batch_in_flight(submissions: QueueHarness) -> None:
    """Messages to a room gather until the batch before them is answered."""
    submissions.submit("a", ROOM)
    submissions.submit("b", ROOM)
    await asyncio.sleep(0)
    submissions.submit("c", ROOM)
    submissions.submit("d", ROOM)
    submissions.submit("to bob")
    submissions.submit("elsewhere", OTHER)
    await asyncio.sleep(0)
    assert submissions.take() == ["a", "b", "to bob", "elsewhere"]
    submissions.queue.answered(ROOM, 1, 0.0)
    assert submissions.take() == []
    submissions.queue.answered(ROOM, 1, 0.0)
    assert submissions.take() == ["c", "d"]
    submissions.close()


def test_the_cooldown_is_as_long_as_the_fan_out() -> None:
    """After the cooldown gathered messages pass, or else the next one passes at once."""

    async def test() -> None:
        submissions = QueueHarness()
        submissions.submit("a", ROOM)
        await asyncio.sleep(0)
        submissions.queue.answered(ROOM, 1, 0.1)
        submissions.submit("b", ROOM)
        await asyncio.sleep(0.09)
        assert submissions.take() == ["a"]
        await asyncio.sleep(0.02)
        assert submissions.take() == ["b"]
        await asyncio.sleep(0.1)  # the fan-out
        submissions.queue.answered(ROOM, 1, 0.1)
        await asyncio.sleep(0.11)
        submissions.submit("c", ROOM)
        await asyncio.sleep(0)
        assert submissions.take() == ["c"]
        submissions.close()

    in_virtual_time(test())


def test_busy_rooms_share_the_cooldown() -> None:
    """With several busy rooms the loop has as much time for everything else as for all of them."""

    async def test() -> None:
        submissions = QueueHarness()
        loop = asyncio.get_running_loop()
        rooms = range(10, 20)
        begun, busy_s, turns = loop.time(), 0.0, dict.fromkeys(rooms, 0)
        for room in rooms:
            submissions.submit(str(room), room)
        while loop.time() < begun + 60:
            await asyncio.sleep(0.001)
            for body in submissions.take():
                await asyncio.sleep(0.02)  # the fan-out, which keeps the loop busy
                busy_s += 0.02
                turns[int(body)] += 1
                submissions.submit(body, int(body))
                submissions.queue.answered(int(body), 1, 0.02)
        assert busy_s <= (loop.time() - begun) / 2 + 10 * 0.02
        assert busy_s > (loop.time() - begun) / 3
        assert max(turns.values()) - min(turns.values()) <= 1
        submissions.close()

    in_virtual_time(test())


def test_a_quiet_room_waits_for_no_busy_one() -> None:
    """A room whose fan-out is short has no cooldown, however many busy rooms there are."""

    async def test() -> None:
        submissions = QueueHarness()
        for room in range(10, 20):
            submissions.submit("busy", room)
        submissions.submit("a", ROOM)
        await asyncio.sleep(0)
        for room in range(10, 20):
            submissions.queue.answered(room, 1, 0.1)
        submissions.take()
        submissions.submit("b", ROOM)
        submissions.queue.answered(ROOM, 1, 0.0001)
        assert submissions.take() == ["b"]
        submissions.close()

    in_virtual_time(test())


async def test_a_barrier_passes_the_gate(submissions: QueueHarness) -> None:
    """A barrier lets all gathered messages pass; the gate opens once they are answered."""
    for body, conversation in (("a", ROOM), ("x", OTHER)):
        submissions.submit(body, conversation)
    await asyncio.sleep(0)
    submissions.submit("b", ROOM)
    submissions.submit("y", OTHER)
    submissions.submit("to bob")
    assert submissions.take() == ["a", "x"]
    submissions.queue.barrier()
    assert sorted(submissions.take()) == ["b", "to bob", "y"]
    submissions.submit("c", ROOM)
    submissions.queue.answered(ROOM, 1, 0.0)
    assert submissions.take() == []
    submissions.queue.answered(ROOM, 1, 0.0)
    assert submissions.take() == ["c"]
    submissions.close()


def test_a_barrier_in_a_cooldown() -> None:
    """A batch that passed by a barrier in a cooldown keeps the gate closed until it is answered."""

    async def test() -> None:
        submissions = QueueHarness()
        submissions.submit("a", ROOM)
        await asyncio.sleep(0)
        submissions.queue.answered(ROOM, 1, 0.1)
        submissions.submit("b", ROOM)
        submissions.queue.barrier()
        submissions.submit("c", ROOM)
        await asyncio.sleep(0.2)
        assert submissions.take() == ["a", "b"]
        submissions.queue.answered(ROOM, 1, 0.0)
        assert submissions.take() == ["c"]
        submissions.close()

    in_virtual_time(test())


async def test_waiting_for_a_room_opens_no_gate(submissions: QueueHarness) -> None:
    """A change of a room waits until the gate lets pass what was sent before: nobody can make it open."""
    for body, conversation in (("a", ROOM), ("x", OTHER)):
        submissions.submit(body, conversation)
    await asyncio.sleep(0)
    submissions.submit("b", ROOM)
    submissions.submit("to bob")
    waiting = [asyncio.create_task(submissions.queue.passed(room=ROOM)) for _ in range(2)]
    await asyncio.sleep(0)
    assert submissions.take() == ["a", "x", "to bob"]
    waiting.pop().cancel()
    await submissions.queue.passed(room=OTHER)
    await submissions.queue.passed(room=99)
    await asyncio.sleep(0)
    assert not waiting[0].done()
    submissions.queue.answered(ROOM, 1, 0.0)
    assert submissions.take() == ["b"]
    await waiting[0]
    submissions.close()


async def test_waiting_for_a_session_is_for_its_messages_only(submissions: QueueHarness) -> None:
    """A request waits for what its own session sent to a busy room, not for what others did."""
    submissions.submit("a", ROOM)
    await asyncio.sleep(0)
    submissions.submit("b", ROOM)
    other = submissions.router.login("alice")[0]
    await submissions.queue.passed(session=other)
    waiting = asyncio.create_task(submissions.queue.passed(session=submissions.session))
    await asyncio.sleep(0)
    assert not waiting.done()
    submissions.queue.answered(ROOM, 1, 0.0)
    await waiting
    submissions.close()


@pytest.mark.parametrize("end", ["barrier", "close"])
async def test_nobody_waits_for_a_queue_that_ends(submissions: QueueHarness, end: str) -> None:
    """A shutdown or a failed store lets everybody continue who waits for a gate."""
    submissions.submit("a", ROOM)
    await asyncio.sleep(0)
    submissions.submit("b", ROOM)
    waiting = asyncio.create_task(submissions.queue.passed(room=ROOM))
    await asyncio.sleep(0)
    getattr(submissions.queue, end)()
    await waiting
    submissions.close()


async def test_messages_to_a_deleted_room_pass_the_gate(submissions: QueueHarness) -> None:
    """Removing a room passes its gathered messages on; late answers for it are ignored."""
    submissions.submit("a", ROOM)
    await asyncio.sleep(0)
    submissions.submit("b", ROOM)
    submissions.queue.remove_room(ROOM)
    assert submissions.take() == ["a", "b"]
    submissions.queue.answered(ROOM, 2, 0.0)
    submissions.queue.remove_room(ROOM)
    submissions.close()
