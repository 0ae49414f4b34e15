"""The router: recipients of messages, and closed sessions."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp.frames import ServerFrame
from qscpd.bus.base import Answers, Commit
from qscpd.chat.presence import GRACE_S
from qscpd.domain.model import Outcome, Refused, StoredMessage
from qscpd.store.items import PendingChat, PendingSkip
from tests.support.clock import in_virtual_time
from tests.support.doubles import RouterDouble


@pytest.fixture
async def router() -> AsyncIterator[RouterDouble]:
    """A router that knows alice and bob."""
    made = RouterDouble("alice", "bob")
    yield made
    made.close()


def chats(written: list[ServerFrame]) -> list[str]:
    """Return the bodies of messages."""
    return [frame.body for frame in written if isinstance(frame, frames.Chat)]


def send(number: int, to: str = "bob") -> bytes:
    """Return a message in its wire form."""
    return b'{"type":"chat","to":"%s","body":"%d","id":"%032x"}\n' % (to.encode(), number, number)


async def test_a_message_goes_to_all_sessions_of_both_users(router: RouterDouble) -> None:
    """All sessions of both users get a message, except for the sender's, which gets the ack."""
    first, second = (router.login("bob")[1] for _ in range(2))
    alice, link = router.login("alice")
    _, other = router.login("alice")
    alice.receive(send(1) + send(2))
    router.flush()
    assert chats(first.take()) == []
    router.writer.answer(router)
    router.flush()
    assert chats(first.take()) == chats(second.take()) == ["1", "2"]
    written = link.take()
    assert sum(isinstance(frame, frames.ChatAck) for frame in written) == 2
    assert chats(written) == []
    written = other.take()
    assert chats(written) == ["1", "2"]
    assert not any(isinstance(frame, frames.ChatAck) for frame in written)
    assert (alice.messages_in, alice.messages_out) == (2, 0)


async def test_a_session_that_is_catching_up_gets_no_live_messages(router: RouterDouble) -> None:
    """Before `resume` a session gets no live messages; it will get them by replay."""
    _, behind = router.login("bob", live=False)
    _, live = router.login("bob")
    alice, link = router.login("alice")
    alice.receive(send(1))
    router.flush()
    router.writer.answer(router)
    router.flush()
    assert chats(behind.take()) == []
    assert chats(live.take()) == ["1"]
    assert any(isinstance(frame, frames.ChatAck) for frame in link.take())


async def test_a_session_closed_during_a_commit_gets_nothing(router: RouterDouble) -> None:
    """During a commit, a session that closes gets nothing, one that opens gets the message."""
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


@pytest.mark.parametrize("code", [ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_FAILED, ErrorCode.OUT_OF_ORDER])
async def test_a_refused_batch_is_nacked_to_its_senders(router: RouterDouble, code: ErrorCode) -> None:
    """Each sender of a refused batch gets its nacks; the sessions stay open."""
    bob, bobs = router.login("bob")
    alice, link = router.login("alice")
    router.flush()
    link.take()
    alice.receive(send(1) + send(2))
    bob.receive(send(3, "alice"))
    router.flush()
    router.writer.refuse(router, code)
    router.flush()
    nacks = [(frame.id, frame.code) for frame in link.take() if isinstance(frame, frames.ChatNack)]
    assert nacks == [(f"{1:032x}", code), (f"{2:032x}", code)]
    assert sum(isinstance(frame, frames.ChatNack) for frame in bobs.take()) == 1
    assert (alice.pending, bob.pending) == (0, 0)
    assert (link.ended, bobs.ended) == ("", "")


async def test_a_closed_session_skips_its_refused_messages(router: RouterDouble) -> None:
    """Closing a session with refused messages submits a skip; closing another one does not."""
    for refused in (False, True):
        alice, _ = router.login("alice")
        alice.receive(send(1))
        router.flush()
        if refused:
            router.writer.refuse(router, ErrorCode.STORAGE_FULL)
        else:
            router.writer.answer(router)
        alice.close()
        alice.lost("lost")
        router.flush()
        skips = [(item.session, item.id) for item in router.writer.waiting if isinstance(item, PendingSkip)]
        assert skips == [(alice, None)] * refused


