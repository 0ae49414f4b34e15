"""Corner cases of rooms across the daemon: order, closed sessions, hidden rooms and failures."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from qscp import codec, frames
from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom, RoomKind
from qscpd.admin import DeleteRoom, DeleteUser, Done
from qscpd.chat.submission import _Gate
from qscpd.domain.model import RoomResult
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.sessions import requests
from qscpd.store.base import Store
from tests.support.gated_reader import BEFORE
from tests.support.ids import IdMaker
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.live_admin import live_admin
from tests.support.stores import FailingStore, add_room, housekeep
from tests.support.waiting import PATIENCE_S, patiently, until

make_id = IdMaker()

DEV = 1
"""The conversation of #dev."""


class DeniedStore(FailingStore):
    """A store that refuses or fails changes of rooms as it does messages."""

    def change_rooms(
        self, changes: Sequence[RoomChange], *, deadline_s: float = math.inf
    ) -> Sequence[RoomResult | DeniedError | StoreFullError]:
        """Change rooms, or fail."""
        if self.busy:
            raise StoreBusyError("locked by another program")
        result = super().change_rooms(changes, deadline_s=deadline_s)
        if self.broken:
            raise StoreError("disk I/O error")
        return result


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A daemon without a network, for alice, bob and carol; alice and bob are members of #dev."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob", "carol")
    store = DeniedStore(tmp_path / "qscpd.db")
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.JOINING)
    async with InProcessServer(store) as opened:
        yield opened


async def enter(server: InProcessServer, user: str) -> InProcessPeer:
    """Log a user in without positions; wait until the session is live, and drop its frames."""
    connected = await server.visitor(user)
    connected.send(frames.Resume([]))
    await server.settle()
    connected.frames.clear()
    return connected


async def answered(server: InProcessServer, connected: InProcessPeer, *sent: frames.ClientFrame) -> list[str]:
    """Send frames; return the codes or types of the answers."""
    connected.frames.clear()
    connected.send(*sent)
    await server.settle()
    return [short(frame) for frame in connected.frames if not isinstance(frame, frames.MembersChanged)]


def fill_disk(server: InProcessServer, *, full: bool) -> None:
    """Make the disk full, or not full again."""
    assert isinstance(server.store, FailingStore)
    server.store.full = full


def cool_down(server: InProcessServer) -> None:
    """Close the gate of #dev, as after a long fan-out."""
    gate = server.router.submissions._gates[DEV] = _Gate()
    gate.closed = True


def end_cooldown(server: InProcessServer) -> None:
    """Open the gate of #dev."""
    server.router.submissions._open(DEV)


def short(frame: frames.ServerFrame) -> str:
    """Return the code of a refusal, or the type of another frame."""
    if isinstance(frame, frames.ChatNack | frames.Error):
        return str(frame.code)
    return frame.type


def chat(to: str, body: str = "hello") -> frames.SendChat:
    """Return a frame with a message."""
    return frames.SendChat(to, body, make_id())


# --- order


async def test_waiting_messages_do_not_overtake_a_refused_one(server: InProcessServer) -> None:
    """After the link is lost in a cooldown, a waiting message is not stored before a refused one."""
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
async def test_a_closed_session_leaves_no_block(server: InProcessServer, to: str) -> None:
    """A message that is refused after its session was closed leaves no block."""
    bob = await enter(server, "bob")
    fill_disk(server, full=True)
    bob.send(chat(to))
    bob.lose()
    await server.settle()
    assert not server.writer._order.blocked


async def test_a_change_of_a_room_flushes_no_other(server: InProcessServer) -> None:
    """A change of a room waits for messages to that room only, and these for their turn."""
    alice, bob, carol = [await enter(server, user) for user in ("alice", "bob", "carol")]
    assert await answered(server, carol, frames.RoomRequest("create", "#tea")) == ["room", "room_ack"]
    cool_down(server)
    bob.send(chat("#dev"))
    assert await answered(server, alice, frames.Join("#tea")) == ["room", "room_ack"]
    assert bob.kinds() == []
    bob.send(frames.Leave("#dev"))
    await asyncio.sleep(0)
    assert bob.kinds() == []
    end_cooldown(server)
    assert await answered(server, bob) == ["chat_ack", "room_left", "room_ack"]


