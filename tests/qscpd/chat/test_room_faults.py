"""Corners of rooms in which the parts of the daemon meet: order, ends, and what nobody may find out."""

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
from qscpd.domain.model import Keep, MessageRow, RoomResult
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreBusyError, StoreError
from qscpd.sessions import requests as asking
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.in_process_server import Desk, Office, make_accounts
from tests.support.stores import FickleStore, add_room
from tests.support.waiting import PATIENCE_S, patiently

make_id = IdMaker()


class DeniedStore(FickleStore):
    """A store that refuses changes of rooms on the same days as messages."""

    def change_rooms(self, changes: Sequence[RoomChange]) -> Sequence[RoomResult | DeniedError]:
        """Change rooms, or not."""
        if self.busy:
            raise StoreBusyError("locked by another program")
        result = super().change_rooms(changes)
        if self.broken:
            raise StoreError("disk I/O error")
        return result


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """A daemon without a network, for alice, bob and carol; alice and bob are in #dev."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob", "carol")
    store = DeniedStore(tmp_path / "qscpd.db")
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.JOINING)
    async with Office(store) as opened:
        yield opened


async def enter(office: Office, user: str) -> Desk:
    """Log somebody in who keeps nothing and is live; what they were told up to then is dropped."""
    desk = await office.visitor(user)
    desk.send(frames.Resume([]))
    await office.settle()
    desk.frames.clear()
    return desk


async def answered(office: Office, desk: Desk, *sent: frames.ClientFrame) -> list[str]:
    """Send something and return in short what comes back."""
    desk.frames.clear()
    desk.send(*sent)
    await office.settle()
    return [short(frame) for frame in desk.frames if not isinstance(frame, frames.MembersChanged)]


def fill_disk(office: Office, *, full: bool) -> None:
    """Let there be no room, or room again."""
    assert isinstance(office.store, FickleStore)
    office.store.full = full


def short(frame: frames.ServerFrame) -> str:
    """A frame in one or two words."""
    if isinstance(frame, frames.ChatNack | frames.Error):
        return str(frame.code)
    return frame.type


def chat(to: str, body: str = "hello") -> frames.SendChat:
    """Make a message."""
    return frames.SendChat(to, body, make_id())


# --- order


async def test_messages_on_their_way_do_not_overtake_a_refused_one(office: Office) -> None:
    """When the link breaks while a room rests, what waits is not stored before what was refused before it."""
    bob = await enter(office, "bob")
    first, second = chat("#dev", "first"), chat("#dev", "second")
    fill_disk(office, full=True)
    assert await answered(office, bob, first) == ["storage_full"]
    room = office.router.rooms.by_name("#dev")
    assert room is not None
    room.queue._busy = True  # it rests
    bob.send(second)
    bob.lose()
    fill_disk(office, full=False)
    await office.settle()
    room.queue._rested()
    await office.settle()
    again = await enter(office, "bob")
    assert await answered(office, again, first, second) == ["chat_ack", "chat_ack"]
    acks = [(frame.id, frame.seq) for frame in again.frames if isinstance(frame, frames.ChatAck)]
    assert acks == [(first.id, 1), (second.id, 2)]


@pytest.mark.parametrize("to", ["alice", "#dev"])
async def test_an_ended_session_is_not_waited_for(office: Office, to: str) -> None:
    """What is refused after its session has ended is not kept in mind for ever."""
    bob = await enter(office, "bob")
    fill_disk(office, full=True)
    bob.send(chat(to))
    bob.lose()
    await office.settle()
    assert office.writer._order.empty


async def test_a_change_of_one_room_hurries_no_other(office: Office) -> None:
    """What is written in a room goes before a change of it; who comes into another one changes nothing."""
    alice, bob, carol = [await enter(office, user) for user in ("alice", "bob", "carol")]
    assert await answered(office, carol, frames.RoomRequest("create", "#tea")) == ["room", "room_ack"]
    room = office.router.rooms.by_name("#dev")
    assert room is not None
    room.queue._busy = True  # it rests
    bob.send(chat("#dev"))
    assert await answered(office, alice, frames.Join("#tea")) == ["room", "room_ack"]
    assert bob.kinds() == []
    assert await answered(office, bob, frames.Leave("#dev")) == ["chat_ack", "room_left", "room_ack"]


async def test_a_question_whose_turn_comes_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits behind many others, and whose link breaks meanwhile, has not left the room."""
    monkeypatch.setattr(asking, "_AT_ONCE", 1)
    make_accounts(tmp_path / "other.db", "alice", "bob")
    store = FickleStore(tmp_path / "other.db")
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.JOINING)
    async with Office(store) as office:
        alice, bob = await enter(office, "alice"), await enter(office, "bob")
        busy = threading.Event()
        held = asyncio.create_task(office.writer.call(lambda _: busy.wait()))
        alice.send(frames.ConversationsRequest())
        await asyncio.sleep(0)
        bob.send(frames.Leave("#dev"))
        await asyncio.sleep(0)
        bob.lose()
        busy.set()
        await held
        await office.settle()
        assert alice.kinds() == ["conversations"]
        assert [each.row.name for each in office.router.rooms.of(2)] == ["#dev"]


