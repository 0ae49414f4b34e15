"""Corner cases of rooms across the daemon: order, ends of sessions, and what must stay hidden."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from qscp import codec, frames
from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom, RoomKind
from qscpd.admin import DeleteRoom, DeleteUser, Done
from qscpd.admin.live import LiveAdmin
from qscpd.chat.submission import _Gate
from qscpd.domain.model import Keep, RoomResult
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreBusyError, StoreError
from qscpd.sessions import requests
from qscpd.store.base import Store
from tests.support.gated_reader import BEFORE
from tests.support.ids import IdMaker
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.stores import FailingStore, add_room
from tests.support.waiting import PATIENCE_S, patiently, until

make_id = IdMaker()

DEV = 1
"""The conversation of #dev."""


class DeniedStore(FailingStore):
    """A store that refuses changes of rooms whenever it refuses messages."""

    def change_rooms(self, changes: Sequence[RoomChange]) -> Sequence[RoomResult | DeniedError]:
        """Change rooms, or not."""
        if self.busy:
            raise StoreBusyError("locked by another program")
        result = super().change_rooms(changes)
        if self.broken:
            raise StoreError("disk I/O error")
        return result


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A daemon without a network, for alice, bob and carol; alice and bob are in #dev."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob", "carol")
    store = DeniedStore(tmp_path / "qscpd.db")
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.JOINING)
    async with InProcessServer(store) as opened:
        yield opened


async def enter(server: InProcessServer, user: str) -> InProcessPeer:
    """Log a user in who keeps nothing and is live; what they received up to then is dropped."""
    connected = await server.visitor(user)
    connected.send(frames.Resume([]))
    await server.settle()
    connected.frames.clear()
    return connected


async def answered(server: InProcessServer, connected: InProcessPeer, *sent: frames.ClientFrame) -> list[str]:
    """Send something and return in short what comes back."""
    connected.frames.clear()
    connected.send(*sent)
    await server.settle()
    return [short(frame) for frame in connected.frames if not isinstance(frame, frames.MembersChanged)]


def fill_disk(server: InProcessServer, *, full: bool) -> None:
    """Let there be no room, or room again."""
    assert isinstance(server.store, FailingStore)
    server.store.full = full


def cool_down(server: InProcessServer) -> None:
    """Let the gate of #dev be closed, as after a fan-out that took long."""
    gate = server.router.submissions._gates[DEV] = _Gate()
    gate.closed = True


def end_cooldown(server: InProcessServer) -> None:
    """Open the gate of #dev."""
    server.router.submissions._open(DEV)


def short(frame: frames.ServerFrame) -> str:
    """A frame in one or two words."""
    if isinstance(frame, frames.ChatNack | frames.Error):
        return str(frame.code)
    return frame.type


def chat(to: str, body: str = "hello") -> frames.SendChat:
    """Make a message."""
    return frames.SendChat(to, body, make_id())


# --- order


async def test_messages_on_their_way_do_not_overtake_a_refused_one(server: InProcessServer) -> None:
    """When the link breaks in a cooldown, waiting messages are not stored before the one refused earlier."""
    bob = await enter(server, "bob")
    first, second = chat("#dev", "first"), chat("#dev", "second")
    fill_disk(server, full=True)
    assert await answered(server, bob, first) == ["storage_full"]
    cool_down(server)
    bob.send(second)
    bob.lose()
    fill_disk(server, full=False)
    await server.settle()
    end_cooldown(server)
    await server.settle()
    again = await enter(server, "bob")
    assert await answered(server, again, first, second) == ["chat_ack", "chat_ack"]
    acks = [(frame.id, frame.seq) for frame in again.frames if isinstance(frame, frames.ChatAck)]
    assert acks == [(first.id, 1), (second.id, 2)]


@pytest.mark.parametrize("to", ["alice", "#dev"])
async def test_an_ended_session_is_not_waited_for(server: InProcessServer, to: str) -> None:
    """What is refused after its session has ended is not blocked for ever."""
    bob = await enter(server, "bob")
    fill_disk(server, full=True)
    bob.send(chat(to))
    bob.lose()
    await server.settle()
    assert not server.writer._order.blocked


async def test_a_change_of_one_room_flushes_no_other(server: InProcessServer) -> None:
    """What is written in a room is stored before a change of it; joining another room changes nothing."""
    alice, bob, carol = [await enter(server, user) for user in ("alice", "bob", "carol")]
    assert await answered(server, carol, frames.RoomRequest("create", "#tea")) == ["room", "room_ack"]
    cool_down(server)
    bob.send(chat("#dev"))
    assert await answered(server, alice, frames.Join("#tea")) == ["room", "room_ack"]
    assert bob.kinds() == []
    assert await answered(server, bob, frames.Leave("#dev")) == ["chat_ack", "room_left", "room_ack"]


