"""Output of sessions: when it is written, and in which order."""

import asyncio
from collections.abc import AsyncIterator
from time import thread_time

import pytest

from qscp import codec, frames
from qscp.errors import ErrorCode
from qscpd.sessions.backlog import Backlog
from qscpd.sessions.output import FlushQueue
from qscpd.sessions.session import Session
from tests.support.doubles import FakeLink, RouterDouble

MESSAGES = [
    (
        seq,
        codec.encode(frames.Chat("c7", seq, f"{seq:032x}", "bob", "alice", str(seq), time=1, origin="live")),
    )
    for seq in (1, 2, 3)
]
PAYLOAD = b"".join(line for _, line in MESSAGES)


class ListBacklog(Backlog):
    """Backlog in a list.

    Attributes:
        buffered: Conversation and seq of each message.
    """

    def __init__(self) -> None:
        self.resuming = True
        self.buffered: list[tuple[int, int]] = []

    def overtakes(self, conversation: int, seq: int) -> bool:
        """Fail: nothing is acknowledged."""
        raise NotImplementedError

    def buffer(self, conversation: int, seq: int, line: bytes) -> None:
        """Record a message."""
        del line
        self.buffered.append((conversation, seq))

    def joined(self, conversation: int, last_seq: int) -> None:
        """Fail: no room is joined."""
        raise NotImplementedError

    def left(self, conversation: int) -> None:
        """Fail: no room is left."""
        raise NotImplementedError

    def writable(self) -> None:
        """Do nothing."""


@pytest.fixture
async def router() -> AsyncIterator[RouterDouble]:
    """A router that knows alice."""
    made = RouterDouble("alice")
    yield made
    made.close()


def login(router: RouterDouble, *, live: bool = True) -> tuple[Session, FakeLink]:
    """Log alice in, with nothing queued."""
    session, link = router.login("alice", live=live)
    router.flush()
    link.take()
    return session, link


def short(link: FakeLink) -> list[str]:
    """Return the bodies of written messages and the types of other written frames."""
    return [frame.body if isinstance(frame, frames.Chat) else frame.type for frame in link.take()]


async def test_output_is_written_at_the_end_of_the_tick(router: RouterDouble) -> None:
    """Output of every kind is written at the end of the tick, in order."""
    session, link = login(router)
    session.outbound.send_all([frames.Resumed()])
    session.outbound.deliver(7, *MESSAGES[0])
    session.send(frames.ServerPong())
    session.outbound.send_lines([MESSAGES[1][1]])
    session.outbound.send_all([frames.Resumed()])
    assert (short(link), len(router.output)) == ([], 1)
    await asyncio.sleep(0)
    assert short(link) == ["resumed", "1", "pong", "2", "resumed"]
    assert len(router.output) == 0
    assert session.frames_out == 1 + 1 + 5  # with `auth_ack` and the snapshot


async def test_empty_lists_queue_no_output(router: RouterDouble) -> None:
    """A session with empty lists of frames is not in the output queue."""
    session, _ = login(router)
    session.outbound.send_all([])
    session.outbound.send_lines([])
    assert len(router.output) == 0


async def test_several_messages_are_written_at_once(router: RouterDouble) -> None:
    """Several messages are written at once, or after output that was queued before them."""
    session, link = login(router)
    session.outbound.deliver_all(7, MESSAGES, PAYLOAD)
    assert short(link) == ["1", "2", "3"]
    session.outbound.send_all([frames.Resumed()])
    session.outbound.deliver_all(7, MESSAGES, PAYLOAD)
    assert short(link) == []
    router.flush()
    assert short(link) == ["resumed", "1", "2", "3"]
    assert session.messages_out == 6


async def test_a_session_that_is_catching_up_buffers_messages(router: RouterDouble) -> None:
    """Messages are buffered during replay, and dropped before the resume, which replays them."""
    session, link = login(router, live=False)
    session.outbound.deliver_all(7, MESSAGES, PAYLOAD)
    session.outbound.backlog = backlog = ListBacklog()
    session.outbound.deliver(7, *MESSAGES[0])
    session.outbound.deliver_all(7, MESSAGES[1:], PAYLOAD)
    assert backlog.buffered == [(7, 1), (7, 2), (7, 3)]
    assert (short(link), session.messages_out) == ([], 0)


async def test_output_before_a_violation_is_written(router: RouterDouble) -> None:
    """Queued output is written before the `error` of a violation."""
    session, link = login(router)
    session.outbound.send_all([frames.Resumed()])
    session.receive(b"nonsense\n")
    assert short(link) == ["resumed", "error"]


async def test_nothing_is_written_after_the_last_frame(router: RouterDouble) -> None:
    """Output queued before the end is written before `bye`; later output is dropped."""
    session, link = login(router)
    session.outbound.send_all([frames.Resumed()])
    session.close(ErrorCode.LOCKED)
    session.outbound.send_all([frames.Resumed()])
    await asyncio.sleep(0)
    assert short(link) == ["resumed", "bye"]


async def test_a_session_of_a_closed_peer_sends_no_last_frame(router: RouterDouble) -> None:
    """A session whose peer has closed sends no last frame."""
    session, link = login(router)
    session.close()
    assert (short(link), link.ended) == ([], "lost")


async def test_a_lost_session_is_not_flushed(router: RouterDouble) -> None:
    """A lost session leaves the output queue."""
    session, _ = login(router)
    session.send(frames.ServerPong())
    session.lost("lost")
    assert len(router.output) == 0


class LongOutput:
    """Something whose output takes half a millisecond to write."""

    def __init__(self) -> None:
        self.flushed = 0

    def flush(self) -> None:
        """Work."""
        until = thread_time() + 0.5e-3
        while thread_time() < until:
            pass
        self.flushed += 1


async def test_long_output_lets_others_have_their_turn() -> None:
    """With long output of many sessions, the loop does something else in between; all are flushed once."""
    queue = FlushQueue()
    sessions = [LongOutput() for _ in range(100)]
    for each in sessions:
        queue.add(each)
    await asyncio.sleep(0)
    assert 0 < sum(each.flushed for each in sessions) < 100
    for _ in range(100):
        await asyncio.sleep(0)
    assert [each.flushed for each in sessions] == [1] * 100
    assert len(queue) == 0


@pytest.mark.parametrize("count", [3, 40])
async def test_a_bug_in_one_flush_does_not_stop_the_others(count: int) -> None:
    """After an error of a session, those behind it are flushed, few or many."""
    flushed: list[int] = []
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    class Output:
        def __init__(self, number: int) -> None:
            self.number = number

        def flush(self) -> None:
            flushed.append(1 // self.number)

    queue = FlushQueue()
    outputs = [Output(number) for number in range(count)]
    for each in outputs:
        queue.add(each)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(flushed) == count - 1
    assert [type(each) for each in errors] == [ZeroDivisionError]
