"""Replay, from login to live: what is sent, what is not, and that no message falls between."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom
from qscpd.sessions import replay
from qscpd.store.sqlite.store import SqliteStore
from tests.support.device import Device
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.stores import add_room

_numbers = itertools.count(1)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A daemon without a network, for alice, bob and carol."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob", "carol")
    async with InProcessServer(SqliteStore(tmp_path / "qscpd.db")) as opened:
        yield opened


def device(user: str) -> Device:
    """A new device."""
    number = next(_numbers)
    return Device(user, device_id(number), IdMaker(number))


async def write(server: InProcessServer, user: str, to: str, count: int) -> InProcessPeer:
    """Let a user write messages, and stay."""
    author = device(user)
    connected = await server.login(author)
    for n in range(count):
        connected.send(*author.send(to, f"{user} {n + 1}"))
    await server.settle()
    assert len(author.log.acked) == count
    return connected


async def resume(
    server: InProcessServer, user: str, position: int | None = None, *, congested: bool = False
) -> InProcessPeer:
    """Log in and resume in the first conversation, by hand."""
    connected = await server.visitor(user)
    connected.frames.clear()
    connected.link.congested = congested
    connected.send(frames.Resume([] if position is None else [frames.Position("c1", position)]))
    await server.settle()
    return connected


def received(connected: InProcessPeer, conversation: str = "c1") -> list[str]:
    """Return what a peer received of a conversation, in short."""
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


async def test_nothing_is_told_before_resume(server: InProcessServer) -> None:
    """A session gets no message until it said what it has, and then each of them once."""
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
async def test_a_position_decides_what_is_missing(
    server: InProcessServer, position: int, expected: list[str]
) -> None:
    """What comes after the position is sent, and nothing else; a position above the end is a gap."""
    await write(server, "alice", "bob", 3)
    assert received(await resume(server, "bob", position)) == [*expected, "resumed"]


async def test_a_position_in_a_conversation_that_is_not_there_is_ahead(server: InProcessServer) -> None:
    """So a device learns that the store was restored; position 0 claims nothing, nonsense is ignored."""
    bob = await server.visitor("bob")
    positions = [("c7", 3), ("c8", 0), ("room", 2)]
    bob.send(frames.Resume([frames.Position(name, seq) for name, seq in positions]))
    await server.settle()
    assert received(bob, "c7") == ["1-3 ahead", "resumed"]
    assert [frame for frame in bob.frames if isinstance(frame, frames.Gap)] == [bob.frames[-2]]


async def test_somebody_elses_conversation_is_ahead_too(server: InProcessServer) -> None:
    """Nobody can get another's messages by a position, nor learn that they exist."""
    await write(server, "alice", "bob", 3)
    assert received(await resume(server, "carol", 1)) == ["1-1 ahead", "resumed"]


async def test_a_new_device_starts_at_the_read_position(server: InProcessServer) -> None:
    """What the user has read on another device is not sent again."""
    await write(server, "alice", "bob", 3)
    other = await server.visitor("bob")
    other.send(frames.ClientRead("c1", 2))
    await server.settle()
    assert received(await resume(server, "bob")) == ["3 replay", "resumed"]


async def test_a_new_device_gets_two_hundred_messages_at_most(server: InProcessServer) -> None:
    """The older ones are a gap, left to `history`; a device with a position gets all."""
    await write(server, "alice", "bob", 250)
    seqs = [f"{n} replay" for n in range(51, 251)]
    assert received(await resume(server, "bob")) == ["1-50 older", *seqs, "resumed"]
    assert len(received(await resume(server, "bob", 0))) == 251