async def test_a_request_whose_turn_comes_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that waits for a slot, and whose link breaks meanwhile, is not carried out."""
    monkeypatch.setattr(requests, "_AT_ONCE", 1)
    make_accounts(tmp_path / "other.db", "alice", "bob")
    store = FailingStore(tmp_path / "other.db")
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.JOINING)
    async with InProcessServer(store) as server:
        alice, bob = await enter(server, "alice"), await enter(server, "bob")
        busy = threading.Event()
        held = asyncio.create_task(server.writer.perform(lambda _: busy.wait()))
        alice.send(frames.ConversationsRequest())
        await asyncio.sleep(0)
        bob.send(frames.Leave("#dev"))
        await asyncio.sleep(0)
        bob.lose()
        busy.set()
        await held
        await server.settle()
        assert alice.kinds() == ["conversations"]
        assert [each.row.name for each in server.router.rooms.of(2)] == ["#dev"]


# --- requests at the end of the input


async def test_a_request_is_answered_before_what_comes_after_it(server: InProcessServer) -> None:
    """Also when the stream ends at once: a user who joins and writes has joined when it is stored."""
    carol = await enter(server, "carol")
    sent: Sequence[frames.ClientFrame] = (chat("alice"), frames.Join("#dev"), chat("#dev"))
    carol.session.receive(b"".join(map(codec.encode, sent)))
    carol.session.receive_eof()
    await server.settle()
    kinds = [short(frame) for frame in carol.frames if not isinstance(frame, frames.MembersChanged)]
    assert kinds == ["chat_ack", "room", "room_ack", "chat_ack"]
    assert carol.link.ended == "lost"


async def test_nothing_more_is_taken_at_shutdown(server: InProcessServer) -> None:
    """Also of a session that waits for the answer to a request, and for that of a message."""
    carol = await enter(server, "carol")
    carol.send(chat("alice"), frames.RoomsRequest(), chat("alice"))
    server.router.shut_down()
    await server.settle()
    assert [short(frame) for frame in carol.frames if frame.type != "rooms"] == ["chat_ack", "bye"]


# --- closed rooms


@pytest.mark.parametrize("room", ["#board", "#nothing"])
async def test_whatever_is_wrong_with_a_message_to_a_closed_room(server: InProcessServer, room: str) -> None:
    """Users outside of it get the same answer as for a room that does not exist."""
    alice, carol = await enter(server, "alice"), await enter(server, "carol")
    create = frames.RoomRequest("create", "#board", kind=RoomKind.CLOSED)
    assert await answered(server, alice, create) == ["room", "room_ack"]
    known = chat("alice")
    assert await answered(server, carol, known) == ["chat_ack"]
    for sent in (
        chat(room),
        chat(room, ""),
        frames.SendChat(room, "hello", "no id"),
        frames.SendChat(room, "hello", known.id),
        frames.SendEdit(room, 1, " ", make_id()),
        frames.SendReaction(room, 1, " ", make_id()),
        frames.SendRedaction(room, 1, make_id(), "two\nlines"),
    ):
        assert await answered(server, carol, sent) == [ErrorCode.UNKNOWN_ROOM], sent


# --- a store that fails


async def test_a_locked_store_refuses_changes(server: InProcessServer) -> None:
    """Like messages: the session goes on, and may ask again."""
    alice = await enter(server, "alice")
    assert isinstance(server.store, FailingStore)
    server.store.busy = True
    topic = frames.RoomRequest("topic", "#dev", text="Friday")
    assert await answered(server, alice, topic) == ["storage_failed"]
    server.store.busy = False
    assert (await answered(server, alice, topic))[0] == "room_ack"


async def test_a_change_of_unknown_outcome_ends_the_daemon(server: InProcessServer) -> None:
    """As with messages: what is in memory may not be what is on disk any more, so nothing more is said."""
    alice = await enter(server, "alice")
    assert isinstance(server.store, FailingStore)
    server.store.broken = True
    alice.send(frames.RoomRequest("topic", "#dev", text="Friday"), chat("#dev"))
    await server.settle()
    assert server.failure is not None
    assert "room_ack" not in alice.kinds()
    assert "chat_ack" not in alice.kinds()


# --- the operator


async def test_a_member_and_their_room_are_deleted_at_once(server: InProcessServer) -> None:
    """The sessions of the account end, although the room is gone before they were notified."""
    bob = await enter(server, "bob")
    admin = LiveAdmin(server.router, server.writer)
    work, done = threading.Event(), threading.Event()
    held = asyncio.create_task(server.writer.perform(lambda _: work.wait()))
    deeds = [asyncio.create_task(admin.handle(each)) for each in (DeleteUser("bob"), DeleteRoom("#dev"))]
    last = asyncio.create_task(server.writer.perform(lambda _: done.set()))
    await asyncio.sleep(0)
    work.set()
    assert done.wait(PATIENCE_S)  # meanwhile the loop stands still
    replies = await asyncio.gather(*deeds, held, last)
    assert isinstance(replies[0], Done)
    await server.settle()
    assert bob.link.ended == "deleted"
    assert server.router.rooms.of(2) == []


# --- coming back while catching up


async def test_a_page_is_read_when_the_room_was_joined_again(server: InProcessServer) -> None:
    """A device that is catching up reads the store when its user has joined again, before it is notified."""
    alice = await enter(server, "alice")
    assert await answered(server, alice, *(chat("#dev", "x" * 15_000) for _ in range(8))) == ["chat_ack"] * 8
    network_device = await enter(server, "bob")
    late = await server.visitor("bob")
    late.link.page_by_page = True
    late.send(frames.Resume([frames.Position("c1", 0)]))
    await server.settle()
    assert late.link.written[-1].type == "chat"  # of the first page, which the peer did not take
    assert await answered(server, network_device, frames.Leave("#dev")) == ["room_left", "room_ack"]
    server.gate.close(BEFORE, "replay_page")
    late.link.page_by_page = late.link.congested = False
    late.session.writable()
    await server.gate.stopped()
    with server.unpublished(), server.reader() as reader:
        network_device.send(frames.Join("#dev"))
        await until(lambda: reader.memberships(DEV).get(2))
        server.gate.open()
        await until(lambda: not server.reads.in_flight)
    await server.settle()
    assert await answered(server, alice, chat("#dev", "after")) == ["chat_ack"]
    assert [frame.type for frame in late.frames if isinstance(frame, frames.Error)] == []
    assert [frame.body for frame in late.frames if isinstance(frame, frames.Chat)][-1] == "after"


async def test_any_number_of_invitations(server: InProcessServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are sent as the peer takes them, so that a user with many of them is not cut off as too slow."""
    rooms = [f"#r{n}" for n in range(100, 350)]
    alice = await enter(server, "alice")
    for name in rooms:
        alice.send(frames.RoomRequest("create", name), frames.RoomRequest("invite", name, "carol"))
    await server.settle()
    carol = await server.visitor("carol")
    write = carol.link.write

    def write_much(plaintext: bytes) -> None:
        write(plaintext)
        carol.link.congested = True

    monkeypatch.setattr(carol.link, "write", write_much)
    carol.send(frames.Resume([]))
    sent: list[str] = []
    async with patiently():
        while len(sent) < len(rooms):
            await server.settle()
            page = [frame.room.name for frame in carol.link.take() if isinstance(frame, frames.Invited)]
            assert len(page) <= 100
            sent += page
            carol.link.congested = False
            carol.session.writable()
    await server.settle()
    assert sent == rooms
    assert (carol.session.live, carol.session.backlog) == (True, None)