# --- questions at the end of the input


async def test_a_question_is_answered_before_what_comes_behind_it(office: Office) -> None:
    """Also when the peer ends its stream right behind: who joins and writes has joined when it is stored."""
    carol = await enter(office, "carol")
    sent: Sequence[frames.ClientFrame] = (chat("alice"), frames.Join("#dev"), chat("#dev"))
    carol.session.receive(b"".join(map(codec.encode, sent)))
    carol.session.receive_eof()
    await office.settle()
    told = [short(frame) for frame in carol.frames if not isinstance(frame, frames.MembersChanged)]
    assert told == ["chat_ack", "room", "room_ack", "chat_ack"]
    assert carol.link.ended == "lost"


async def test_nothing_more_is_taken_at_shutdown(office: Office) -> None:
    """Also of a session that waits for the answer to a question, and for that of a message."""
    carol = await enter(office, "carol")
    carol.send(chat("alice"), frames.RoomsRequest(), chat("alice"))
    office.router.shut_down()
    await office.settle()
    assert [short(frame) for frame in carol.frames if frame.type != "rooms"] == ["chat_ack", "bye"]


# --- closed rooms


@pytest.mark.parametrize("room", ["#board", "#nothing"])
async def test_whatever_is_wrong_with_a_message_to_a_closed_room(office: Office, room: str) -> None:
    """Strangers hear the same as of a room that there is not, so that nobody finds out what there is."""
    alice, carol = await enter(office, "alice"), await enter(office, "carol")
    create = frames.RoomRequest("create", "#board", kind=RoomKind.CLOSED)
    assert await answered(office, alice, create) == ["room", "room_ack"]
    known = chat("alice")
    assert await answered(office, carol, known) == ["chat_ack"]
    for sent in (
        chat(room),
        chat(room, ""),
        frames.SendChat(room, "hello", "no id"),
        frames.SendChat(room, "hello", known.id),
        frames.SendEdit(room, 1, " ", make_id()),
        frames.SendReaction(room, 1, " ", make_id()),
        frames.SendRedaction(room, 1, make_id(), "two\nlines"),
    ):
        assert await answered(office, carol, sent) == [ErrorCode.UNKNOWN_ROOM], sent


# --- the store on bad days


async def test_a_locked_store_refuses_changes(office: Office) -> None:
    """Like messages: the session goes on, and may ask again."""
    alice = await enter(office, "alice")
    assert isinstance(office.store, FickleStore)
    office.store.busy = True
    topic = frames.RoomRequest("topic", "#dev", text="Friday")
    assert await answered(office, alice, topic) == ["storage_failed"]
    office.store.busy = False
    assert (await answered(office, alice, topic))[0] == "room_ack"


async def test_a_change_of_unknown_outcome_ends_the_daemon(office: Office) -> None:
    """As with messages: what is in memory may not be what is on disk any more, so nothing more is said."""
    alice = await enter(office, "alice")
    assert isinstance(office.store, FickleStore)
    office.store.broken = True
    alice.send(frames.RoomRequest("topic", "#dev", text="Friday"), chat("#dev"))
    await office.settle()
    assert office.failure is not None
    assert "room_ack" not in alice.kinds()
    assert "chat_ack" not in alice.kinds()


# --- the operator


async def test_a_member_and_their_room_are_deleted_at_once(office: Office) -> None:
    """The sessions of the account end, although the room is gone before that was told."""
    bob = await enter(office, "bob")
    admin = LiveAdmin(office.router, office.writer)
    work, done = threading.Event(), threading.Event()
    held = asyncio.create_task(office.writer.call(lambda _: work.wait()))
    deeds = [asyncio.create_task(admin.handle(each)) for each in (DeleteUser("bob"), DeleteRoom("#dev"))]
    last = asyncio.create_task(office.writer.call(lambda _: done.set()))
    await asyncio.sleep(0)
    work.set()
    assert done.wait(PATIENCE_S)  # meanwhile the loop stands still
    replies = await asyncio.gather(*deeds, held, last)
    assert isinstance(replies[0], Done)
    await office.settle()
    assert bob.link.ended == "deleted"
    assert office.router.rooms.of(2) == []


