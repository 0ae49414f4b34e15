"""Replay with long reads: commits and publications at any point of a read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscp import frames
from qscp.rooms import HistoryFrom
from qscpd.store.sqlite.store import SqliteStore
from tests.support.device import Device
from tests.support.gated_reader import BEFORE, INSIDE
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.stores import add_room
from tests.support.waiting import until

BOB = 2
PAIR, ROOM = 1, 2
"""Conversations."""

JOIN, LEAVE = frames.Join("#dev"), frames.Leave("#dev")

AT_A_READ = pytest.mark.parametrize("method", ["conversations", "replay_page"])
AT_A_POINT = pytest.mark.parametrize("point", [BEFORE, INSIDE])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A daemon without a network, for alice and bob."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob")
    store = SqliteStore(tmp_path / "qscpd.db")
    async with InProcessServer(store) as opened:
        yield opened


@pytest.fixture
async def alice(server: InProcessServer) -> InProcessPeer:
    """A session of alice, who has sent three messages to bob and owns the room `#dev`."""
    device = Device("alice", device_id(1), IdMaker(1))
    alice = await server.login(device)
    alice.send(*(each for n in range(3) for each in device.send("bob", f"number {n}")))
    await server.settle()
    await server.writer.perform(lambda store: add_room(store, "#dev", "alice", history=HistoryFrom.FULL))
    with server.reader() as reader:
        server.router.rooms.load(reader.find_room("#dev"), reader.memberships(ROOM))
    return alice


@pytest.fixture
async def moving(server: InProcessServer, alice: InProcessPeer) -> list[InProcessPeer]:
    """Two sessions of bob, which join and leave the room."""
    del alice
    return [await server.visitor("bob"), await server.visitor("bob")]


def say(alice: InProcessPeer, to: str) -> None:
    """Send a message of alice."""
    assert isinstance(alice.device, Device)
    alice.send(*alice.device.send(to, "one more"))


async def move(
    server: InProcessServer, alice: InProcessPeer, moving: list[InProcessPeer], *moves: frames.ClientFrame
) -> None:
    """Let bob join and leave in turn, and alice send a message to the room after each."""
    for each in moves:
        moving[0].send(each)
        await server.settle()
        say(alice, "#dev")
        await server.settle()


async def stop_at(
    server: InProcessServer, point: str, method: str, pair: int = 0, room: int | None = None
) -> InProcessPeer:
    """Open another session of bob, resume with positions, and stop its replay at a read."""
    bob = await server.visitor("bob")
    bob.frames.clear()
    server.gate.close(point, method)
    positions = [frames.Position(f"c{PAIR}", pair)]
    if room is not None:
        positions.append(frames.Position(f"c{ROOM}", room))
    bob.send(frames.Resume(positions))
    await server.gate.stopped()
    return bob


def received(bob: InProcessPeer, conversation: int) -> list[str]:
    """Return the frames of a conversation in short form, live and replayed messages alike."""
    short = []
    for frame in bob.frames:
        match frame:
            case frames.RoomChanged():
                short.append("in")
            case frames.RoomLeft():
                short.append("out")
            case frames.Chat() if frame.conversation == f"c{conversation}":
                short.append(str(frame.seq))
            case frames.Gap() if frame.conversation == f"c{conversation}":
                short.append(f"{frame.first}-{frame.last} {frame.reason}")
            case frames.Resumed():
                short.append("resumed")
            case _:
                pass
    return short


# --- messages


@AT_A_READ
@AT_A_POINT
async def test_a_message_stored_during_a_read_is_sent_once(
    server: InProcessServer, alice: InProcessPeer, method: str, point: str
) -> None:
    """A message that is stored during a read is sent once, in order, before the session is live."""
    bob = await stop_at(server, point, method)
    for _ in range(2):
        say(alice, "bob")
    await server.settle()
    server.gate.open()
    await server.settle()
    assert received(bob, PAIR) == ["1", "2", "3", "4", "5", "resumed"]
    say(alice, "bob")
    await server.settle()
    assert received(bob, PAIR)[-1] == "6"


@AT_A_READ
async def test_a_message_is_not_sent_before_it_is_published(
    server: InProcessServer, alice: InProcessPeer, method: str
) -> None:
    """A message in the snapshot that is not published yet waits for its publication, and is sent once."""
    bob = await stop_at(server, BEFORE, method)
    with server.unpublished(), server.reader() as reader:
        say(alice, "bob")
        await until(lambda: reader.conversations(BOB)[0].last_seq == 4)
        server.gate.open()
        await until(lambda: not server.reads.in_flight)
        bob.take()
        assert "4" not in received(bob, PAIR)
    await server.settle()
    assert received(bob, PAIR) == ["1", "2", "3", "4", "resumed"]


async def test_a_conversation_that_begins_during_a_read(
    server: InProcessServer, alice: InProcessPeer
) -> None:
    """A conversation that begins during the read of the list is buffered, whatever the position."""
    del alice
    carol = await server.writer.perform(lambda store: store.add_account("carol", "x"))
    server.router.directory.update(carol)
    bob = await stop_at(server, INSIDE, "conversations", pair=3)
    sender = await server.visitor("carol")
    sender.send(*(frames.SendChat("bob", "hello", f"{n:032x}") for n in range(2)))
    await server.settle()
    server.gate.open()
    await server.settle()
    assert received(bob, 3) == ["1", "2", "resumed"]


# --- rooms joined and left while the list of conversations is read


@AT_A_POINT
@pytest.mark.parametrize(
    ("before", "moves", "position", "expected"),
    [
        ([], [JOIN], None, ["in", "1", "resumed"]),
        ([], [JOIN, LEAVE], None, ["in", "out", "resumed"]),
        ([JOIN], [LEAVE], None, ["out", "resumed"]),
        ([JOIN], [LEAVE], 1, ["out", "resumed"]),
        ([JOIN], [LEAVE, JOIN], None, ["out", "in", "3", "resumed"]),
        ([JOIN], [LEAVE, JOIN], 1, ["out", "in", "3", "resumed"]),
        ([JOIN], [LEAVE, JOIN, LEAVE, JOIN], 1, ["out", "in", "out", "in", "5", "resumed"]),
        ([JOIN, LEAVE], [JOIN], 1, ["1-1 ahead", "in", "3", "resumed"]),
        ([JOIN, LEAVE], [], 1, ["1-1 ahead", "resumed"]),
        ([JOIN], [], None, ["1", "resumed"]),
    ],
)
async def test_joining_and_leaving_while_the_list_is_read(
    server: InProcessServer,
    alice: InProcessPeer,
    moving: list[InProcessPeer],
    point: str,
    before: list[frames.ClientFrame],
    moves: list[frames.ClientFrame],
    position: int | None,
    expected: list[str],
) -> None:
    """A room that was joined or left during the read of the list is replayed by its new membership."""
    await move(server, alice, moving, *before)
    bob = await stop_at(server, point, "conversations", room=position)
    await move(server, alice, moving, *moves)
    server.gate.open()
    await server.settle()
    assert received(bob, ROOM) == expected


async def test_a_listed_room_is_not_replayed_before_its_joining_is_published(
    server: InProcessServer, alice: InProcessPeer, moving: list[InProcessPeer]
) -> None:
    """If the list has a room whose joining is not published yet, `room` is sent first."""
    bob = await stop_at(server, BEFORE, "conversations")
    with server.unpublished(), server.reader() as reader:
        moving[0].send(JOIN)
        await until(lambda: reader.memberships(ROOM).get(BOB))
        say(alice, "#dev")
        await until(lambda: reader.conversations(BOB)[-1].last_seq == 1)
        server.gate.open()
        await until(lambda: not server.reads.in_flight)
        bob.take()
        assert received(bob, ROOM) == []
    await server.settle()
    assert received(bob, ROOM) == ["in", "1", "resumed"]


async def test_a_room_with_an_unpublished_leave_is_not_ahead(
    server: InProcessServer, alice: InProcessPeer, moving: list[InProcessPeer]
) -> None:
    """A position in a room whose leaving is not published yet gets `room_left` and no gap."""
    await move(server, alice, moving, JOIN)
    bob = await stop_at(server, BEFORE, "conversations", room=1)
    with server.unpublished(), server.reader() as reader:
        moving[0].send(LEAVE)
        await until(lambda: not reader.memberships(ROOM).get(BOB))
        server.gate.open()
        await until(lambda: not server.reads.in_flight)
        bob.take()
        assert received(bob, ROOM) == []
    await server.settle()
    assert received(bob, ROOM) == ["out", "resumed"]


@pytest.mark.parametrize(
    ("before", "moves", "expected"),
    [
        ([JOIN], [LEAVE], ["out", "resumed"]),
        ([JOIN], [LEAVE, JOIN], ["out", "in", "3", "resumed"]),
        ([JOIN, LEAVE], [JOIN], ["in", "3", "resumed"]),
    ],
)
async def test_joining_and_leaving_between_resume_frames(
    server: InProcessServer,
    alice: InProcessPeer,
    moving: list[InProcessPeer],
    before: list[frames.ClientFrame],
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """A position in a room that was joined or left since the first `resume` frame is ignored."""
    await move(server, alice, moving, *before)
    bob = await server.visitor("bob")
    bob.frames.clear()
    bob.send(frames.Resume([], more=True))
    await move(server, alice, moving, *moves)
    bob.send(frames.Resume([frames.Position(f"c{ROOM}", 1)]))
    await server.settle()
    assert received(bob, ROOM) == expected


# --- rooms left and joined while a page is read


@AT_A_POINT
@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([LEAVE], ["out", "resumed"]),
        ([LEAVE, JOIN], ["out", "in", "3", "resumed"]),
        ([LEAVE, JOIN, LEAVE], ["out", "in", "out", "resumed"]),
        ([LEAVE, JOIN, LEAVE, JOIN], ["out", "in", "out", "in", "5", "resumed"]),
    ],
)
async def test_joining_and_leaving_while_a_page_is_read(
    server: InProcessServer,
    alice: InProcessPeer,
    moving: list[InProcessPeer],
    point: str,
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """A page of a room that was left meanwhile is dropped; rejoining continues at the `room` frame's seq."""
    await move(server, alice, moving, JOIN)
    bob = await stop_at(server, point, "replay_page", pair=3, room=0)
    await move(server, alice, moving, *moves)
    server.gate.open()
    await server.settle()
    assert received(bob, ROOM) == expected


