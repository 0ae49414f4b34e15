"""A long read of any kind delays no commit, and sees one snapshot of the store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscp import frames
from qscpd.domain.model import NewMessage
from qscpd.store.sqlite.store import SqliteStore
from tests.support.device import Device
from tests.support.gated_reader import INSIDE
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.stores import housekeep

EARLIER = list(range(1, 8))
MEANWHILE = list(range(8, 13))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A daemon without a network: alice wrote seven messages to bob, and all are in the search index."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob")
    store = SqliteStore(tmp_path / "qscpd.db")
    store.append([NewMessage(1, 2, f"{n:032x}", f"number {n}") for n in EARLIER])
    housekeep(store)
    async with InProcessServer(store) as opened:
        yield opened


def answer(bob: InProcessPeer) -> frames.ServerFrame:
    """Return the last frame that is not presence."""
    frame = bob.frames[-1]
    assert not isinstance(frame, frames.OnlineUsers | frames.PresenceChanges)
    return frame


def check_history(bob: InProcessPeer) -> None:
    """Check that the page ends at the last seq of the snapshot."""
    page = answer(bob)
    assert isinstance(page, frames.History)
    assert ([each.seq for each in page.messages], page.cursor) == (EARLIER, None)


def check_conversations(bob: InProcessPeer) -> None:
    """Check that the counts agree with the last seq."""
    page = answer(bob)
    assert isinstance(page, frames.Conversations)
    assert [(each.last_seq, each.unread) for each in page.conversations] == [(7, 7)]


def check_search(bob: InProcessPeer) -> None:
    """Check that later messages are not found, and that the page is complete."""
    page = answer(bob)
    assert isinstance(page, frames.SearchResults)
    assert ([each.seq for each in page.matches], page.complete) == (EARLIER[::-1], True)


def check_replay(bob: InProcessPeer) -> None:
    """Check that each message is sent once, in order."""
    assert isinstance(answer(bob), frames.Resumed)
    assert [each.seq for each in bob.frames if isinstance(each, frames.Chat)] == EARLIER + MEANWHILE


@pytest.mark.parametrize(
    ("method", "request_frame", "check"),
    [
        ("history_page", frames.HistoryRequest("c1"), check_history),
        ("conversation_list", frames.ConversationsRequest(), check_conversations),
        ("search", frames.SearchRequest("number"), check_search),
        ("conversations", frames.Resume([]), check_replay),
        ("replay_page", frames.Resume([]), check_replay),
    ],
)
async def test_a_read_delays_no_commit(
    server: InProcessServer, method: str, request_frame: frames.ClientFrame, check: object
) -> None:
    """During a read, messages are stored, acknowledged and delivered; the read sees its snapshot."""
    alice, phone = Device("alice", device_id(1), IdMaker(1)), Device("bob", device_id(2), IdMaker(2))
    sender, _ = await server.login(alice), await server.login(phone)
    bob = await server.visitor("bob")
    await server.settle()
    server.gate.close(INSIDE, method)
    bob.send(request_frame)
    await server.gate.stopped()
    for seq in MEANWHILE:
        sender.send(*alice.send("bob", f"number {seq}"))
        await server.settle()
        assert len(alice.log.acked) == seq - 7
        assert phone.positions["c1"] == seq
    assert server.gate.waiting == 1
    server.gate.open()
    await server.settle()
    assert callable(check)
    check(bob)


async def test_a_request_sees_earlier_frames_of_its_session(server: InProcessServer) -> None:
    """A request sees the messages and positions that its session sent before it."""
    bob = await server.visitor("bob")
    bob.send(
        frames.ClientRead("c1", 5),
        frames.SendChat("alice", "number nine", "f" * 32),
        frames.ConversationsRequest(),
        frames.HistoryRequest("c1", limit=1),
    )
    await server.settle()
    assert bob.kinds()[-3:] == ["chat_ack", "conversations", "history"]
    listed, page = bob.frames[-2:]
    assert isinstance(listed, frames.Conversations)
    assert [(each.last_seq, each.read, each.unread) for each in listed.conversations] == [(8, 5, 2)]
    assert isinstance(page, frames.History)
    assert [each.seq for each in page.messages] == [8]