# --- coming back while behind


async def test_a_page_is_read_when_the_room_was_joined_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that is behind asks the store when its person has come back, and nobody has told it yet."""
    read, messages_after = threading.Event(), office.store.messages_after

    def read_and_say(*what: int) -> Sequence[MessageRow]:
        try:
            return messages_after(*what)
        finally:
            read.set()

    alice = await enter(office, "alice")
    assert await answered(office, alice, *(chat("#dev", "x" * 15_000) for _ in range(8))) == ["chat_ack"] * 8
    phone = await enter(office, "bob")
    late = await office.visitor("bob")
    late.link.page_by_page = True
    late.send(frames.Resume([frames.Position("c1", 0)]))
    await office.settle()
    assert late.link.written[-1].type == "chat"  # of the first page, which the peer did not take
    assert await answered(office, phone, frames.Leave("#dev")) == ["room_left", "room_ack"]
    together = threading.Event()
    held = asyncio.create_task(office.writer.call(lambda _: together.wait()))
    phone.send(frames.Join("#dev"))
    await asyncio.sleep(0)
    late.link.page_by_page = late.link.congested = False
    late.session.writable()
    for _ in range(10):
        await asyncio.sleep(0)
    read.clear()
    monkeypatch.setattr(office.store, "messages_after", read_and_say)
    together.set()
    assert read.wait(PATIENCE_S)  # meanwhile the loop stands still
    await held
    await office.settle()
    assert await answered(office, alice, chat("#dev", "after")) == ["chat_ack"]
    assert [frame.type for frame in late.frames if isinstance(frame, frames.Error)] == []
    assert [frame.body for frame in late.frames if isinstance(frame, frames.Chat)][-1] == "after"


async def test_any_number_of_invitations(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told as the peer takes them, so that nobody who was invited often is cut off as too slow."""
    rooms = [f"#r{n}" for n in range(100, 350)]
    alice = await enter(office, "alice")
    for name in rooms:
        alice.send(frames.RoomRequest("create", name), frames.RoomRequest("invite", name, "carol"))
    await office.settle()
    carol = await office.visitor("carol")
    write = carol.link.write

    def write_much(plaintext: bytes) -> None:
        write(plaintext)
        carol.link.congested = True

    monkeypatch.setattr(carol.link, "write", write_much)
    carol.send(frames.Resume([]))
    told: list[str] = []
    async with patiently():
        while len(told) < len(rooms):
            await office.settle()
            page = [frame.room.name for frame in carol.link.take() if isinstance(frame, frames.Invited)]
            assert len(page) <= 100
            told += page
            carol.link.congested = False
            carol.session.writable()
    await office.settle()
    assert told == rooms
    assert (carol.session.live, carol.session.replay) == (True, None)


# --- pairs


async def test_a_refused_event_makes_no_conversation(office: Office) -> None:
    """Somebody who never wrote to a person does not appear there by reacting to nothing."""
    carol, alice = await enter(office, "carol"), await enter(office, "alice")
    for sent in (
        frames.SendReaction("alice", 1, "+1", make_id()),
        frames.SendChat("alice", "well", make_id(), reply_to=1),
    ):
        assert await answered(office, carol, sent) == ["unknown_message"]
    for desk in (carol, alice):
        page = await office.ask(desk, frames.ConversationsRequest())
        assert isinstance(page, frames.Conversations)
        assert [each.name for each in page.conversations] == (["#dev"] if desk is alice else [])
    assert await answered(office, carol, chat("alice")) == ["chat_ack"]
    page = await office.ask(alice, frames.ConversationsRequest())
    assert isinstance(page, frames.Conversations)
    assert [(each.name, each.unread) for each in page.conversations] == [("#dev", 0), ("carol", 1)]


# --- what events cost


async def test_a_reaction_leaves_the_index_of_words_as_it_is(office: Office) -> None:
    """A thousand reactions on a long message don't have it indexed a thousand times."""
    alice, bob = await enter(office, "alice"), await enter(office, "bob")
    assert await answered(office, alice, chat("#dev", "one long message")) == ["chat_ack"]

    def index(store: Store) -> list[tuple[int, bytes]]:
        while store.tend(Keep()):
            pass
        assert isinstance(store, FickleStore)
        return store._read("SELECT id, block FROM words_data ORDER BY id")

    before = await office.writer.call(index)
    react = frames.SendReaction("#dev", 1, "+1", make_id())
    assert "chat_ack" in await answered(office, bob, react)
    assert await office.writer.call(index) == before
    assert "chat_ack" in await answered(office, alice, frames.SendEdit("#dev", 1, "a short one", make_id()))
    assert await office.writer.call(index) != before
