"""Bounded output: whatever is sent to a peer that does not read, its queue stays small, and it catches up."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp.features import BLOCK, READ_RECEIPTS, TYPING
from qscp.rooms import HistoryFrom
from qscpd.config import Config
from qscpd.domain.rooms import RoomChange
from qscpd.sessions import catch_up
from qscpd.sessions.session import Session
from qscpd.store.sqlite.store import SqliteStore
from tests.support.device import Device
from tests.support.ids import IdMaker
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.limits import NO_RATES
from tests.support.stores import add_room

LIMIT = 2000
"""Bytes of output that are queued for a session."""

ONE_MORE = 1000
"""A line that is queued when the limit is not reached yet."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A server with four users and a room of alice and bob, that queues little output."""
    path = tmp_path / "qscpd.db"
    make_accounts(path, "alice", "bob", "carol", "dave")
    store = SqliteStore(path)
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.FULL)
    config = Config(limits=replace(NO_RATES, output_queue_bytes=LIMIT))
    async with InProcessServer(store, config=config) as made:
        yield made


async def live(server: InProcessServer, user: str) -> InProcessPeer:
    """Log in a user whose session is live."""
    peer = server.connect()
    features = [TYPING, READ_RECEIPTS, BLOCK]
    peer.send(frames.Auth(user=user, password="x", features=features), frames.Resume([]))
    await server.settle()
    assert "resumed" in peer.kinds()
    return peer


async def stop_reading(server: InProcessServer, peer: InProcessPeer) -> None:
    """Let a peer read nothing from now on."""
    await server.settle()
    peer.frames.clear()
    peer.link.congested = True


async def read_on(server: InProcessServer, peer: InProcessPeer) -> list[frames.ServerFrame]:
    """Let a peer read everything; return it, without presence."""
    peer.link.congested = False
    peer.session.writable()
    await server.settle()
    return [each for each in peer.frames if not isinstance(each, frames.OnlineUsers | frames.PresenceChanges)]


def queued(session: Session) -> int:
    """Return the bytes in a session's queue."""
    return session.outbound._size


def write(peer: InProcessPeer, to: str, count: int, maker: IdMaker) -> None:
    """Send some messages."""
    peer.send(*(frames.SendChat(to, f"message {n}", maker()) for n in range(count)))


def seqs(got: list[frames.ServerFrame], conversation: str) -> list[int]:
    """Return the seqs of messages in a conversation."""
    return [each.seq for each in got if isinstance(each, frames.Chat) and each.conversation == conversation]


async def test_messages_wait_in_the_store(server: InProcessServer) -> None:
    """Messages to a peer that does not read are not queued without a bound; all come later, as new ones."""
    alice, bob = await live(server, "alice"), await live(server, "bob")
    await stop_reading(server, bob)
    maker = IdMaker(1)
    for _ in range(20):
        write(alice, "bob", 20, maker)
        write(alice, "#dev", 20, maker)
        await server.settle()
        assert queued(bob.session) < LIMIT + ONE_MORE
    got = await read_on(server, bob)
    assert seqs(got, "c2") == [*range(1, 401)]
    assert seqs(got, "c1") == [*range(1, 401)]
    assert {each.origin for each in got if isinstance(each, frames.Chat)} == {"live"}
    assert "resumed" not in [each.type for each in got]
    assert (bob.session.outbound.live, bob.session.outbound.backlog) == (True, None)
    write(alice, "bob", 1, maker)
    await server.settle()
    assert seqs(bob.frames, "c2")[-1] == 401


async def test_an_ack_does_not_overtake_messages(server: InProcessServer) -> None:
    """The ack of an own message says `repeated` if earlier ones wait, and the message comes at its place."""
    alice, bob = await live(server, "alice"), await live(server, "bob")
    await stop_reading(server, bob)
    write(alice, "#dev", 30, IdMaker(1))
    await server.settle()
    write(bob, "#dev", 1, own := IdMaker(2))
    write(bob, "carol", 1, own)
    await server.settle()
    got = await read_on(server, bob)
    acks = [(each.conversation, each.seq, each.repeated) for each in got if isinstance(each, frames.ChatAck)]
    # The ack in c1 waits while a page of that conversation is read; nothing holds the other one back.
    assert sorted(acks) == [("c1", 31, True), ("c2", 1, False)]
    assert seqs(got, "c1") == [*range(1, 32)]
    assert seqs(got, "c2") == []


