"""Time limits of bans, mutes, slow mode and edits, on a daemon without a network."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscp import frames
from qscp.rooms import HistoryFrom
from tests.support.ids import IdMaker
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.stores import FailingStore, ManualClock, add_room

EDIT_WITHIN_S = 3600
"""Time limit for edits of a `FailingStore`."""

make_id = IdMaker()


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock."""
    return ManualClock()


@pytest.fixture
async def server(tmp_path: Path, clock: ManualClock) -> AsyncIterator[InProcessServer]:
    """A daemon for alice, who owns #dev, and bob, who is a member."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob")
    store = FailingStore(tmp_path / "qscpd.db", clock=clock)
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.FULL)
    async with InProcessServer(store) as opened:
        yield opened


@pytest.fixture
async def alice(server: InProcessServer) -> InProcessPeer:
    """A live session of the owner."""
    return await enter(server, "alice")


@pytest.fixture
async def bob(server: InProcessServer) -> InProcessPeer:
    """A live session of the member."""
    return await enter(server, "bob")


async def enter(server: InProcessServer, user: str) -> InProcessPeer:
    """Log a user in, without positions."""
    connected = await server.visitor(user)
    connected.send(frames.Resume([]))
    await server.settle()
    return connected


async def answer(
    server: InProcessServer, peer: InProcessPeer, sent: frames.ClientFrame
) -> tuple[str, float | None]:
    """Send a frame; return the code of its refusal, or the type of its answer, and the time to wait."""
    peer.frames.clear()
    peer.send(sent)
    await server.settle()
    kinds = frames.ChatAck | frames.ChatNack | frames.RoomAck | frames.Error
    (frame,) = (each for each in peer.frames if isinstance(each, kinds))
    if isinstance(frame, frames.ChatNack):
        return str(frame.code), frame.retry_after
    return str(frame.code) if isinstance(frame, frames.Error) else frame.type, None


def chat() -> frames.SendChat:
    """Make a message to #dev."""
    return frames.SendChat("#dev", "hello", make_id())


async def test_a_ban_ends_on_time(
    server: InProcessServer, clock: ManualClock, alice: InProcessPeer, bob: InProcessPeer
) -> None:
    """Until the last millisecond of a ban its user can neither be invited nor join; then both."""
    ban = frames.RoomRequest("ban", "#dev", user="bob", seconds=600)
    assert await answer(server, alice, ban) == ("room_ack", None)
    clock.wind(599.999)
    assert await answer(server, bob, frames.Join("#dev")) == ("banned", None)
    invite = frames.RoomRequest("invite", "#dev", user="bob")
    assert await answer(server, alice, invite) == ("banned", None)
    clock.wind(0.001)
    assert await answer(server, alice, invite) == ("room_ack", None)
    assert await answer(server, bob, frames.Join("#dev")) == ("room_ack", None)


async def test_a_mute_ends_on_time(
    server: InProcessServer, clock: ManualClock, alice: InProcessPeer, bob: InProcessPeer
) -> None:
    """A mute ends to the millisecond, survives leaving, and each refusal has the time left."""
    assert await answer(server, bob, chat()) == ("chat_ack", None)
    mute = frames.RoomRequest("mute", "#dev", user="bob", seconds=600)
    assert await answer(server, alice, mute) == ("room_ack", None)
    for left_s in (600.0, 599.0):
        for sent in (
            chat(),
            frames.SendEdit("#dev", 1, "x", make_id()),
            frames.SendRedaction("#dev", 1, make_id()),
            frames.SendReaction("#dev", 1, "+1", make_id()),
        ):
            assert await answer(server, bob, sent) == ("muted", left_s)
        clock.wind(1)
    assert await answer(server, bob, frames.Leave("#dev")) == ("room_ack", None)
    assert await answer(server, bob, frames.Join("#dev")) == ("room_ack", None)
    clock.wind(597.999)
    assert await answer(server, bob, chat()) == ("muted", 0.001)
    clock.wind(0.001)
    assert await answer(server, bob, chat()) == ("chat_ack", None)


async def test_slow_mode_ends_on_time(
    server: InProcessServer, clock: ManualClock, alice: InProcessPeer, bob: InProcessPeer
) -> None:
    """Slow mode allows the next message on time; refused messages do not extend it."""
    slow = frames.RoomRequest("set", "#dev", seconds=60)
    assert await answer(server, alice, slow) == ("room_ack", None)
    for _ in range(2):
        assert await answer(server, bob, chat()) == ("chat_ack", None)
        clock.wind(59)
        assert await answer(server, bob, chat()) == ("slow_mode", 1.0)
        assert await answer(server, alice, chat()) == ("chat_ack", None)
        clock.wind(1)


async def test_an_edit_can_be_too_late(
    server: InProcessServer, clock: ManualClock, alice: InProcessPeer
) -> None:
    """The limit for edits counts from the message, not its last edit; redactions have no limit."""
    assert await answer(server, alice, chat()) == ("chat_ack", None)
    clock.wind(EDIT_WITHIN_S - 0.001)
    edit = frames.SendEdit("#dev", 1, "just in time", make_id())
    assert await answer(server, alice, edit) == ("chat_ack", None)
    clock.wind(0.001)
    late = frames.SendEdit("#dev", 1, "too late", make_id())
    assert await answer(server, alice, late) == ("too_late", None)
    redaction = frames.SendRedaction("#dev", 1, make_id())
    assert await answer(server, alice, redaction) == ("chat_ack", None)
