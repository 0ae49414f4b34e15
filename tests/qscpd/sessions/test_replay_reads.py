"""Replay while its reads take long: everything that can be committed or published meanwhile."""

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
    """A daemon without a network, for alice and bob, who have a conversation; alice has the room `#dev`."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob")
    store = SqliteStore(tmp_path / "qscpd.db")
    async with InProcessServer(store) as opened:
        yield opened


@pytest.fixture
async def alice(server: InProcessServer) -> InProcessPeer:
    """Alice, who has written three messages to bob and made the room."""
    device = Device("alice", device_id(1), IdMaker(1))
    alice = await server.login(device)
    alice.send(*(each for n in range(3) for each in device.send("bob", f"number {n}")))
    await server.settle()
    await server.writer.perform(lambda store: add_room(store, "#dev", "alice", history=HistoryFrom.FULL))
    server.router.rooms.load(server.store.find_room("#dev"), server.store.memberships(ROOM))
    return alice


@pytest.fixture
async def moving(server: InProcessServer, alice: InProcessPeer) -> list[InProcessPeer]:
    """Two sessions of bob that join and leave the room, in turn."""
    del alice
    return [await server.visitor("bob"), await server.visitor("bob")]


def say(alice: InProcessPeer, to: str) -> None:
    """Let alice write one more message."""
    assert alice.device is not None
    alice.send(*alice.device.send(to, "one more"))


async def move(
    server: InProcessServer, alice: InProcessPeer, moving: list[InProcessPeer], *moves: frames.ClientFrame
) -> None:
    """Let bob join and leave, and alice write in the room after each of it."""
    for each in moves:
        moving[0].send(each)
        await server.settle()
        say(alice, "#dev")
        await server.settle()


async def hold(
    server: InProcessServer, point: str, method: str, pair: int = 0, room: int | None = None
) -> InProcessPeer:
    """Log bob in once more, and stop his replay at a read; he has positions in both conversations."""
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
    """Return what came of a conversation, in short; whether a message is live does not matter."""
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
async def test_a_message_that_comes_during_a_read_is_sent_once(
    server: InProcessServer, alice: InProcessPeer, method: str, point: str
) -> None:
    """Whether the snapshot has it or not: in its place, and before the session is live."""
    bob = await hold(server, point, method)
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
    """A snapshot can have what the loop does not know yet; it is not delivered live after its replay."""
    bob = await hold(server, BEFORE, method)
    with server.unpublished(), server.reader() as reader:
        say(alice, "bob")
        await until(lambda: reader.conversations(BOB)[0].last_seq == 4)
        server.gate.open()
        await until(lambda: not server.reads.in_flight)
        bob.take()
        assert "4" not in received(bob, PAIR)
    await server.settle()
    assert received(bob, PAIR) == ["1", "2", "3", "4", "resumed"]


async def test_the_first_message_of_a_conversation(server: InProcessServer, alice: InProcessPeer) -> None:
    """One that did not exist when the list was read is buffered as a whole."""
    del alice
    carol = await server.writer.perform(lambda store: store.add_account("carol", "x"))
    server.router.directory.update(carol)
    bob = await hold(server, INSIDE, "conversations", pair=3)
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
async def test_who_moves_while_the_list_is_read(
    server: InProcessServer,
    alice: InProcessPeer,
    moving: list[InProcessPeer],
    point: str,
    before: list[frames.ClientFrame],
    moves: list[frames.ClientFrame],
    position: int | None,
    expected: list[str],
) -> None:
    """The list says nothing of a room that was joined or left since it was asked for."""
    await move(server, alice, moving, *before)
    bob = await hold(server, point, "conversations", room=position)
    await move(server, alice, moving, *moves)
    server.gate.open()
    await server.settle()
    assert received(bob, ROOM) == expected


async def test_a_listed_room_is_not_replayed_before_its_joining_is_published(
    server: InProcessServer, alice: InProcessPeer, moving: list[InProcessPeer]
) -> None:
    """The list is newer than what the session knows: `room` comes first."""
    bob = await hold(server, BEFORE, "conversations")
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


async def test_a_room_that_is_not_listed_any_more_is_not_ahead(
    server: InProcessServer, alice: InProcessPeer, moving: list[InProcessPeer]
) -> None:
    """Its position is no gap: `room_left` is about to come."""
    await move(server, alice, moving, JOIN)
    bob = await hold(server, BEFORE, "conversations", room=1)
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
async def test_who_moves_while_positions_come_in(
    server: InProcessServer,
    alice: InProcessPeer,
    moving: list[InProcessPeer],
    before: list[frames.ClientFrame],
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """A position in the room that comes after that is void: the device has been notified meanwhile."""
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
async def test_who_moves_while_a_page_is_read(
    server: InProcessServer,
    alice: InProcessPeer,
    moving: list[InProcessPeer],
    point: str,
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """No page of a room that was left meanwhile is sent; after joining again, it begins where `room` says."""
    await move(server, alice, moving, JOIN)
    bob = await hold(server, point, "replay_page", pair=3, room=0)
    await move(server, alice, moving, *moves)
    server.gate.open()
    await server.settle()
    assert received(bob, ROOM) == expected


@pytest.mark.parametrize("joins", [False, True])
async def test_a_page_waits_until_moves_before_it_are_published(
    server: InProcessServer, alice: InProcessPeer, moving: list[InProcessPeer], *, joins: bool
) -> None:
    """The page is of a membership that the session knows nothing of yet, or of none."""
    await move(server, alice, moving, JOIN)
    bob = await hold(server, BEFORE, "replay_page", pair=3, room=0)
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
async def test_a_session_that_is_lost_during_a_read(
    server: InProcessServer, alice: InProcessPeer, method: str, point: str
) -> None:
    """Its replay ends with the read, and sends nothing."""
    del alice
    bob = await hold(server, point, method)
    bob.lose()
    server.gate.open()
    await server.settle()
    assert not server.tasks._tasks
    assert received(bob, PAIR) == []
