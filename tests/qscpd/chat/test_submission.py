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


class Submissions:
    """A submission queue of one session on a writer that keeps what it gets."""

    def __init__(self) -> None:
        self.router = RouterDouble("alice")
        self.session: Session = self.router.login("alice")[0]
        self.writer = SlowWriter()
        self.queue = SubmissionQueue(self.writer)

    def submit(self, body: str, room: int | None = None) -> None:
        """Submit a message to bob, or to a room."""
        message = NewMessage(1, -room if room is not None else 2, "f" * 32, body)
        self.queue.submit(PendingChat(self.session, message), room)

    def taken(self) -> list[str]:
        """Return and forget the bodies that the writer got."""
        items, self.writer.waiting = self.writer.waiting, []
        return [item.message.body for item in items if isinstance(item, PendingChat)]

    def close(self) -> None:
        """Stop all timers."""
        self.queue.close()
        self.router.close()


@pytest.fixture
async def submissions() -> Submissions:
    """A queue in a loop that runs."""
    return Submissions()


async def test_a_tick_is_one_batch_in_order(submissions: Submissions) -> None:
    """Messages to users and rooms keep the order in which they were submitted."""
    for number, room in enumerate([None, ROOM, None, OTHER, ROOM]):
        submissions.submit(str(number), room)
    assert submissions.taken() == []
    await asyncio.sleep(0)
    assert submissions.taken() == ["0", "1", "2", "3", "4"]
    submissions.close()


async def test_a_room_has_one_batch_in_flight(submissions: Submissions) -> None:
    """What comes after it gathers until all of it is answered, and is the next batch."""
    submissions.submit("a", ROOM)
    submissions.submit("b", ROOM)
    await asyncio.sleep(0)
    submissions.submit("c", ROOM)
    submissions.submit("d", ROOM)
    submissions.submit("to bob")
    submissions.submit("elsewhere", OTHER)
    await asyncio.sleep(0)
    assert submissions.taken() == ["a", "b", "to bob", "elsewhere"]
    submissions.queue.answered(ROOM, 1, 0.0)
    assert submissions.taken() == []
    submissions.queue.answered(ROOM, 1, 0.0)
    assert submissions.taken() == ["c", "d"]
    submissions.close()


def test_a_room_cools_down_as_long_as_its_fan_out_took() -> None:
    """Then what gathered passes, or the next message passes at once."""

    async def test() -> None:
        submissions = Submissions()
        submissions.submit("a", ROOM)
        await asyncio.sleep(0)
        submissions.queue.answered(ROOM, 1, 0.1)
        submissions.submit("b", ROOM)
        await asyncio.sleep(0.09)
        assert submissions.taken() == ["a"]
        await asyncio.sleep(0.02)
        assert submissions.taken() == ["b"]
        submissions.queue.answered(ROOM, 1, 0.1)
        await asyncio.sleep(0.11)
        submissions.submit("c", ROOM)
        await asyncio.sleep(0)
        assert submissions.taken() == ["c"]
        submissions.close()

    in_virtual_time(test())


@pytest.mark.parametrize(("room", "passed"), [(ROOM, ["b", "to bob"]), (None, ["b", "to bob", "y"])])
async def test_a_barrier_passes_the_gate(
    submissions: Submissions, room: int | None, passed: list[str]
) -> None:
    """Of one room or of all; the gate opens again when everything that passed is answered."""
    for body, conversation in (("a", ROOM), ("x", OTHER)):
        submissions.submit(body, conversation)
    await asyncio.sleep(0)
    submissions.submit("b", ROOM)
    submissions.submit("y", OTHER)
    submissions.submit("to bob")
    assert submissions.taken() == ["a", "x"]
    submissions.queue.barrier(room)
    assert sorted(submissions.taken()) == passed
    submissions.submit("c", ROOM)
    submissions.queue.answered(ROOM, 1, 0.0)
    assert submissions.taken() == []
    submissions.queue.answered(ROOM, 1, 0.0)
    assert submissions.taken() == ["c"]
    submissions.close()


def test_a_barrier_in_a_cooldown() -> None:
    """When the cooldown ends, what passed is still in flight; its answer opens the gate."""

    async def test() -> None:
        submissions = Submissions()
        submissions.submit("a", ROOM)
        await asyncio.sleep(0)
        submissions.queue.answered(ROOM, 1, 0.1)
        submissions.submit("b", ROOM)
        submissions.queue.barrier()
        submissions.submit("c", ROOM)
        await asyncio.sleep(0.2)
        assert submissions.taken() == ["a", "b"]
        submissions.queue.answered(ROOM, 1, 0.0)
        assert submissions.taken() == ["c"]
        submissions.close()

    in_virtual_time(test())


async def test_what_waits_for_a_deleted_room_goes_to_the_store(submissions: Submissions) -> None:
    """The store refuses it; late answers for the room are ignored."""
    submissions.submit("a", ROOM)
    await asyncio.sleep(0)
    submissions.submit("b", ROOM)
    submissions.queue.remove_room(ROOM)
    assert submissions.taken() == ["a", "b"]
    submissions.queue.answered(ROOM, 2, 0.0)
    submissions.queue.remove_room(ROOM)
    submissions.close()
