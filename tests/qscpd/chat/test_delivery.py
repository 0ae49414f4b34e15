"""Delivery of commits: fan-out of events, and the answers between them."""

from collections.abc import AsyncIterator, Sequence

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp.features import READ_RECEIPTS
from qscp.frames import ServerFrame
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.bus.base import Answers, Commit
from qscpd.domain.events import AccountChanged, MessagesStored, PositionMoved, RoomChanged
from qscpd.domain.model import (
    Account,
    AccountState,
    Mark,
    MessageMeta,
    NewMessage,
    Outcome,
    PositionKind,
    Refused,
    StoredMessage,
)
from qscpd.domain.rooms import NO_MEMBERSHIP, Membership, RoomRow, RoomState
from qscpd.sessions.session import Session
from tests.support.doubles import FakeLink, RouterDouble

ALICE, BOB, CAROL = 1, 2, 3
ROOM = RoomRow(7, "#dev", RoomKind.OPEN, HistoryFrom.FULL, "", 0, RoomState.ACTIVE, 0, 1, 0, 3, 1)
MEMBERS = {
    ALICE: Membership(RoomRole.OWNER),
    BOB: Membership(RoomRole.MEMBER),
    CAROL: Membership(RoomRole.MEMBER),
}


@pytest.fixture
async def router() -> AsyncIterator[RouterDouble]:
    """A router with three accounts, which are members of a room."""
    made = RouterDouble("alice", "bob", "carol")
    made.rooms.load(ROOM, MEMBERS)
    yield made
    made.close()


def login(router: RouterDouble, name: str, *features: str) -> tuple[Session, FakeLink]:
    """Open a session; drop what it has received so far."""
    session, link = router.login(name, *features)
    router.flush()
    link.take()
    return session, link


def message(number: int, sender: int, recipient: int) -> NewMessage:
    """Return a message whose id and text are a number."""
    return NewMessage(sender, recipient, f"{number:032x}", str(number))


def take(router: RouterDouble, link: FakeLink) -> list[ServerFrame]:
    """Take the frames that were sent, without presence."""
    router.flush()
    presence = frames.OnlineUsers | frames.PresenceChanges
    return [frame for frame in link.take() if not isinstance(frame, presence)]


def seqs(written: Sequence[ServerFrame]) -> list[tuple[str, int]]:
    """Return type and seq of messages and acks, in order."""
    return [(each.type, each.seq) for each in written if isinstance(each, frames.Chat | frames.ChatAck)]


@pytest.mark.parametrize("recipient", [-7, 0], ids=["room", "pair"])
async def test_acks_and_messages_of_others_come_in_order(router: RouterDouble, recipient: int) -> None:
    """A session gets acks and messages of others in the order of their seqs."""
    alice, first = login(router, "alice")
    bob, second = login(router, "bob")
    sessions = [alice, bob, bob, alice, bob]
    messages = [
        message(n, ALICE, recipient or BOB) if session is alice else message(n, BOB, recipient or ALICE)
        for n, session in enumerate(sessions, 1)
    ]
    places = [StoredMessage(7, n, 5) for n in range(1, 6)]
    router.bus.publish(Commit([MessagesStored(messages, places)], Answers(sessions, messages, places)))
    assert seqs(take(router, first)) == [
        ("chat_ack", 1),
        ("chat", 2),
        ("chat", 3),
        ("chat_ack", 4),
        ("chat", 5),
    ]
    assert seqs(take(router, second)) == [
        ("chat", 1),
        ("chat_ack", 2),
        ("chat_ack", 3),
        ("chat", 4),
        ("chat_ack", 5),
    ]


async def test_only_new_messages_are_fanned_out(router: RouterDouble) -> None:
    """Retries and refused messages are answered in order but not fanned out."""
    alice, link = login(router, "alice")
    _, others = login(router, "alice")
    _, bobs = login(router, "bob")
    alice.inbound.pending = 4
    messages = [message(n, ALICE, BOB) for n in range(1, 5)]
    first, last = StoredMessage(1, 8, 5), StoredMessage(1, 9, 5)
    outcomes: list[Outcome] = [StoredMessage(1, 1, 5, new=False), first, Refused(), last]
    stored = MessagesStored([messages[1], messages[3]], [first, last])
    router.bus.publish(Commit([stored], Answers([alice] * 4, messages, outcomes)))
    written = take(router, link)
    assert [each.type for each in written] == ["chat_ack", "chat_ack", "chat_nack", "chat_ack"]
    assert seqs(written) == [("chat_ack", 1), ("chat_ack", 8), ("chat_ack", 9)]
    assert seqs(take(router, bobs)) == seqs(take(router, others)) == [("chat", 8), ("chat", 9)]
    assert (alice.pending, alice.messages_in) == (0, 2)