async def test_a_request_of_a_lost_link_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that waits for a slot is dropped when its link is lost."""
    monkeypatch.setattr(requests, "_AT_ONCE", 1)
    make_accounts(tmp_path / "other.db", "alice", "bob")
    store = FailingStore(tmp_path / "other.db")
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.JOINING)
    async with InProcessServer(store) as server:
        alice, bob = await enter(server, "alice"), await enter(server, "bob")
        busy = threading.Event()
        blocking = asyncio.create_task(server.writer.perform(lambda _: busy.wait()))
        alice.send(frames.ConversationsRequest())
        await asyncio.sleep(0)
        bob.send(frames.Leave("#dev"))
        await asyncio.sleep(0)
        bob.lose()
        busy.set()
        await blocking
        await server.settle()
        assert alice.kinds() == ["conversations"]
        assert [each.row.name for each in server.router.rooms.of(2)] == ["#dev"]


# --- requests at the end of the input


async def test_a_request_is_answered_before_later_frames(server: InProcessServer) -> None:
    """A message sent after `join` is stored after joining, even if the stream ends at once."""
    carol = await enter(server, "carol")
    sent: Sequence[frames.ClientFrame] = (chat("alice"), frames.Join("#dev"), chat("#dev"))
    carol.session.receive(b"".join(map(codec.encode, sent)))
    carol.session.receive_eof()
    await server.settle()
    kinds = [short(frame) for frame in carol.frames if not isinstance(frame, frames.MembersChanged)]
    assert kinds == ["chat_ack", "room", "room_ack", "chat_ack"]
    assert carol.link.ended == "lost"


async def test_no_frame_is_handled_after_shutdown(server: InProcessServer) -> None:
    """At shutdown a session with open requests gets its pending ack and `bye`, and nothing later."""
    carol = await enter(server, "carol")
    carol.send(chat("alice"), frames.RoomsRequest(), chat("alice"))
    server.router.shut_down()
    await server.settle()
    assert [short(frame) for frame in carol.frames if frame.type != "rooms"] == ["chat_ack", "bye"]


# --- closed rooms


@pytest.mark.parametrize("room", ["#board", "#nothing"])
async def test_a_closed_room_is_hidden_from_any_message(server: InProcessServer, room: str) -> None:
    """Any message of a non-member to a closed room is refused as if the room did not exist.

    A bad or a used id is refused as what it is, in either case.
    """
    alice, carol = await enter(server, "alice"), await enter(server, "carol")
    create = frames.RoomRequest("create", "#board", kind=RoomKind.CLOSED)
    assert await answered(server, alice, create) == ["room", "room_ack"]
    known = chat("alice")
    assert await answered(server, carol, known) == ["chat_ack"]
    for sent in (
        chat(room),
        chat(room, ""),
        frames.SendEdit(room, 1, " ", make_id()),
        frames.SendReaction(room, 1, " ", make_id()),
        frames.SendRedaction(room, 1, make_id(), "two\nlines"),
    ):
        assert await answered(server, carol, sent) == [ErrorCode.UNKNOWN_ROOM], sent
        assert await answered(server, carol, sent) == [ErrorCode.UNKNOWN_ROOM], sent
    for message_id, code in (("no id", ErrorCode.BAD_ID), (known.id, ErrorCode.ID_CONFLICT)):
        for body in ("hello", ""):
            sent = frames.SendChat(room, body, message_id)
            assert await answered(server, carol, sent) == [code], sent


# --- a store that fails


async def test_a_locked_store_refuses_changes(server: InProcessServer) -> None:
    """A locked store refuses a change of a room; the session continues and can retry."""
    alice = await enter(server, "alice")
    assert isinstance(server.store, FailingStore)
    server.store.busy = True
    topic = frames.RoomRequest("topic", "#dev", text="Friday")
    assert await answered(server, alice, topic) == ["storage_failed"]
    server.store.busy = False
    assert (await answered(server, alice, topic))[0] == "room_ack"


async def test_a_change_of_unknown_outcome_stops_the_daemon(server: InProcessServer) -> None:
    """A change of unknown outcome stops the daemon, and neither it nor later messages are answered."""
    alice = await enter(server, "alice")
    assert isinstance(server.store, FailingStore)
    server.store.broken = True
    alice.send(frames.RoomRequest("topic", "#dev", text="Friday"), chat("#dev"))
    await server.settle()
    assert server.failure is not None
    assert "room_ack" not in alice.kinds()
    assert "chat_ack" not in alice.kinds()


# --- the operator


async def test_deleting_a_member_and_their_room_together(server: InProcessServer) -> None:
    """Deleting an account and its room in one step closes the account's sessions."""
    bob = await enter(server, "bob")
    admin = live_admin(server.router, server.writer)
    work, done = threading.Event(), threading.Event()
    blocking = asyncio.create_task(server.writer.perform(lambda _: work.wait()))
    actions = [asyncio.create_task(admin.handle(each)) for each in (DeleteUser("bob"), DeleteRoom("#dev"))]
    last = asyncio.create_task(server.writer.perform(lambda _: done.set()))
    await asyncio.sleep(0)
    work.set()
    assert done.wait(PATIENCE_S)  # this blocks the loop
    replies = await asyncio.gather(*actions, blocking, last)
    assert isinstance(replies[0], Done)
    await server.settle()
    assert bob.link.ended == "deleted"
    assert server.router.rooms.of(2) == []