async def test_a_new_device_is_told_what_was_pruned_and_what_is_older(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the read position every seq is sent or declared, and the gaps rise."""
    monkeypatch.setattr(replay, "_NEW_DEVICE", 2)
    await write(server, "alice", "bob", 9)
    await server.prune(6)
    expected = ["1-3 pruned", "4-7 older", "8 replay", "9 replay", "resumed"]
    assert received(await resume(server, "bob")) == expected


async def test_what_was_pruned_is_a_gap(server: InProcessServer) -> None:
    """A device that was away for longer than messages are kept gets one gap."""
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


async def test_a_page_waits_for_the_peer(server: InProcessServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a peer does not read, nothing is made for it, however long it was away."""
    monkeypatch.setattr(replay, "_PAGE", 2)
    await write(server, "alice", "bob", 7)
    bob = await resume(server, "bob", 0, congested=True)
    bob.take()
    assert received(bob) == []
    bob.link.congested = False
    bob.session.writable()
    await server.settle()
    assert received(bob) == [*(f"{n} replay" for n in range(1, 8)), "resumed"]


async def test_live_messages_wait_behind_replay(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored while a device catches up comes after it, in order, and once."""
    bob = await half_way(server, monkeypatch)
    await write(server, "carol", "bob", 1)  # a conversation that did not exist at `resume`
    await write(server, "alice", "bob", 2)
    await let_go(server, bob)
    assert received(bob) == [*(f"{n} replay" for n in range(1, 9)), "9 live", "resumed"]
    assert received(bob, "c2") == ["1 live", "resumed"]


async def half_way(server: InProcessServer, monkeypatch: pytest.MonkeyPatch) -> InProcessPeer:
    """Bob has taken two of seven messages, and reads no further."""
    monkeypatch.setattr(replay, "_PAGE", 2)
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


async def let_go(server: InProcessServer, connected: InProcessPeer) -> None:
    """The peer reads again, and does not stop."""
    connected.link.congested = False
    connected.session.writable()
    await server.settle()


async def test_a_busy_conversation_does_not_hold_the_others_up(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though something is stored during every page, the session gets to the next conversation, and live."""
    monkeypatch.setattr(replay, "_PAGE", 2)
    alice = await write(server, "alice", "bob", 4)
    await write(server, "carol", "bob", 1)
    bob = await server.visitor("bob")
    bob.frames.clear()
    write_page = bob.link.write

    def busy(plaintext: bytes) -> None:
        write_page(plaintext)
        if b'"replay"' in plaintext and alice.device is not None and len(alice.device.log.sent) < 30:
            alice.send(*alice.device.send("bob", "and another one"))
            server.router.submissions.hand_over()  # it is stored before the next page is read

    monkeypatch.setattr(bob.link, "write", busy)
    bob.send(frames.Resume([]))
    await server.settle()
    assert "resumed" in received(bob)
    order = [each.conversation for each in bob.frames if isinstance(each, frames.Chat)]
    assert order.index("c2") <= 6


async def test_what_is_pruned_between_two_pages_is_a_gap(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that went while a device caught up are declared, not skipped."""
    bob = await half_way(server, monkeypatch)
    await server.prune(2)
    await let_go(server, bob)
    assert received(bob) == ["1 replay", "2 replay", "3-5 pruned", "6 replay", "7 replay", "resumed"]


async def test_pruning_to_empty_between_two_pages_is_a_gap_too(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing at all is left of the conversation."""
    bob = await half_way(server, monkeypatch)
    await server.prune(0)
    await write(server, "carol", "bob", 1)
    await let_go(server, bob)
    assert received(bob) == ["1 replay", "2 replay", "3-7 pruned", "resumed"]
    await write(server, "alice", "bob", 1)
    assert received(bob)[-1] == "8 live"


async def test_more_than_is_held_is_read_again(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages of a conversation that was replayed already, and of a new one, survive an overflow."""
    monkeypatch.setattr(replay, "_BUFFER_BYTES", 700)
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
    await let_go(server, alice)
    assert [line.split()[0] for line in received(alice)] == ["2", "3", "4", "5", "6", "resumed"]
    assert [line.split()[0] for line in received(alice, "c2")] == [*map(str, range(1, 9)), "resumed"]


async def test_what_is_held_is_told_in_pages(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes out no faster than the peer takes it; then the session is live."""
    bob = await half_way(server, monkeypatch)
    monkeypatch.setattr(replay, "PAGE_BYTES", 500)
    await write(server, "carol", "bob", 12)
    write_page, most = bob.link.write, 0

    def count(plaintext: bytes) -> None:
        nonlocal most
        most = max(most, plaintext.count(b'"live"'))
        write_page(plaintext)

    monkeypatch.setattr(bob.link, "write", count)
    await let_go(server, bob)
    assert received(bob, "c2") == [*(f"{n} live" for n in range(1, 13)), "resumed"]
    assert 0 < most < 5


async def test_a_peer_goes_live_only_when_it_took_the_last_page(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was buffered is not queued on top of a page that still waits."""
    monkeypatch.setattr(replay, "_PAGE", 100)
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
async def test_a_session_that_ends_in_the_middle_ends_its_replay(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """No task is left that waits for a peer that is gone, and nothing is sent to it."""
    bob = await half_way(server, monkeypatch)
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


async def test_positions_come_in_several_frames(server: InProcessServer) -> None:
    """1,200 positions in three frames are taken together, and nothing is sent before the last one."""
    await write(server, "alice", "bob", 3)
    bob = await server.visitor("bob")
    positions = [frames.Position(f"c{n}", 0) for n in range(2, 1201)]
    bob.send(frames.Resume(positions[:500], more=True), frames.Resume(positions[500:1000], more=True))
    await server.settle()
    assert received(bob) == []
    bob.send(frames.Resume([*positions[1000:], frames.Position("c1", 2)]))
    await server.settle()
    assert received(bob) == ["3 replay", "resumed"]


async def test_a_second_resume_is_an_error_that_ends_nothing(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both while the first is answered and after it; nothing is sent twice."""
    bob = await half_way(server, monkeypatch)
    bob.send(frames.Resume([frames.Position("c1", 0)]))
    await let_go(server, bob)
    bob.send(frames.Resume([frames.Position("c1", 0)], more=True))
    await server.settle()
    errors = [(each.code, each.ref) for each in bob.frames if isinstance(each, frames.Error)]
    assert errors == [("already_resumed", "resume")] * 2
    assert received(bob) == [*(f"{n} replay" for n in range(1, 8)), "resumed"]
    bob.send(frames.ClientPing())
    await server.settle()
    assert bob.frames[-1].type == "pong"


async def test_a_session_may_send_before_it_resumes(server: InProcessServer) -> None:
    """Its message is acknowledged at once, and comes back by seq like those of other devices."""
    await write(server, "alice", "bob", 2)
    bob = await server.visitor("bob")
    bob.send(frames.SendChat("alice", "ho", "f" * 32))
    await server.settle()
    assert bob.kinds()[-1] == "chat_ack"
    bob.send(frames.Resume([]))
    await server.settle()
    assert received(bob) == ["1 replay", "2 replay", "3 replay", "resumed"]


async def test_delivered_is_repeated_on_resume(server: InProcessServer) -> None:
    """The sender's device learns what was delivered while it was away."""
    alice = await write(server, "alice", "bob", 3)
    bob = await resume(server, "bob", 0)
    bob.send(frames.Received("c1", 2))
    await server.settle()
    alice.lose()
    again = await resume(server, "alice", 3)
    delivered = [(each.conversation, each.seq) for each in again.frames if isinstance(each, frames.Delivered)]
    assert delivered == [("c1", 2)]


async def test_erased_messages_keep_their_place(server: InProcessServer) -> None:
    """They are sent without their text, and marked."""
    await write(server, "alice", "bob", 2)
    await server.writer.perform(lambda store: [store.housekeeping.erase_step(1) for _ in range(3)])
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
    server.router.rooms.load(server.store.find_room("#dev"), server.store.memberships(2))
    return await server.visitor("bob")


async def come_and_go(server: InProcessServer, connected: InProcessPeer, *moves: frames.ClientFrame) -> None:
    """Let a user join and leave, and alice write after each of it."""
    for move in moves:
        connected.send(move)
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
async def test_who_joins_and_leaves_while_behind(
    server: InProcessServer,
    moving: InProcessPeer,
    before: list[frames.ClientFrame],
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """Nothing older comes after `room_left`, and what comes after `room` begins where that says."""
    await come_and_go(server, moving, *before)
    behind = await resume(server, "bob", congested=True)
    await come_and_go(server, moving, *moves)
    behind.link.congested = False
    behind.session.writable()
    await server.settle()
    assert received(behind, "c2") == expected


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([LEAVE], ["1 replay", "2 replay", "out", "resumed"]),
        ([LEAVE, JOIN], ["1 replay", "2 replay", "out", "in", "6 replay", "resumed"]),
    ],
)
async def test_who_leaves_between_two_pages(
    server: InProcessServer,
    moving: InProcessPeer,
    monkeypatch: pytest.MonkeyPatch,
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """Neither the next page nor what was buffered comes any more."""
    monkeypatch.setattr(replay, "_PAGE", 2)
    await come_and_go(server, moving, JOIN)
    await write(server, "alice", "#dev", 2)
    behind = await server.visitor("bob")
    behind.frames.clear()
    behind.link.page_by_page = True
    behind.send(frames.Resume([frames.Position("c1", 1), frames.Position("c2", 0)]))
    await server.settle()
    await write(server, "alice", "#dev", 1)
    await come_and_go(server, moving, *moves)
    behind.take()
    behind.link.page_by_page = behind.link.congested = False
    behind.session.writable()
    await server.settle()
    assert received(behind, "c2") == expected


async def test_a_position_from_before_is_told_first(server: InProcessServer, moving: InProcessPeer) -> None:
    """The gap of a room that was left long ago comes before the `room` of joining it again."""
    await come_and_go(server, moving, JOIN, LEAVE)
    behind = await server.visitor("bob")
    behind.frames.clear()
    behind.link.congested = True
    behind.send(frames.Resume([frames.Position("c2", 1)]))
    await server.settle()
    await come_and_go(server, moving, JOIN)
    behind.link.congested = False
    behind.session.writable()
    await server.settle()
    assert received(behind, "c2") == ["1-1 ahead", "in", "3 live", "resumed"]
