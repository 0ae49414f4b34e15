"""Replay, from login to live: every message is sent once, or declared as a gap."""

import gc
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp.features import LAZY_HISTORY
from qscp.rooms import HistoryFrom
from qscpd.domain.model import ReplayPage
from qscpd.errors import StoreDamagedError
from qscpd.sessions import catch_up, replay
from qscpd.sessions.session import Session
from qscpd.store.base import Store
from qscpd.store.sqlite.store import SqliteStore
from tests.support.damage import chunk_places, damage_chunk, divide_chunks
from tests.support.device import Device
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.stores import add_room, housekeep
from tests.support.waiting import until

_numbers = itertools.count(1)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A daemon without a network, for alice, bob and carol."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob", "carol")
    async with InProcessServer(SqliteStore(tmp_path / "qscpd.db")) as opened:
        yield opened


def device(user: str) -> Device:
    """Return a new device."""
    number = next(_numbers)
    return Device(user, device_id(number), IdMaker(number))


async def write(server: InProcessServer, user: str, to: str, count: int) -> InProcessPeer:
    """Log a user in, send messages, and wait for their acks."""
    author = device(user)
    connected = await server.login(author)
    for n in range(count):
        connected.send(*author.send(to, f"{user} {n + 1}"))
    await server.settle()
    assert len(author.log.acked) == count
    return connected


async def resume(
    server: InProcessServer,
    user: str,
    position: int | None = None,
    *,
    congested: bool = False,
    features: Sequence[str] = (),
) -> InProcessPeer:
    """Log in without a device, and resume with a position in the first conversation."""
    connected = await server.visitor(user, features)
    connected.frames.clear()
    connected.link.congested = congested
    connected.send(frames.Resume([] if position is None else [frames.Position("c1", position)]))
    await server.settle()
    return connected


def received(connected: InProcessPeer, conversation: str = "c1") -> list[str]:
    """Return the frames that a peer received of a conversation, in short form."""
    short = []
    for frame in connected.frames:
        match frame:
            case frames.RoomChanged():
                short.append("in")
            case frames.RoomLeft():
                short.append("out")
            case frames.Chat() if frame.conversation == conversation:
                short.append(f"{frame.seq} {frame.origin}")
            case frames.Gap() if frame.conversation == conversation:
                short.append(f"{frame.first}-{frame.last} {frame.reason}")
            case frames.Resumed():
                short.append("resumed")
            case _:
                pass
    return short


async def test_nothing_is_sent_before_resume(server: InProcessServer) -> None:
    """A session gets no message before its `resume`, and then each message once."""
    await write(server, "alice", "bob", 2)
    bob = await server.visitor("bob")
    await write(server, "alice", "bob", 1)
    assert received(bob) == []
    bob.send(frames.Resume([]))
    await server.settle()
    assert received(bob) == ["1 replay", "2 replay", "3 replay", "resumed"]
    await write(server, "alice", "bob", 1)
    assert received(bob)[-1] == "4 live"


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (0, ["1 replay", "2 replay", "3 replay"]),
        (2, ["3 replay"]),
        (3, []),
        (5, ["4-5 ahead"]),
    ],
)
async def test_replay_starts_after_the_position(
    server: InProcessServer, position: int, expected: list[str]
) -> None:
    """Only messages after the position are replayed; a position above the last seq gets a gap."""
    await write(server, "alice", "bob", 3)
    assert received(await resume(server, "bob", position)) == [*expected, "resumed"]


async def test_a_position_in_a_missing_conversation_is_ahead(server: InProcessServer) -> None:
    """A position in a missing conversation gets a gap; position 0 and invalid conversations do not."""
    bob = await server.visitor("bob")
    positions = [("c7", 3), ("c8", 0), ("room", 2)]
    bob.send(frames.Resume([frames.Position(name, seq) for name, seq in positions]))
    await server.settle()
    assert received(bob, "c7") == ["1-3 ahead", "resumed"]
    assert [frame for frame in bob.frames if isinstance(frame, frames.Gap)] == [bob.frames[-2]]