async def test_an_own_message_among_dropped_ones_is_sent(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An own message whose ack overtook others comes, also when the buffer of the others overflows later."""
    monkeypatch.setattr(catch_up, "_PAGE", 1)
    monkeypatch.setattr(catch_up, "_BUFFER_BYTES", 3000)
    alice, bob = await live(server, "alice"), await live(server, "bob")
    await stop_reading(server, bob)
    maker = IdMaker(1)
    write(alice, "carol", 1, maker)
    write(alice, "bob", 15, maker)  # fills the queue
    await server.settle()
    write(alice, "#dev", 2, maker)
    await server.settle()
    write(bob, "#dev", 1, IdMaker(2))
    await server.settle()
    write(alice, "bob", 30, maker)  # fills the buffer
    await server.settle()
    assert seqs(await read_on(server, bob), "c1") == [1, 2, 3]


async def positions(server: InProcessServer, alice: InProcessPeer) -> None:
    """Move positions of alice and of others."""
    for seq in range(1, 40):
        alice.send(frames.Received("c2", seq), frames.ClientRead("c2", seq), frames.ClientRead("c1", seq))
        await server.settle()


async def settings(server: InProcessServer, alice: InProcessPeer) -> None:
    """Mute and unmute bob again and again."""
    for n in range(30):
        alice.send(frames.RoomRequest("unmute" if n % 2 else "mute", "#dev", user="bob"))
        await server.settle()


async def memberships(server: InProcessServer, alice: InProcessPeer) -> None:
    """Let bob leave and join again and again, at last out."""
    del alice
    for n in range(31):
        await server.writer.change_room(RoomChange(action="join" if n % 2 else "leave", room="#dev", actor=2))
        await server.settle()


async def invitations(server: InProcessServer, alice: InProcessPeer) -> None:
    """Make rooms, and invite bob into each."""
    for n in range(15):
        alice.send(frames.RoomRequest("create", f"#r{n}"))
        alice.send(frames.RoomRequest("invite", f"#r{n}", user="bob"))
        await server.settle()


async def blocks(server: InProcessServer, alice: InProcessPeer) -> None:
    """Let another device of bob block and unblock users again and again."""
    del alice
    other = await live(server, "bob")
    for n in range(31):
        other.send(frames.Unblock("carol") if n % 2 else frames.Block("carol"))
        await server.settle()


async def indicators(server: InProcessServer, alice: InProcessPeer) -> None:
    """Type a message for a long time."""
    for _ in range(60):
        alice.session.typed = float("-inf")
        alice.send(frames.SetTyping("bob"))
        await server.settle()


Cause = Callable[[InProcessServer, InProcessPeer], Awaitable[None]]


@pytest.mark.parametrize("cause", [positions, settings, memberships, invitations, blocks, indicators])
async def test_states_are_bounded(server: InProcessServer, cause: Cause) -> None:
    """Frames of each kind that nobody asked for are bounded; the newest states come when the peer reads."""
    alice, bob = await live(server, "alice"), await live(server, "bob")
    write(bob, "alice", 40, IdMaker(2))
    await stop_reading(server, bob)
    write(alice, "#dev", 40, IdMaker(1))
    await server.settle()
    await cause(server, alice)
    assert queued(bob.session) < LIMIT + ONE_MORE
    got = await read_on(server, bob)
    match cause.__name__:
        case "positions":
            assert [each for each in got if isinstance(each, frames.Delivered)][-1].seq == 39
            assert [each for each in got if isinstance(each, frames.ServerRead)][-1].seq == 39
        case "settings":
            rooms = [each for each in got if isinstance(each, frames.RoomChanged)]
            assert rooms[-1].room == server.router.rooms.by_name("#dev").described(2)  # type: ignore[union-attr]
        case "memberships":
            kinds = [each.type for each in got if isinstance(each, frames.RoomChanged | frames.RoomLeft)]
            assert kinds[-1] == "room_left"
            assert got.index(next(each for each in reversed(got) if each.type == "room_left")) > max(
                (n for n, each in enumerate(got) if isinstance(each, frames.Chat) and each.to == "#dev"),
                default=-1,
            )
        case "invitations":
            invited = {each.room.name for each in got if isinstance(each, frames.Invited)}
            assert invited == {each.room.name for each in server.router.rooms.invitations(2)} != set()
        case "blocks":
            assert [each for each in got if isinstance(each, frames.BlockChanged)][-1].removed is False
        case _:
            assert [each for each in got if isinstance(each, frames.Typing)] == []
    assert bob.session.outbound.postponed is None
    assert bob.session.outbound.live


async def test_leaving_and_joining_again_begins_anew(server: InProcessServer) -> None:
    """After leaving and joining while the queue was full: `room_left`, `room`, and what came after that."""
    alice, bob = await live(server, "alice"), await live(server, "bob")
    await stop_reading(server, bob)
    write(alice, "#dev", 40, maker := IdMaker(1))
    await server.settle()
    for action in ("leave", "join"):
        await server.writer.change_room(RoomChange(action=action, room="#dev", actor=2))
        await server.settle()
        write(alice, "#dev", 5, maker)
        await server.settle()
    got = [
        (each.type, each.seq if isinstance(each, frames.Chat) else getattr(each, "last_seq", 0))
        for each in await read_on(server, bob)
        if isinstance(each, frames.Chat | frames.RoomLeft | frames.RoomChanged)
    ]
    left = got.index(("room_left", 0))
    assert got[left + 1 :] == [("room", 45), *(("chat", seq) for seq in range(46, 51))]


async def test_a_peer_that_does_not_read_its_answers_is_not_read(server: InProcessServer) -> None:
    """Above the limit of output nothing more is read from the peer; all is answered when it reads."""
    bob = await live(server, "bob")
    await stop_reading(server, bob)
    for _ in range(100):
        bob.send(*(frames.WhoisRequest("carol") for _ in range(10)))
        await server.settle()
    assert queued(bob.session) < LIMIT + ONE_MORE
    assert not bob.link.reading
    got = await read_on(server, bob)
    assert [each.type for each in got] == ["whois"] * 1000
    assert bob.link.reading


async def test_presence_is_replaced_by_a_snapshot(server: InProcessServer) -> None:
    """A peer that does not read gets the presence of all others when it reads again."""
    bob = await live(server, "bob")
    await stop_reading(server, bob)
    bob.session.outbound.send_presence([b"x"])
    await live(server, "carol")
    assert queued(bob.session) == 0
    await read_on(server, bob)
    (snapshot,) = [each for each in bob.frames if isinstance(each, frames.OnlineUsers)]
    assert [user.user for user in snapshot.users] == ["carol"]


async def test_the_last_frame_comes_after_what_is_queued(server: InProcessServer) -> None:
    """A session that ends with a full queue sends it, as the peer takes it, and then `bye`."""
    alice, bob = await live(server, "alice"), await live(server, "bob")
    await stop_reading(server, bob)
    write(alice, "bob", 40, IdMaker(1))
    await server.settle()
    bob.session.close(ErrorCode.LOCKED)
    assert (bob.link.ended, bob.link.written) == ("", [])
    got = await read_on(server, bob)
    assert seqs(got, "c2") == [*range(1, len(got))]
    assert got[-1].type == "bye"
    assert bob.link.ended == "locked"


async def test_a_device_that_reads_slowly_applies_everything(server: InProcessServer) -> None:
    """A device that reads page by page applies all messages once and in order."""
    alice = await live(server, "alice")
    device = Device("bob", "")
    bob = await server.login(device)
    await server.settle()
    bob.link.page_by_page = bob.link.congested = True
    maker = IdMaker(1)
    for _ in range(20):
        write(alice, "bob", 20, maker)
        await server.settle()
        bob.take()
        bob.link.congested = False
        bob.session.writable()
    bob.link.page_by_page = False
    await read_on(server, bob)
    assert [each.seq for each in device.log.applied["c2"]] == [*range(1, 401)]