@pytest.mark.parametrize("joins", [False, True])
async def test_a_page_waits_for_earlier_changes_of_membership(
    server: InProcessServer, alice: InProcessPeer, moving: list[InProcessPeer], *, joins: bool
) -> None:
    """A page that is newer than the published membership is not sent before that is published."""
    await move(server, alice, moving, JOIN)
    bob = await stop_at(server, BEFORE, "replay_page", pair=3, room=0)
    with server.unpublished(), server.reader() as reader:
        moving[0].send(LEAVE)
        await until(lambda: not reader.memberships(ROOM).get(BOB))
        if joins:
            moving[1].send(JOIN)
            await until(lambda: reader.memberships(ROOM).get(BOB))
            say(alice, "#dev")
            await until(lambda: reader.conversations(BOB)[-1].last_seq == 2)
        server.gate.open()
        await until(lambda: not server.reads.in_flight)
        bob.take()
        assert received(bob, ROOM) == []
    await server.settle()
    assert received(bob, ROOM) == (["out", "in", "2", "resumed"] if joins else ["out", "resumed"])


# --- the end


@AT_A_READ
@AT_A_POINT
async def test_losing_a_session_during_a_read(
    server: InProcessServer, alice: InProcessPeer, method: str, point: str
) -> None:
    """When a session is lost during a read, its replay ends with the read and sends nothing."""
    del alice
    bob = await stop_at(server, point, method)
    bob.lose()
    server.gate.open()
    await server.settle()
    assert not server.tasks._tasks
    assert received(bob, PAIR) == []
