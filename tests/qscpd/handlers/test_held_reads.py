"""A read that takes long delays no commit, and has one state of the store: for each kind of read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscp import frames
from qscpd.domain.model import Keep, NewMessage
from qscpd.store.sqlite.store import SqliteStore
from tests.support.device import Device
from tests.support.gated_reader import INSIDE
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts

BEFORE_IT = list(range(1, 8))
MEANWHILE = list(range(8, 13))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A daemon without a network: alice wrote seven messages to bob, and all are in the search index."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob")
    store = SqliteStore(tmp_path / "qscpd.db")
    store.append([NewMessage(1, 2, f"{n:032x}", f"number {n}") for n in BEFORE_IT])
    while store.housekeeping.step(Keep()):
        pass
    async with InProcessServer(store) as opened:
        yield opened


def answer(bob: InProcessPeer) -> frames.ServerFrame:
    """Return the last frame that is not presence."""
    frame = bob.frames[-1]
    assert not isinstance(frame, frames.OnlineUsers | frames.PresenceChanges)
    return frame


def check_history(bob: InProcessPeer) -> None:
    """The page ends where the conversation ended."""
    page = answer(bob)
    assert isinstance(page, frames.History)
    assert ([each.seq for each in page.messages], page.cursor) == (BEFORE_IT, None)


def check_conversations(bob: InProcessPeer) -> None:
    """The counts fit the last seq."""
    page = answer(bob)
    assert isinstance(page, frames.Conversations)
    assert [(each.last_seq, each.unread) for each in page.conversations] == [(7, 7)]


def check_search(bob: InProcessPeer) -> None:
    """What came meanwhile is not found, and the index has all that there was."""
    page = answer(bob)
    assert isinstance(page, frames.SearchResults)
    assert ([each.seq for each in page.matches], page.complete) == (BEFORE_IT[::-1], True)


def check_replay(bob: InProcessPeer) -> None:
    """Each message is sent once, in order."""
    assert isinstance(answer(bob), frames.Resumed)
    assert [each.seq for each in bob.frames if isinstance(each, frames.Chat)] == BEFORE_IT + MEANWHILE


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
    """While it stands in its transaction, messages are stored, acknowledged and delivered."""
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


async def test_a_request_has_what_was_sent_before_it(server: InProcessServer) -> None:
    """Messages and positions of the same session, though reads are not queued behind commits."""
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