# --- pairs


async def test_a_refused_event_makes_no_conversation(server: InProcessServer) -> None:
    """A user who never wrote to another does not appear there by reacting to nothing."""
    carol, alice = await enter(server, "carol"), await enter(server, "alice")
    for sent in (
        frames.SendReaction("alice", 1, "+1", make_id()),
        frames.SendChat("alice", "well", make_id(), reply_to=1),
    ):
        assert await answered(server, carol, sent) == ["unknown_message"]
    for connected in (carol, alice):
        page = await server.ask(connected, frames.ConversationsRequest())
        assert isinstance(page, frames.Conversations)
        assert [each.name for each in page.conversations] == (["#dev"] if connected is alice else [])
    assert await answered(server, carol, chat("alice")) == ["chat_ack"]
    page = await server.ask(alice, frames.ConversationsRequest())
    assert isinstance(page, frames.Conversations)
    assert [(each.name, each.unread) for each in page.conversations] == [("#dev", 0), ("carol", 1)]


# --- what events cost


async def test_a_reaction_leaves_the_index_of_words_as_it_is(server: InProcessServer) -> None:
    """A thousand reactions on a long message don't have it indexed a thousand times."""
    alice, bob = await enter(server, "alice"), await enter(server, "bob")
    assert await answered(server, alice, chat("#dev", "one long message")) == ["chat_ack"]

    def index(store: Store) -> list[tuple[int, bytes]]:
        while store.housekeeping.step(Keep()):
            pass
        assert isinstance(store, FailingStore)
        return store._db.read("SELECT id, block FROM words_data ORDER BY id")

    before = await server.writer.perform(index)
    react = frames.SendReaction("#dev", 1, "+1", make_id())
    assert "chat_ack" in await answered(server, bob, react)
    assert await server.writer.perform(index) == before
    assert "chat_ack" in await answered(server, alice, frames.SendEdit("#dev", 1, "a short one", make_id()))
    assert await server.writer.perform(index) != before
