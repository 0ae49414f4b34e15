"""The router: who gets what, and who is told when somebody goes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp.frames import ServerFrame
from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.presence import GRACE_S
from tests.support.clock import in_virtual_time
from tests.support.doubles import StaffedRouter


@pytest.fixture
async def router() -> AsyncIterator[StaffedRouter]:
    """A router that knows alice and bob."""
    made = StaffedRouter("alice", "bob")
    yield made
    made.presence.close()


def chats(written: list[ServerFrame]) -> list[str]:
    """The bodies of messages."""
    return [frame.body for frame in written if isinstance(frame, frames.Chat)]


def send(number: int, to: str = "bob") -> bytes:
    """A message as it comes over the wire."""
    return b'{"type":"chat","to":"%s","body":"%d","id":"%032x"}\n' % (to.encode(), number, number)


async def test_a_message_goes_to_every_session_of_the_recipient(router: StaffedRouter) -> None:
    """And its ack to the session that sent it, alone."""
    first, second = (router.login("bob")[1] for _ in range(2))
    alice, link = router.login("alice")
    _, other = router.login("alice")
    alice.receive(send(1) + send(2))
    router.flush()
    assert chats(first.take()) == []
    router.writer.answer(router)
    router.flush()
    assert chats(first.take()) == chats(second.take()) == ["1", "2"]
    assert sum(isinstance(frame, frames.ChatAck) for frame in link.take()) == 2
    assert not any(isinstance(frame, frames.Chat | frames.ChatAck) for frame in other.take())
    assert (alice.messages_in, alice.messages_out) == (2, 0)


async def test_who_leaves_while_a_message_is_stored_gets_nothing(router: StaffedRouter) -> None:
    """The sender has its ack all the same, and somebody who came meanwhile gets the message."""
    bob, gone = router.login("bob")
    alice, link = router.login("alice")
    alice.receive(send(1))
    router.flush()
    bob.receive(b'{"type":"bye"}\n')
    gone.take()
    _, late = router.login("bob")
    router.writer.answer(router)
    router.flush()
    assert chats(gone.take()) == []
    assert chats(late.take()) == ["1"]
    assert any(isinstance(frame, frames.ChatAck) for frame in link.take())


@pytest.mark.parametrize(
    ("error", "code"), [(StoreFullError("full"), "storage_full"), (StoreBusyError("busy"), "storage_failed")]
)
async def test_a_refused_batch_is_told_to_its_senders(
    router: StaffedRouter, error: StoreError, code: str
) -> None:
    """Nobody else hears of it, and the sessions go on."""
    bob, bobs = router.login("bob")
    alice, link = router.login("alice")
    router.flush()
    link.take()
    alice.receive(send(1) + send(2))
    bob.receive(send(3, "alice"))
    router.flush()
    waiting, router.writer.waiting = router.writer.waiting, []
    router.refused(waiting, error)
    router.flush()
    nacks = [(frame.id, frame.code) for frame in link.take() if isinstance(frame, frames.ChatNack)]
    assert nacks == [(f"{1:032x}", code), (f"{2:032x}", code)]
    assert sum(isinstance(frame, frames.ChatNack) for frame in bobs.take()) == 1
    assert (alice.pending, bob.pending) == (0, 0)


async def test_an_account_that_is_ended_loses_all_its_sessions(router: StaffedRouter) -> None:
    """And nobody else's."""
    links = [router.login("bob")[1] for _ in range(3)]
    _, alice = router.login("alice")
    router.end_account(2, ErrorCode.LOCKED)
    router.end_account(77, ErrorCode.LOCKED)
    assert [link.ended for link in [*links, alice]] == ["locked"] * 3 + [""]
    assert (router.logged_in_count, len(router.presence)) == (1, 1)


@pytest.mark.parametrize(
    ("ending", "after_s"),
    [("bye", 0.0), ("locked", 0.0), ("deleted", 0.0), ("lost", GRACE_S), ("shutdown", GRACE_S)],
)
def test_who_is_quite_gone_is_not_waited_for(ending: str, after_s: float) -> None:
    """`bye` and the operator's verbs count at once; a lost link only after the grace."""

    async def test() -> None:
        router = StaffedRouter("alice")
        session, _ = router.login("alice")
        session.end(ending)
        session.lost(ending)
        if after_s:
            await asyncio.sleep(after_s - 0.1)
            assert len(router.presence) == 1
            await asyncio.sleep(0.2)
        assert len(router.presence) == 0
        assert router.log.names() == ["session.open", "session.close"]
        router.presence.close()

    in_virtual_time(test())


async def test_a_session_that_ended_is_not_told_anything(router: StaffedRouter) -> None:
    """Its link lingers, but it gets neither messages nor presence."""
    bob, link = router.login("bob")
    router.flush()
    bob.receive(b'{"type":"bye"}\n')
    link.take()
    router.login("alice")
    await asyncio.sleep(0)
    router.flush()
    assert link.take() == []
    assert len(router) == 2
