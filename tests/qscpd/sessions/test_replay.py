"""The way from login to live: what is told, what is not, and that nothing falls between."""

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
from tests.support.in_process_server import Desk, Office, make_accounts
from tests.support.stores import add_room

_numbers = itertools.count(1)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """A daemon without a network, for alice, bob and carol."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob", "carol")
    async with Office(SqliteStore(tmp_path / "qscpd.db")) as opened:
        yield opened


def device(user: str) -> Device:
    """A new device."""
    number = next(_numbers)
    return Device(user, device_id(number), IdMaker(number))


async def write(office: Office, user: str, to: str, count: int) -> Desk:
    """Let somebody write messages, and stay."""
    author = device(user)
    desk = await office.login(author)
    for n in range(count):
        desk.send(*author.send(to, f"{user} {n + 1}"))
    await office.settle()
    assert len(author.log.acked) == count
    return desk


async def resume(office: Office, user: str, position: int | None = None, *, congested: bool = False) -> Desk:
    """Log in and resume in the first conversation, by hand."""
    desk = await office.visitor(user)
    desk.frames.clear()
    desk.link.congested = congested
    desk.send(frames.Resume([] if position is None else [frames.Position("c1", position)]))
    await office.settle()
    return desk


def told(desk: Desk, conversation: str = "c1") -> list[str]:
    """What a peer was told of a conversation, in short."""
    short = []
    for frame in desk.frames:
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


async def test_nothing_is_told_before_resume(office: Office) -> None:
    """A session gets no message until it said what it has, and then each of them once."""
    await write(office, "alice", "bob", 2)
    bob = await office.visitor("bob")
    await write(office, "alice", "bob", 1)
    assert told(bob) == []
    bob.send(frames.Resume([]))
    await office.settle()
    assert told(bob) == ["1 replay", "2 replay", "3 replay", "resumed"]
    await write(office, "alice", "bob", 1)
    assert told(bob)[-1] == "4 live"


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (0, ["1 replay", "2 replay", "3 replay"]),
        (2, ["3 replay"]),
        (3, []),
        (5, ["4-5 ahead"]),
    ],
)
async def test_a_position_decides_what_is_missing(office: Office, position: int, expected: list[str]) -> None:
    """What comes after the position is told, and nothing else; a position above the end is a gap."""
    await write(office, "alice", "bob", 3)
    assert told(await resume(office, "bob", position)) == [*expected, "resumed"]


async def test_a_position_in_a_conversation_that_is_not_there_is_ahead(office: Office) -> None:
    """So a device learns that the store was restored; position 0 claims nothing, nonsense is ignored."""
    bob = await office.visitor("bob")
    positions = [("c7", 3), ("c8", 0), ("room", 2)]
    bob.send(frames.Resume([frames.Position(name, seq) for name, seq in positions]))
    await office.settle()
    assert told(bob, "c7") == ["1-3 ahead", "resumed"]
    assert [frame for frame in bob.frames if isinstance(frame, frames.Gap)] == [bob.frames[-2]]


async def test_somebody_elses_conversation_is_ahead_too(office: Office) -> None:
    """Nobody can get another's messages by a position, nor learn that they exist."""
    await write(office, "alice", "bob", 3)
    assert told(await resume(office, "carol", 1)) == ["1-1 ahead", "resumed"]


async def test_a_new_device_starts_at_the_read_position(office: Office) -> None:
    """What the person has seen on another device is not told again."""
    await write(office, "alice", "bob", 3)
    other = await office.visitor("bob")
    other.send(frames.ClientRead("c1", 2))
    await office.settle()
    assert told(await resume(office, "bob")) == ["3 replay", "resumed"]


async def test_a_new_device_gets_two_hundred_messages_at_most(office: Office) -> None:
    """The older ones are a gap, left to `history`; a device with a position gets all."""
    await write(office, "alice", "bob", 250)
    seqs = [f"{n} replay" for n in range(51, 251)]
    assert told(await resume(office, "bob")) == ["1-50 older", *seqs, "resumed"]
    assert len(told(await resume(office, "bob", 0))) == 251