async def test_a_commit_without_answers_is_only_fanned_out(router: RouterDouble) -> None:
    """A commit without answers, as of another node, reaches all sessions of users and members."""
    _, alices = login(router, "alice")
    _, bobs = login(router, "bob")
    _, carols = login(router, "carol")
    reply = NewMessage(ALICE, -7, f"{3:032x}", "3", MessageMeta(reply_to=1))
    messages = [message(1, ALICE, BOB), message(2, BOB, ALICE), reply, message(4, BOB, -7)]
    places = [StoredMessage(1, 1, 5), StoredMessage(1, 2, 5), StoredMessage(7, 2, 5), StoredMessage(7, 3, 5)]
    router.bus.publish(Commit([MessagesStored(messages, places)]))
    got = [take(router, link) for link in (alices, bobs, carols)]
    chat = frames.Chat("c1", 1, f"{1:032x}", "alice", "bob", "1", 5, "live")
    answer = frames.Chat("c1", 2, f"{2:032x}", "bob", "alice", "2", 5, "live")
    room = [
        frames.Chat("c7", 2, f"{3:032x}", "alice", "#dev", "3", 5, "live", reply_to=1),
        frames.Chat("c7", 3, f"{4:032x}", "bob", "#dev", "4", 5, "live"),
    ]
    assert sorted(got[0], key=_place) == sorted(got[1], key=_place) == [chat, answer, *room]
    assert got[2] == room


async def test_a_moved_position_is_sent_to_the_sessions_concerned(router: RouterDouble) -> None:
    """A moved position reaches the account's other sessions, and the peer's where both want receipts."""
    session, link = login(router, "alice", READ_RECEIPTS)
    _, other = login(router, "alice")
    _, with_receipts = login(router, "bob", READ_RECEIPTS)
    _, without = login(router, "bob")
    links = (link, other, with_receipts, without)
    read = frames.ServerRead("c1", "alice", 3)
    for mark, expected in (
        (Mark(ALICE, 1, PositionKind.READ, 3, session.id, receipt=True), [[], [read], [read], []]),
        (Mark(ALICE, 1, PositionKind.READ, 3, session.id), [[], [read], [], []]),
        (Mark(ALICE, 1, PositionKind.READ, 3, "of another node"), [[read], [read], [], []]),
    ):
        router.bus.publish(Commit([PositionMoved(mark, BOB)]))
        assert [take(router, each) for each in links] == expected
    delivered = PositionMoved(Mark(ALICE, 1, PositionKind.DELIVERED, 3, session.id), BOB)
    router.bus.publish(Commit([delivered]))
    frame = frames.Delivered("c1", 3)
    assert [take(router, each) for each in links] == [[], [], [frame], [frame]]


@pytest.mark.parametrize(
    ("state", "code"),
    [(AccountState.LOCKED, ErrorCode.LOCKED), (AccountState.DELETED, ErrorCode.DELETED)],
)
async def test_a_commit_updates_accounts_sessions_and_rooms_in_order(
    router: RouterDouble, state: AccountState, code: ErrorCode
) -> None:
    """A locked or deleted account's sessions are closed before its rooms change, in one step."""
    _, alices = login(router, "alice")
    _, bobs = login(router, "bob")
    left = RoomChanged(ROOM, {BOB: NO_MEMBERSHIP})
    router.bus.publish(Commit([AccountChanged(Account(BOB, "bob", state, 0)), left]))
    bob = router.directory.by_name("bob")
    assert (bob.state if bob else AccountState.DELETED) is state
    room = router.rooms.by_id(7)
    assert room is not None
    assert BOB not in room.memberships
    assert [each.type for each in bobs.take()] == ["bye"]
    assert (bobs.ended, alices.ended) == (code, "")
    router.bus.publish(Commit([AccountChanged(Account(BOB, "bob", AccountState.ACTIVE, 0))]))
    assert router.directory.by_name("bob") is not None
    assert alices.ended == ""


def _place(frame: ServerFrame) -> tuple[str, int]:
    assert isinstance(frame, frames.Chat)
    return frame.conversation, frame.seq