# --- rejoining while catching up


async def test_a_page_is_read_after_rejoining(server: InProcessServer) -> None:
    """A device that is catching up works if its user has rejoined before the page was read."""
    alice = await enter(server, "alice")
    assert await answered(server, alice, *(chat("#dev", "x" * 15_000) for _ in range(8))) == ["chat_ack"] * 8
    network_device = await enter(server, "bob")
    late = await server.visitor("bob")
    late.link.page_by_page = True
    late.send(frames.Resume([frames.Position("c1", 0)]))
    await server.settle()
    assert late.link.written[-1].type == "chat"  # of the first page, which the peer has not read
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


async def test_invitations_are_sent_no_faster_than_they_are_read(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many invitations are sent in pages as the peer reads them, so that it is not aborted as too slow."""
    rooms = [f"#r{n}" for n in range(100, 350)]
    alice, invitee = server.router.directory.by_name("alice"), server.router.directory.by_name("carol")
    assert alice is not None
    assert invitee is not None
    for name in rooms:  # by the operator, for whom there is no limit
        made = RoomChange(action="create", room=name, actor=None, target=alice.id)
        await server.writer.change_room(made)
        await server.writer.change_room(RoomChange(action="invite", room=name, actor=None, target=invitee.id))
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
    assert (carol.session.outbound.live, carol.session.outbound.backlog) == (True, None)


# --- pairs


async def test_a_refused_message_makes_no_conversation(server: InProcessServer) -> None:
    """A reaction or reply to a missing message creates no conversation."""
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


# --- costs of amendments


async def test_a_reaction_does_not_change_the_search_index(server: InProcessServer) -> None:
    """A reaction does not index its message again; an edit does."""
    alice, bob = await enter(server, "alice"), await enter(server, "bob")
    assert await answered(server, alice, chat("#dev", "one long message")) == ["chat_ack"]

    def index(store: Store) -> list[tuple[int, bytes]]:
        housekeep(store)
        assert isinstance(store, FailingStore)
        return store._db.read("SELECT id, block FROM words_data ORDER BY id")

    before = await server.writer.perform(index)
    react = frames.SendReaction("#dev", 1, "+1", make_id())
    assert "chat_ack" in await answered(server, bob, react)
    assert await server.writer.perform(index) == before
    assert "chat_ack" in await answered(server, alice, frames.SendEdit("#dev", 1, "a short one", make_id()))
    assert await server.writer.perform(index) != before