async def test_an_id_conflict_is_nacked_to_the_sender_only(router: RouterDouble) -> None:
    """An id conflict is nacked to its sender only, and blocks no later message."""
    _, bobs = router.login("bob")
    alice, link = router.login("alice")
    alice.receive(send(1) + send(2))
    router.flush()
    chat, other = router.writer.waiting
    assert isinstance(chat, PendingChat)
    assert isinstance(other, PendingChat)
    outcomes: list[Outcome] = [Refused(), StoredMessage(1, 1, 1)]
    router.bus.publish(Commit((), Answers([alice, alice], [chat.message, other.message], outcomes)))
    router.flush()
    answers = [frame for frame in link.take() if isinstance(frame, frames.ChatNack | frames.ChatAck)]
    assert [frame.type for frame in answers] == ["chat_nack", "chat_ack"]
    assert isinstance(answers[0], frames.ChatNack)
    assert answers[0].code == ErrorCode.ID_CONFLICT
    assert chats(bobs.take()) == ["2"]
    assert (alice.pending, alice.messages_in, alice.refused) == (0, 1, False)


async def test_a_retry_is_acknowledged_and_not_fanned_out(router: RouterDouble) -> None:
    """A retry gets the original ack, and no session gets the message again."""
    _, bobs = router.login("bob")
    _, others = router.login("alice")
    alice, link = router.login("alice")
    alice.receive(send(1))
    router.flush()
    (chat,) = router.writer.waiting
    assert isinstance(chat, PendingChat)
    router.bus.publish(Commit((), Answers([alice], [chat.message], [StoredMessage(4, 5, 6, new=False)])))
    router.flush()
    assert chats(bobs.take()) == chats(others.take()) == []
    acks = [frame for frame in link.take() if isinstance(frame, frames.ChatAck)]
    assert acks == [frames.ChatAck(f"{1:032x}", "c4", 5, 6, repeated=True)]
    assert (alice.pending, alice.messages_in) == (0, 0)


async def test_closing_an_account_closes_its_sessions(router: RouterDouble) -> None:
    """`close_account` closes all sessions of the account and no others."""
    links = [router.login("bob")[1] for _ in range(3)]
    _, alice = router.login("alice")
    router.close_account(2, ErrorCode.LOCKED)
    router.close_account(77, ErrorCode.LOCKED)
    assert [link.ended for link in [*links, alice]] == ["locked"] * 3 + [""]
    assert (router.logged_in_count, len(router.presence)) == (1, 1)


@pytest.mark.parametrize(
    ("ending", "after_s"),
    [("bye", 0.0), ("locked", 0.0), ("deleted", 0.0), ("lost", GRACE_S), ("shutdown", GRACE_S)],
)
def test_only_a_lost_link_gets_the_grace(ending: str, after_s: float) -> None:
    """A user is offline at once after `bye`, locking or deletion, and after the grace with a lost link."""

    async def test() -> None:
        router = RouterDouble("alice")
        session, _ = router.login("alice")
        session.close(reason=ending)
        session.lost(ending)
        if after_s:
            await asyncio.sleep(after_s - 0.1)
            assert len(router.presence) == 1
            await asyncio.sleep(0.2)
        assert len(router.presence) == 0
        assert router.log.names() == ["session.open", "session.close"]
        router.presence.close()

    in_virtual_time(test())


async def test_a_closed_session_gets_nothing(router: RouterDouble) -> None:
    """A closed session whose link is still open gets neither messages nor presence."""
    bob, link = router.login("bob")
    router.flush()
    bob.receive(b'{"type":"bye"}\n')
    link.take()
    router.login("alice")
    await asyncio.sleep(0)
    router.flush()
    assert link.take() == []
    assert len(router) == 2