async def test_a_new_device_is_told_what_was_pruned_and_what_is_older(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the read position every seq is told or declared, and the gaps rise."""
    monkeypatch.setattr(replay, "_NEW_DEVICE", 2)
    await write(office, "alice", "bob", 9)
    await office.prune(6)
    expected = ["1-3 pruned", "4-7 older", "8 replay", "9 replay", "resumed"]
    assert told(await resume(office, "bob")) == expected


async def test_what_was_pruned_is_a_gap(office: Office) -> None:
    """A device that was away for longer than is kept is told so, once."""
    await write(office, "alice", "bob", 9)
    await office.prune(3)
    assert told(await resume(office, "bob", 2)) == [
        "3-6 pruned",
        "7 replay",
        "8 replay",
        "9 replay",
        "resumed",
    ]
    assert told(await resume(office, "bob", 6)) == ["7 replay", "8 replay", "9 replay", "resumed"]


async def test_a_page_waits_for_the_peer(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a peer does not read, nothing is made for it, however long it was away."""
    monkeypatch.setattr(replay, "_PAGE", 2)
    await write(office, "alice", "bob", 7)
    bob = await resume(office, "bob", 0, congested=True)
    bob.take()
    assert told(bob) == []
    bob.link.congested = False
    bob.session.writable()
    await office.settle()
    assert told(bob) == [*(f"{n} replay" for n in range(1, 8)), "resumed"]


async def test_live_messages_wait_behind_replay(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored while a device catches up comes after it, in order, and once."""
    bob = await half_way(office, monkeypatch)
    await write(office, "carol", "bob", 1)  # a conversation that did not exist at `resume`
    await write(office, "alice", "bob", 2)
    await let_go(office, bob)
    assert told(bob) == [*(f"{n} replay" for n in range(1, 9)), "9 live", "resumed"]
    assert told(bob, "c2") == ["1 live", "resumed"]


async def half_way(office: Office, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Bob has taken two of seven messages, and reads no further."""
    monkeypatch.setattr(replay, "_PAGE", 2)
    await write(office, "alice", "bob", 7)
    bob = await office.visitor("bob")
    bob.frames.clear()
    write_page = bob.link.write

    def write_one_page(plaintext: bytes) -> None:
        write_page(plaintext)
        bob.link.congested = b'"chat"' in plaintext

    monkeypatch.setattr(bob.link, "write", write_one_page)
    bob.send(frames.Resume([frames.Position("c1", 0)]))
    await office.settle()
    monkeypatch.setattr(bob.link, "write", write_page)
    bob.take()
    assert told(bob) == ["1 replay", "2 replay"]
    return bob


async def let_go(office: Office, desk: Desk) -> None:
    """The peer reads again, and does not stop."""
    desk.link.congested = False
    desk.session.writable()
    await office.settle()


async def test_a_busy_conversation_does_not_hold_the_others_up(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though something is stored during every page, the session gets to the next conversation, and live."""
    monkeypatch.setattr(replay, "_PAGE", 2)
    alice = await write(office, "alice", "bob", 4)
    await write(office, "carol", "bob", 1)
    bob = await office.visitor("bob")
    bob.frames.clear()
    write_page = bob.link.write

    def busy(plaintext: bytes) -> None:
        write_page(plaintext)
        if b'"replay"' in plaintext and alice.device is not None and len(alice.device.log.sent) < 30:
            alice.send(*alice.device.send("bob", "and another one"))
            office.router.flush()  # it is stored before the next page is read

    monkeypatch.setattr(bob.link, "write", busy)
    bob.send(frames.Resume([]))
    await office.settle()
    assert "resumed" in told(bob)
    order = [each.conversation for each in bob.frames if isinstance(each, frames.Chat)]
    assert order.index("c2") <= 6


async def test_what_is_pruned_between_two_pages_is_a_gap(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that went while a device caught up are declared, not skipped."""
    bob = await half_way(office, monkeypatch)
    await office.prune(2)
    await let_go(office, bob)
    assert told(bob) == ["1 replay", "2 replay", "3-5 pruned", "6 replay", "7 replay", "resumed"]


async def test_pruning_to_empty_between_two_pages_is_a_gap_too(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing at all is left of the conversation."""
    bob = await half_way(office, monkeypatch)
    await office.prune(0)
    await write(office, "carol", "bob", 1)
    await let_go(office, bob)
    assert told(bob) == ["1 replay", "2 replay", "3-7 pruned", "resumed"]
    await write(office, "alice", "bob", 1)
    assert told(bob)[-1] == "8 live"


async def test_more_than_is_held_is_read_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of a conversation that was told already, and of a new one, survive an overflow."""
    monkeypatch.setattr(replay, "_HELD_BYTES", 700)
    await write(office, "carol", "alice", 1)
    await write(office, "alice", "bob", 1)
    alice = await office.visitor("alice")
    alice.frames.clear()
    alice.link.congested = True
    alice.send(frames.Resume([frames.Position("c1", 1)]))
    await office.settle()
    await write(office, "carol", "alice", 5)
    await write(office, "carol", "bob", 1)
    await write(office, "bob", "alice", 7)
    await let_go(office, alice)
    assert [line.split()[0] for line in told(alice)] == ["2", "3", "4", "5", "6", "resumed"]
    assert [line.split()[0] for line in told(alice, "c2")] == [*map(str, range(1, 9)), "resumed"]


async def test_what_is_held_is_told_in_pages(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes out no faster than the peer takes it; then the session is live."""
    bob = await half_way(office, monkeypatch)
    monkeypatch.setattr(replay, "PAGE_BYTES", 500)
    await write(office, "carol", "bob", 12)
    write_page, most = bob.link.write, 0

    def count(plaintext: bytes) -> None:
        nonlocal most
        most = max(most, plaintext.count(b'"live"'))
        write_page(plaintext)

    monkeypatch.setattr(bob.link, "write", count)
    await let_go(office, bob)
    assert told(bob, "c2") == [*(f"{n} live" for n in range(1, 13)), "resumed"]
    assert 0 < most < 5


async def test_a_peer_goes_live_only_when_it_took_the_last_page(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was held is not queued on top of a page that still waits."""
    monkeypatch.setattr(replay, "_PAGE", 100)
    bob = await office.visitor("bob")
    await write(office, "alice", "bob", 3)
    write_page = bob.link.write

    def get_stuck(plaintext: bytes) -> None:
        write_page(plaintext)
        bob.link.congested = b"chat" in plaintext

    monkeypatch.setattr(bob.link, "write", get_stuck)
    bob.send(frames.Resume([]))
    await office.settle()
    await write(office, "alice", "bob", 1)
    bob.take()
    assert told(bob) == ["1 replay", "2 replay", "3 replay"]
    bob.link.congested = False
    monkeypatch.setattr(bob.link, "write", write_page)
    bob.session.writable()
    await office.settle()
    assert told(bob)[3:] in (["4 replay", "resumed"], ["4 live", "resumed"])


@pytest.mark.parametrize("how", ["lost", "bye", "locked"])
async def test_a_session_that_ends_in_the_middle_ends_its_replay(
    office: Office, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """No task is left that waits for a peer that is gone, and nothing is sent to it."""
    bob = await half_way(office, monkeypatch)
    if how == "lost":
        bob.lose()
    elif how == "bye":
        bob.send(frames.ClientBye())
    else:
        bob.session.say_bye(ErrorCode.LOCKED)
    await office.settle()
    bob.lose()
    await office.settle()
    assert not office.tasks._tasks
    assert [line for line in told(bob) if line != "resumed"] == ["1 replay", "2 replay"]


async def test_positions_come_in_several_frames(office: Office) -> None:
    """1,200 positions in three frames are taken together, and nothing is told before the last one."""
    await write(office, "alice", "bob", 3)
    bob = await office.visitor("bob")
    positions = [frames.Position(f"c{n}", 0) for n in range(2, 1201)]
    bob.send(frames.Resume(positions[:500], more=True), frames.Resume(positions[500:1000], more=True))
    await office.settle()
    assert told(bob) == []
    bob.send(frames.Resume([*positions[1000:], frames.Position("c1", 2)]))
    await office.settle()
    assert told(bob) == ["3 replay", "resumed"]


async def test_a_second_resume_is_an_error_that_ends_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both while the first is answered and after it; nothing is told twice."""
    bob = await half_way(office, monkeypatch)
    bob.send(frames.Resume([frames.Position("c1", 0)]))
    await let_go(office, bob)
    bob.send(frames.Resume([frames.Position("c1", 0)], more=True))
    await office.settle()
    errors = [(each.code, each.ref) for each in bob.frames if isinstance(each, frames.Error)]
    assert errors == [("already_resumed", "resume")] * 2
    assert told(bob) == [*(f"{n} replay" for n in range(1, 8)), "resumed"]
    bob.send(frames.ClientPing())
    await office.settle()
    assert bob.frames[-1].type == "pong"


async def test_a_session_may_send_before_it_resumes(office: Office) -> None:
    """Its message is acknowledged at once, and comes back by seq like those of other devices."""
    await write(office, "alice", "bob", 2)
    bob = await office.visitor("bob")
    bob.send(frames.SendChat("alice", "ho", "f" * 32))
    await office.settle()
    assert bob.kinds()[-1] == "chat_ack"
    bob.send(frames.Resume([]))
    await office.settle()
    assert told(bob) == ["1 replay", "2 replay", "3 replay", "resumed"]


async def test_delivered_is_repeated_on_resume(office: Office) -> None:
    """The sender's device learns what was delivered while it was away."""
    alice = await write(office, "alice", "bob", 3)
    bob = await resume(office, "bob", 0)
    bob.send(frames.Received("c1", 2))
    await office.settle()
    alice.lose()
    again = await resume(office, "alice", 3)
    delivered = [(each.conversation, each.seq) for each in again.frames if isinstance(each, frames.Delivered)]
    assert delivered == [("c1", 2)]


async def test_erased_messages_keep_their_place(office: Office) -> None:
    """They are told without their text, and marked."""
    await write(office, "alice", "bob", 2)
    await office.writer.call(lambda store: [store.erase_step(1) for _ in range(3)])
    bob = await resume(office, "bob", 0)
    chats = [(each.seq, each.body, each.erased) for each in bob.frames if isinstance(each, frames.Chat)]
    assert chats == [(1, "", True), (2, "", True)]


# --- rooms


@pytest.fixture
async def moving(office: Office) -> Desk:
    """A session of bob that joins and leaves `#dev`, alice's room and the second conversation."""
    await write(office, "alice", "bob", 1)
    await office.writer.call(
        lambda store: add_room(store, "#dev", "alice", history=HistoryFrom.FULL),
    )
    office.router.rooms.load(office.store.find_room("#dev"), office.store.standings(2))
    return await office.visitor("bob")


async def come_and_go(office: Office, desk: Desk, *moves: frames.ClientFrame) -> None:
    """Let somebody join and leave, and alice write after each of it."""
    for move in moves:
        desk.send(move)
        await office.settle()
        await write(office, "alice", "#dev", 1)


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
    office: Office,
    moving: Desk,
    before: list[frames.ClientFrame],
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """Nothing from before comes behind `room_left`, and what comes behind `room` begins where that says."""
    await come_and_go(office, moving, *before)
    behind = await resume(office, "bob", congested=True)
    await come_and_go(office, moving, *moves)
    behind.link.congested = False
    behind.session.writable()
    await office.settle()
    assert told(behind, "c2") == expected


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([LEAVE], ["1 replay", "2 replay", "out", "resumed"]),
        ([LEAVE, JOIN], ["1 replay", "2 replay", "out", "in", "6 replay", "resumed"]),
    ],
)
async def test_who_leaves_between_two_pages(
    office: Office,
    moving: Desk,
    monkeypatch: pytest.MonkeyPatch,
    moves: list[frames.ClientFrame],
    expected: list[str],
) -> None:
    """Neither the next page nor what was held comes any more."""
    monkeypatch.setattr(replay, "_PAGE", 2)
    await come_and_go(office, moving, JOIN)
    await write(office, "alice", "#dev", 2)
    behind = await office.visitor("bob")
    behind.frames.clear()
    behind.link.page_by_page = True
    behind.send(frames.Resume([frames.Position("c1", 1), frames.Position("c2", 0)]))
    await office.settle()
    await write(office, "alice", "#dev", 1)
    await come_and_go(office, moving, *moves)
    behind.take()
    behind.link.page_by_page = behind.link.congested = False
    behind.session.writable()
    await office.settle()
    assert told(behind, "c2") == expected


async def test_a_position_from_before_is_told_first(office: Office, moving: Desk) -> None:
    """Whose room was left long ago is told so before they are told that they are in it again."""
    await come_and_go(office, moving, JOIN, LEAVE)
    behind = await office.visitor("bob")
    behind.frames.clear()
    behind.link.congested = True
    behind.send(frames.Resume([frames.Position("c2", 1)]))
    await office.settle()
    await come_and_go(office, moving, JOIN)
    behind.link.congested = False
    behind.session.writable()
    await office.settle()
    assert told(behind, "c2") == ["1-1 ahead", "in", "3 live", "resumed"]