async def test_a_position_in_a_conversation_of_others_is_ahead(server: InProcessServer) -> None:
    """A position in a conversation of others gets the same gap as in a missing one, and no message."""
    await write(server, "alice", "bob", 3)
    assert received(await resume(server, "carol", 1)) == ["1-1 ahead", "resumed"]


async def test_a_new_device_starts_at_the_read_position(server: InProcessServer) -> None:
    """A device without a position gets only messages after the user's read position."""
    await write(server, "alice", "bob", 3)
    other = await server.visitor("bob")
    other.send(frames.ClientRead("c1", 2))
    await server.settle()
    assert received(await resume(server, "bob")) == ["3 replay", "resumed"]


async def test_a_new_device_gets_two_hundred_messages_at_most(server: InProcessServer) -> None:
    """A new device gets the newest 200 messages and a gap; a device with a position gets all."""
    await write(server, "alice", "bob", 250)
    seqs = [f"{n} replay" for n in range(51, 251)]
    assert received(await resume(server, "bob")) == ["1-50 older", *seqs, "resumed"]
    assert len(received(await resume(server, "bob", 0))) == 251


async def test_a_new_device_gets_gaps_of_pruned_and_older_messages(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a new device every seq after the read position is sent or part of a gap, in order."""
    monkeypatch.setattr(replay, "_NEW_DEVICE", 2)
    await write(server, "alice", "bob", 9)
    await server.prune(6)
    expected = ["1-3 pruned", "4-7 older", "8 replay", "9 replay", "resumed"]
    assert received(await resume(server, "bob")) == expected


async def test_a_lazy_device_begins_at_the_end(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `lazy_history` a conversation without a position is one gap: no message of it is read or sent."""
    await write(server, "alice", "bob", 3)
    await write(server, "carol", "bob", 2)
    reads = server.reads
    read: list[int] = []
    replay_page = reads.replay_page

    async def counted(account: int, conversation: int, **page: int) -> ReplayPage | None:
        read.append(conversation)
        return await replay_page(account, conversation, **page)

    monkeypatch.setattr(reads, "replay_page", counted)
    bob = await resume(server, "bob", features=[LAZY_HISTORY])
    assert received(bob) == ["1-3 older", "resumed"]
    assert received(bob, "c2") == ["1-2 older", "resumed"]
    assert read == []
    assert not any(isinstance(each, frames.Delivered) for each in bob.frames)
    await write(server, "alice", "bob", 1)
    assert received(bob)[-1] == "4 live"


async def test_a_lazy_device_misses_nothing_behind_its_positions(server: InProcessServer) -> None:
    """With `lazy_history`, too, a device gets everything behind a position that it has."""
    await write(server, "alice", "bob", 250)
    await write(server, "carol", "bob", 2)
    bob = await resume(server, "bob", 1, features=[LAZY_HISTORY])
    seqs = [f"{n} replay" for n in range(2, 251)]
    assert received(bob) == [*seqs, "resumed"]
    assert received(bob, "c2") == ["1-2 older", "resumed"]


async def test_a_lazy_device_learns_from_the_list_what_it_skipped(server: InProcessServer) -> None:
    """A list that is asked for after `resume` counts every message of the gap, also of the last moment."""
    author = device("alice")
    alice = await server.login(author)
    bob = await server.visitor("bob", [LAZY_HISTORY])
    bob.frames.clear()
    alice.send(*author.send("bob", "one"))
    bob.send(frames.Resume([]), frames.ConversationsRequest())
    alice.send(*author.send("bob", "two"))
    await server.settle()
    skipped = next((each.last for each in bob.frames if isinstance(each, frames.Gap)), 0)
    listed = next(each for each in bob.frames if isinstance(each, frames.Conversations)).conversations
    live = [each.seq for each in bob.frames if isinstance(each, frames.Chat)]
    assert live == list(range(skipped + 1, 3))
    assert [each.last_seq for each in listed] == [each.unread for each in listed]
    assert skipped <= (listed[0].last_seq if listed else 0)


async def test_pruned_messages_are_a_gap(server: InProcessServer) -> None:
    """A device whose next messages were pruned gets a single gap."""
    await write(server, "alice", "bob", 9)
    await server.prune(3)
    assert received(await resume(server, "bob", 2)) == [
        "3-6 pruned",
        "7 replay",
        "8 replay",
        "9 replay",
        "resumed",
    ]
    assert received(await resume(server, "bob", 6)) == ["7 replay", "8 replay", "9 replay", "resumed"]


@pytest.mark.parametrize("page", [1, 2, 100])
async def test_damaged_messages_are_gaps_in_their_places(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Damaged messages are gaps among the others, also at both ends of a page and of the conversation."""
    monkeypatch.setattr(catch_up, "_PAGE", page)
    await write(server, "alice", "bob", 8)
    await server.writer.perform(housekeep)
    divide_chunks(server.store._db.path)
    places = chunk_places(server.store._db.path, 1)
    for index in (0, 2, 3, 7):
        damage_chunk(server.store._db.path, places[index][0], "noise")
    bob = await resume(server, "bob", 0)
    assert received(bob) == [
        "1-1 damaged",
        "2 replay",
        "3-4 damaged",
        "5 replay",
        "6 replay",
        "7 replay",
        "8-8 damaged",
        "resumed",
    ]
    await write(server, "alice", "bob", 1)
    assert received(bob)[-1] == "9 live"
    assert received(await resume(server, "bob", 8)) == ["9 replay", "resumed"]


async def test_a_conversation_that_cannot_be_read_is_a_gap(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If reading a conversation fails as a whole, it is a gap, and the others are replayed."""
    await write(server, "alice", "bob", 3)
    await write(server, "carol", "bob", 2)
    read = server.reads.replay_page

    async def damaged(
        account: int, conversation: int, *, after: int, limit: int, max_bytes: int
    ) -> ReplayPage | None:
        if conversation == 1:
            raise StoreDamagedError("a page is malformed")
        return await read(account, conversation, after=after, limit=limit, max_bytes=max_bytes)

    monkeypatch.setattr(server.reads, "replay_page", damaged)
    bob = await resume(server, "bob", 1)
    assert received(bob) == ["2-3 damaged", "resumed"]
    assert received(bob, "c2") == ["1 replay", "2 replay", "resumed"]


async def test_a_page_waits_for_the_peer(server: InProcessServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the peer is congested, no page is made; then all of them follow."""
    monkeypatch.setattr(catch_up, "_PAGE", 2)
    await write(server, "alice", "bob", 7)
    bob = await resume(server, "bob", 0, congested=True)
    bob.take()
    assert received(bob) == []
    bob.link.congested = False
    bob.session.writable()
    await server.settle()
    assert received(bob) == [*(f"{n} replay" for n in range(1, 8)), "resumed"]


async def test_live_messages_wait_for_the_end_of_replay(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that are stored during replay are sent after it, in order and once."""
    bob = await catching_up(server, monkeypatch)
    await write(server, "carol", "bob", 1)  # a conversation that did not exist at `resume`
    await write(server, "alice", "bob", 2)
    await uncongest(server, bob)
    assert received(bob) == [*(f"{n} replay" for n in range(1, 8)), "8 live", "9 live", "resumed"]
    assert received(bob, "c2") == ["1 live", "resumed"]


async def catching_up(server: InProcessServer, monkeypatch: pytest.MonkeyPatch) -> InProcessPeer:
    """Log bob in, with a congested link after two of seven messages."""
    monkeypatch.setattr(catch_up, "_PAGE", 2)
    await write(server, "alice", "bob", 7)
    bob = await server.visitor("bob")
    bob.frames.clear()
    write_page = bob.link.write

    def write_one_page(plaintext: bytes) -> None:
        write_page(plaintext)
        bob.link.congested = b'"chat"' in plaintext

    monkeypatch.setattr(bob.link, "write", write_one_page)
    bob.send(frames.Resume([frames.Position("c1", 0)]))
    await server.settle()
    monkeypatch.setattr(bob.link, "write", write_page)
    bob.take()
    assert received(bob) == ["1 replay", "2 replay"]
    return bob


async def uncongest(server: InProcessServer, connected: InProcessPeer) -> None:
    """End the congestion of a link."""
    connected.link.congested = False
    connected.session.writable()
    await server.settle()


async def test_a_busy_conversation_does_not_delay_the_others(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a message stored during every page, replay still reaches the next conversation and the end."""
    monkeypatch.setattr(catch_up, "_PAGE", 2)
    alice = await write(server, "alice", "bob", 4)
    await write(server, "carol", "bob", 1)
    bob = await server.visitor("bob")
    bob.frames.clear()
    write_page = bob.link.write

    def busy(plaintext: bytes) -> None:
        write_page(plaintext)
        if b'"replay"' in plaintext and isinstance(alice.device, Device) and len(alice.device.log.sent) < 30:
            alice.send(*alice.device.send("bob", "and another one"))
            server.router.submissions.hand_over()  # it is stored before the next page is read

    monkeypatch.setattr(bob.link, "write", busy)
    bob.send(frames.Resume([]))
    await server.settle()
    assert "resumed" in received(bob)
    order = [each.conversation for each in bob.frames if isinstance(each, frames.Chat)]
    assert order.index("c2") <= 6


async def test_messages_pruned_between_two_pages_are_a_gap(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that are pruned during replay are declared as a gap."""
    bob = await catching_up(server, monkeypatch)
    await server.prune(2)
    await uncongest(server, bob)
    assert received(bob) == ["1 replay", "2 replay", "3-5 pruned", "6 replay", "7 replay", "resumed"]


async def test_pruning_to_empty_between_two_pages_is_a_gap(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If all messages are pruned during replay, the rest is a gap, and later messages are live."""
    bob = await catching_up(server, monkeypatch)
    await server.prune(0)
    await write(server, "carol", "bob", 1)
    await uncongest(server, bob)
    assert received(bob) == ["1 replay", "2 replay", "3-7 pruned", "resumed"]
    await write(server, "alice", "bob", 1)
    assert received(bob)[-1] == "8 live"


async def test_messages_beyond_the_buffer_are_read_again(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an overflow of the buffer, messages of old and new conversations are replayed."""
    monkeypatch.setattr(catch_up, "_BUFFER_BYTES", 700)
    await write(server, "carol", "alice", 1)
    await write(server, "alice", "bob", 1)
    alice = await server.visitor("alice")
    alice.frames.clear()
    alice.link.congested = True
    alice.send(frames.Resume([frames.Position("c1", 1)]))
    await server.settle()
    await write(server, "carol", "alice", 5)
    await write(server, "carol", "bob", 1)
    await write(server, "bob", "alice", 7)
    await uncongest(server, alice)
    assert [line.split()[0] for line in received(alice)] == ["2", "3", "4", "5", "6", "resumed"]
    assert [line.split()[0] for line in received(alice, "c2")] == [*map(str, range(1, 9)), "resumed"]


async def test_buffered_messages_are_sent_in_pages(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buffered messages are sent in small pages as the peer reads them, before `resumed`."""
    bob = await catching_up(server, monkeypatch)
    monkeypatch.setattr(catch_up, "PAGE_BYTES", 500)
    await write(server, "carol", "bob", 12)
    write_page, most = bob.link.write, 0

    def count(plaintext: bytes) -> None:
        nonlocal most
        most = max(most, plaintext.count(b'"live"'))
        write_page(plaintext)

    monkeypatch.setattr(bob.link, "write", count)
    await uncongest(server, bob)
    assert received(bob, "c2") == [*(f"{n} live" for n in range(1, 13)), "resumed"]
    assert 0 < most < 5


async def test_a_session_is_live_after_its_last_page_was_read(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buffered messages and `resumed` wait until the peer has read the last page."""
    monkeypatch.setattr(catch_up, "_PAGE", 100)
    bob = await server.visitor("bob")
    await write(server, "alice", "bob", 3)
    write_page = bob.link.write

    def get_stuck(plaintext: bytes) -> None:
        write_page(plaintext)
        bob.link.congested = b"chat" in plaintext

    monkeypatch.setattr(bob.link, "write", get_stuck)
    bob.send(frames.Resume([]))
    await server.settle()
    await write(server, "alice", "bob", 1)
    bob.take()
    assert received(bob) == ["1 replay", "2 replay", "3 replay"]
    bob.link.congested = False
    monkeypatch.setattr(bob.link, "write", write_page)
    bob.session.writable()
    await server.settle()
    assert received(bob)[3:] in (["4 replay", "resumed"], ["4 live", "resumed"])


@pytest.mark.parametrize("how", ["lost", "bye", "locked"])
async def test_closing_a_session_ends_its_replay(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """When a session is closed during replay, its task ends and nothing more is sent."""
    bob = await catching_up(server, monkeypatch)
    if how == "lost":
        bob.lose()
    elif how == "bye":
        bob.send(frames.ClientBye())
    else:
        bob.session.close(ErrorCode.LOCKED)
    await server.settle()
    bob.lose()
    await server.settle()
    assert not server.tasks._tasks
    assert [line for line in received(bob) if line != "resumed"] == ["1 replay", "2 replay"]


async def test_positions_in_several_frames(server: InProcessServer) -> None:
    """Positions in three frames are applied together, and nothing is sent before the last frame."""
    await write(server, "alice", "bob", 3)
    bob = await server.visitor("bob")
    positions = [frames.Position(f"c{n}", 0) for n in range(2, 1201)]
    bob.send(frames.Resume(positions[:500], more=True), frames.Resume(positions[500:1000], more=True))
    await server.settle()
    assert received(bob) == []
    bob.send(frames.Resume([*positions[1000:], frames.Position("c1", 2)]))
    await server.settle()
    assert received(bob) == ["3 replay", "resumed"]


async def test_a_second_resume_is_an_error_with_a_ref(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second `resume`, during or after the first, is refused; the session continues."""
    bob = await catching_up(server, monkeypatch)
    bob.send(frames.Resume([frames.Position("c1", 0)]))
    await uncongest(server, bob)
    bob.send(frames.Resume([frames.Position("c1", 0)], more=True))
    await server.settle()
    errors = [(each.code, each.ref) for each in bob.frames if isinstance(each, frames.Error)]
    assert errors == [("already_resumed", "resume")] * 2
    assert received(bob) == [*(f"{n} replay" for n in range(1, 8)), "resumed"]
    bob.send(frames.ClientPing())
    await server.settle()
    assert bob.frames[-1].type == "pong"


async def test_a_session_can_send_before_it_resumes(server: InProcessServer) -> None:
    """A message that is sent before `resume` is acknowledged at once, and replayed."""
    await write(server, "alice", "bob", 2)
    bob = await server.visitor("bob")
    bob.send(frames.SendChat("alice", "ho", "f" * 32))
    await server.settle()
    assert bob.kinds()[-1] == "chat_ack"
    bob.send(frames.Resume([]))
    await server.settle()
    assert received(bob) == ["1 replay", "2 replay", "3 replay", "resumed"]


async def test_delivered_is_repeated_on_resume(server: InProcessServer) -> None:
    """A device that resumes gets the delivered position of its peer."""
    alice = await write(server, "alice", "bob", 3)
    bob = await resume(server, "bob", 0)
    bob.send(frames.Received("c1", 2))
    await server.settle()
    alice.lose()
    again = await resume(server, "alice", 3)
    delivered = [(each.conversation, each.seq) for each in again.frames if isinstance(each, frames.Delivered)]
    assert delivered == [("c1", 2)]


def erase_alice(store: Store) -> None:
    """Erase what alice wrote."""
    while store.housekeeping.erase_step(1):
        pass


async def test_erased_messages_keep_their_seq(server: InProcessServer) -> None:
    """Erased messages are replayed with their seqs, without text, and marked as erased."""
    await write(server, "alice", "bob", 2)
    await server.writer.perform(erase_alice)
    bob = await resume(server, "bob", 0)
    chats = [(each.seq, each.body, each.erased) for each in bob.frames if isinstance(each, frames.Chat)]
    assert chats == [(1, "", True), (2, "", True)]


# --- rooms


@pytest.fixture
async def moving(server: InProcessServer) -> InProcessPeer:
    """A session of bob that joins and leaves `#dev`, alice's room and the second conversation."""
    await write(server, "alice", "bob", 1)
    await server.writer.perform(
        lambda store: add_room(store, "#dev", "alice", history=HistoryFrom.FULL),
    )
    with server.reader() as reader:
        server.router.rooms.load(reader.find_room("#dev"), reader.memberships(2))
    return await server.visitor("bob")


async def move(server: InProcessServer, connected: InProcessPeer, *moves: frames.ClientFrame) -> None:
    """Let a user join and leave in turn, and alice send a message after each."""
    for frame in moves:
        connected.send(frame)
        await server.settle()
        await write(server, "alice", "#dev", 1)


JOIN, LEAVE = frames.Join("#dev"), frames.Leave("#dev")


@pytest.mark.parametrize(
    ("before", "moves", "expected"),
    [
        ([JOIN], [LEAVE], ["out", "resumed"]),
        ([JOIN], [LEAVE, JOIN], ["out", "in", "3 live", "resumed"]),
        ([JOIN], [LEAVE, JOIN, LEAVE, JOIN], ["out", "in", "out", "in", "5 live", "resumed"]),
        ([], [JOIN], ["in", "1 live", "resumed"]),
        ([], [JOIN, LEAVE], ["in", "out", "resumed"]),
    ],
)
async def test_joining_and_leaving_while_catching_up(
    server: InProcessServer,
    moving: InProcessPeer,
    before: list[frames.ClientFrame],
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """Nothing of a room is sent after `room_left`; messages after `room` begin at its first seq."""
    await move(server, moving, *before)
    behind = await resume(server, "bob", congested=True)
    await move(server, moving, *moves)
    behind.link.congested = False
    behind.session.writable()
    await server.settle()
    assert received(behind, "c2") == expected


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([LEAVE], ["1 replay", "2 replay", "out", "resumed"]),
        ([LEAVE, JOIN], ["1 replay", "2 replay", "out", "in", "6 live", "resumed"]),
    ],
)
async def test_leaving_between_two_pages(
    server: InProcessServer,
    moving: InProcessPeer,
    monkeypatch: pytest.MonkeyPatch,
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """After `room_left` neither the next page nor buffered messages of the room are sent."""
    monkeypatch.setattr(catch_up, "_PAGE", 2)
    await move(server, moving, JOIN)
    await write(server, "alice", "#dev", 2)
    behind = await server.visitor("bob")
    behind.frames.clear()
    behind.link.page_by_page = True
    behind.send(frames.Resume([frames.Position("c1", 1), frames.Position("c2", 0)]))
    await server.settle()
    await write(server, "alice", "#dev", 1)
    await move(server, moving, *moves)
    behind.take()
    behind.link.page_by_page = behind.link.congested = False
    behind.session.writable()
    await server.settle()
    assert received(behind, "c2") == expected


async def test_the_gap_of_an_old_position_comes_before_joining(
    server: InProcessServer, moving: InProcessPeer
) -> None:
    """The gap for a position in a former room is sent before the `room` of rejoining it."""
    await move(server, moving, JOIN, LEAVE)
    behind = await server.visitor("bob")
    behind.frames.clear()
    behind.link.congested = True
    behind.send(frames.Resume([frames.Position("c2", 1)]))
    await server.settle()
    await move(server, moving, JOIN)
    behind.link.congested = False
    behind.session.writable()
    await server.settle()
    assert received(behind, "c2") == ["1-1 ahead", "in", "3 live", "resumed"]


def sessions() -> set[int]:
    """Return the ids of all objects that are sessions."""
    return {id(each) for each in gc.get_objects() if isinstance(each, Session)}


async def test_nothing_keeps_a_resumed_session_alive(server: InProcessServer) -> None:
    """A session that resumed and was answered requests is freed by reference counting alone."""
    gc.collect()
    gc.disable()
    others = sessions()
    try:
        alice = await server.visitor("alice")
        alice.send(frames.Resume([]))
        await server.settle()
        alice.send(frames.SendChat("bob", "hi", f"{1:032x}"))
        alice.send(frames.HistoryRequest("c1"))
        alice.send(frames.ConversationsRequest())
        await server.settle()
        alice.lose()
        del alice
        server.peers.clear()
        await server.settle()
        # A thread that has just read for the session may still be on its way back.
        await until(lambda: not sessions() - others)
    finally:
        gc.enable()
