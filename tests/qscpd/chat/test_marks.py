"""Positions and skips on their way to the store: coalesced, bounded and counted."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp import codec, frames
from qscpd.chat.marks import MarkQueue
from qscpd.domain.model import Mark, PositionKind
from qscpd.sessions.session import Session
from qscpd.store.items import PendingSkip
from tests.support.doubles import FakeLink, RouterDouble, SlowWriter
from tests.support.waiting import until

PENDING_LIMIT = 1000
"""Items on their way at which a session stops reading."""

LAST_SEQ = 50
"""Newest message of each conversation."""

Position = tuple[int, PositionKind]


@pytest.fixture
async def router() -> AsyncIterator[RouterDouble]:
    """A router that knows alice and bob."""
    made = RouterDouble("alice", "bob")
    yield made
    made.close()


def login(router: RouterDouble) -> tuple[Session, FakeLink]:
    """Log alice in, with an empty link."""
    session, link = router.login("alice")
    router.flush()
    link.take()
    return session, link


def reads(*positions: tuple[int, int]) -> bytes:
    """Return `read` frames of conversations and seqs."""
    return b"".join(codec.encode(frames.ClientRead(f"c{number}", seq)) for number, seq in positions)


def marks_of(router: RouterDouble) -> list[Mark]:
    """Return the positions that the writer has."""
    return [each for each in router.writer.waiting if isinstance(each, Mark)]


async def process(router: RouterDouble) -> list[Mark]:
    """Let the writer process what it has; return its positions."""
    router.flush()
    await asyncio.sleep(0)
    marks = marks_of(router)
    router.writer.answer(router)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return marks


async def test_many_positions_of_a_conversation_are_two(router: RouterDouble) -> None:
    """While the writer has a position, of all later ones only the highest waits."""
    session, link = login(router)
    session.receive(reads((7, 1)))
    router.flush()
    session.receive(reads(*((7, seq) for seq in range(2, 5000))) + reads((7, 3)))
    router.run_turns()
    assert (session.pending, link.reading) == (2, True)
    assert [mark.seq for mark in await process(router)] == [1]
    assert [mark.seq for mark in await process(router)] == [4999]
    assert (session.pending, len(router.submissions)) == (0, 0)


async def test_positions_of_many_conversations_are_bounded(router: RouterDouble) -> None:
    """A session with a thousand positions on their way is read no further; none is lost."""
    session, link = login(router)
    session.receive(reads(*((number, 1) for number in range(1, 5001))))
    router.run_turns()
    assert (session.pending, link.reading, len(router.submissions)) == (PENDING_LIMIT, False, PENDING_LIMIT)
    seen: list[int] = []
    while marks := await process(router):
        assert len(marks) <= 128
        assert session.pending <= PENDING_LIMIT
        seen += [mark.conversation for mark in marks]
    assert seen == list(range(1, 5001))
    assert (session.pending, link.reading) == (0, True)


async def test_sessions_share_a_batch(router: RouterDouble) -> None:
    """A session with a single position does not wait behind a session with a thousand."""
    greedy, _ = login(router)
    modest, _ = login(router)
    greedy.receive(reads((1, 1)))
    router.flush()
    greedy.receive(reads(*((number, 1) for number in range(2, 1000))))
    modest.receive(reads((7, 3)))
    router.run_turns()
    await process(router)
    assert (modest.id, 7, 3) in {
        (mark.session, mark.conversation, mark.seq) for mark in await process(router)
    }


async def test_positions_of_a_window_go_together(router: RouterDouble) -> None:
    """Positions wait a tenth of a second for those of other sessions, whatever else is handed over."""
    alice, _ = login(router)
    bob, _ = router.login("bob")
    alice.receive(reads((7, 1)))
    router.submissions.hand_over()
    bob.receive(reads((8, 1)))
    alice.receive(reads((7, 2)))
    assert marks_of(router) == []
    await until(lambda: marks_of(router))
    assert [(mark.conversation, mark.seq) for mark in await process(router)] == [(7, 2), (8, 1)]


async def test_a_full_batch_waits_for_nothing(router: RouterDouble) -> None:
    """As many positions as a batch has go at the end of the tick, and those behind them one by one."""
    session, _ = login(router)
    session.receive(reads(*((number, 1) for number in range(1, 131))))
    router.run_turns()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(marks_of(router)) == 128
    router.writer.answer(router)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(marks_of(router)) == 2


async def test_positions_without_a_conversation_are_dropped(router: RouterDouble) -> None:
    """A position in what is no conversation is not queued."""
    session, _ = login(router)
    session.receive(codec.encode(frames.ClientRead("nonsense", 1)) * 1000)
    router.run_turns()
    assert (session.pending, len(router.submissions)) == (0, 0)


async def test_skips_are_counted(router: RouterDouble) -> None:
    """A session with a thousand skips on their way is read no further; invalid ids are dropped."""
    session, link = login(router)
    session.receive(codec.encode(frames.Skip("x" * 60_000)))
    session.receive(b"".join(codec.encode(frames.Skip(f"{number:032x}")) for number in range(3000)))
    router.run_turns()
    assert (session.pending, link.reading) == (PENDING_LIMIT, False)
    seen: list[str | None] = []
    while session.pending:
        router.flush()
        await asyncio.sleep(0)
        seen += [each.id for each in router.writer.waiting if isinstance(each, PendingSkip)]
        router.writer.answer(router)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert seen == [f"{number:032x}" for number in range(3000)]
    assert link.reading


async def test_a_session_that_leaves_loses_no_position(router: RouterDouble) -> None:
    """`bye` is answered when the positions before it are processed, also of a session whose link is lost."""
    session, link = login(router)
    lost, _ = login(router)
    session.receive(reads((7, 1)))
    lost.receive(reads((8, 1)))
    router.flush()
    session.receive(reads((7, 2)) + b'{"type":"bye"}\n')
    lost.receive(reads((8, 2)))
    lost.lost("lost")
    assert link.ended == ""
    assert {(mark.conversation, mark.seq) for mark in await process(router)} == {(7, 1), (8, 1)}
    assert {(mark.conversation, mark.seq) for mark in await process(router)} == {(7, 2), (8, 2)}
    assert (link.ended, session.pending, lost.pending) == ("bye", 0, 0)


async def test_a_flush_hands_over_what_a_session_has(router: RouterDouble) -> None:
    """Before a request of a session, all of its positions go to the writer, and none of others."""
    session, _ = login(router)
    other, _ = login(router)
    session.receive(reads((7, 1)))
    router.flush()
    session.receive(reads((7, 2), (8, 1)))
    other.receive(reads((9, 1)))
    await router.submissions.passed(session=session)
    marks = marks_of(router)
    assert [(mark.conversation, mark.seq) for mark in marks] == [(7, 1), (7, 2), (8, 1)]
    await process(router)
    assert [mark.conversation for mark in await process(router)] == [9]


positions = st.tuples(st.integers(1, 3), st.sampled_from(PositionKind), st.integers(0, LAST_SEQ + 20))
steps = st.lists(st.tuples(st.lists(positions, max_size=8), st.booleans()), max_size=12)
"""Positions that come together, and whether their window ends."""


def apply(state: dict[Position, int], marks: Sequence[Mark]) -> None:
    """Move positions as the store does: up, and never above the last message."""
    for mark in marks:
        key = mark.conversation, mark.kind
        state[key] = max(state.get(key, 0), min(mark.seq, LAST_SEQ))


@given(steps=steps)
async def test_coalescing_changes_no_position(
    steps: list[tuple[list[tuple[int, PositionKind, int]], bool]],
) -> None:
    """Whenever windows end and the writer processes its batch, the end is the same as without the queue."""
    router = RouterDouble("alice")
    session, _ = router.login("alice")
    writer = SlowWriter()
    queue = MarkQueue(writer, lambda: None)
    expected: dict[Position, int] = {}
    got: dict[Position, int] = {}
    for step, is_over in [*steps, ([], True), ([], False), ([], False)]:
        for number, kind, seq in step:
            mark = Mark(1, number, kind, seq, session.id)
            apply(expected, [mark])
            queue.add(session, mark)
        if is_over:
            queue.end_window()
        apply(got, queue.take_batch())
        queue.ask()
        await asyncio.sleep(0)
        writer.answer(router)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (got, session.pending) == (expected, 0)
    queue.close()
    router.close()
