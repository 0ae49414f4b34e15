"""Fan-out to large rooms in slices: turns of others between them, and the order in the room."""

import asyncio

import pytest

from qscp import codec, frames
from qscp.rooms import HistoryFrom, RoomRole
from qscpd.bus.base import Commit
from qscpd.domain.events import RoomChanged
from qscpd.domain.rooms import NO_MEMBERSHIP, Membership, RoomChange
from qscpd.sessions.session import Session
from tests.support import room_rows
from tests.support.doubles import FakeLink, RouterDouble
from tests.support.waiting import until

_ROW = room_rows.ROOM._replace(history=HistoryFrom.FULL, last_seq=0, members=100)


class LargeRoom:
    """A router with a room of a hundred members, each with a session; every slice is of 16 sessions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("qscpd.chat.room_fan_out._SLICE_S", 1e-9)
        names = [f"m{number}" for number in range(100)]
        self.router = RouterDouble(*names, "bob", "carol")
        roles = {each: Membership(RoomRole.OWNER if each == 1 else RoomRole.MEMBER) for each in range(1, 101)}
        self.router.rooms.load(_ROW, roles)
        opened = [self.router.login(name) for name in names]
        self.sender: Session = opened[0][0]
        self.links = [link for _, link in opened[1:]]
        self.settle()
        for link in self.links:
            link.take()

    def settle(self) -> None:
        """Write what is queued."""
        self.router.flush()

    def write(self, body: str) -> None:
        """Let the first member write, and the store commit it."""
        self.sender.receive(codec.encode(frames.SendChat("#dev", body, f"{hash(body) % 16**32:032x}")))
        self.settle()
        self.router.writer.answer(self.router)

    def bodies(self) -> list[list[str]]:
        """Return the bodies that each of the other members got since the last call."""
        self.settle()
        return [[each.body for each in link.take() if isinstance(each, frames.Chat)] for link in self.links]

    def close(self) -> None:
        """Close the router."""
        self.router.close()


@pytest.fixture
async def large(monkeypatch: pytest.MonkeyPatch) -> LargeRoom:
    """A large room, in a running loop."""
    return LargeRoom(monkeypatch)


async def test_others_have_a_turn_between_two_slices(large: LargeRoom) -> None:
    """A turn of the loop sends one slice; in the end every member has the message once."""
    large.write("hello")
    got = [_counts(large.links)[0]]
    for _ in range(10):
        await asyncio.sleep(0)
        got.append(_counts(large.links)[0])
    assert list(dict.fromkeys(got)) == [16, 32, 48, 64, 80, 96, 99]
    assert large.bodies() == [["hello"]] * 99
    large.close()


async def test_the_gate_opens_after_the_last_slice(large: LargeRoom) -> None:
    """The next message waits for the whole fan-out of the one before, and comes after it everywhere."""
    large.write("first")
    large.sender.receive(codec.encode(frames.SendChat("#dev", "second", "2" * 32)))
    large.settle()
    assert large.router.writer.waiting == []

    def passed() -> int:
        large.settle()
        return len(large.router.writer.waiting)

    await until(passed)  # A fan-out that takes long is followed by a cooldown.
    assert passed() == 1
    large.router.writer.answer(large.router)
    large.router._room_fan_out.finish_all()
    assert large.bodies() == [["first", "second"]] * 99
    large.close()


async def test_a_batch_that_passed_a_barrier_comes_after_the_rest(large: LargeRoom) -> None:
    """What is left of a batch goes out before the next one of the same room."""
    large.write("first")
    large.sender.receive(codec.encode(frames.SendChat("#dev", "second", "2" * 32)))
    large.router.submissions.barrier()
    large.router.writer.answer(large.router)
    large.router._room_fan_out.finish_all()
    assert large.bodies() == [["first", "second"]] * 99
    large.close()


async def test_a_change_of_the_room_comes_after_the_rest(large: LargeRoom) -> None:
    """A member who leaves has the messages from before; one who joins gets none of them."""
    carol, carol_link = large.router.login("carol")
    large.settle()
    carol_link.take()
    large.write("first")
    leaves = RoomChange(action="leave", room="#dev", actor=2)
    large.router.bus.publish(Commit([RoomChanged(_ROW, {2: NO_MEMBERSHIP}, leaves)]))
    joins = RoomChange(action="join", room="#dev", actor=102)
    large.router.bus.publish(Commit([RoomChanged(_ROW, {102: Membership(RoomRole.MEMBER, 2)}, joins)]))
    large.settle()
    kinds = [type(each) for each in large.links[0].take() if isinstance(each, frames.Chat | frames.RoomLeft)]
    assert kinds == [frames.Chat, frames.RoomLeft]
    (joined,) = [each for each in carol_link.take() if isinstance(each, frames.Chat | frames.RoomChanged)]
    assert isinstance(joined, frames.RoomChanged)
    assert joined.last_seq == 1
    assert carol.outbound.live
    large.close()


async def test_a_session_that_is_catching_up_buffers_at_once(large: LargeRoom) -> None:
    """No slice reaches a session that was not live at the commit: it buffered the message then."""
    late, link = large.router.login("m50", live=False)
    large.settle()
    link.take()
    large.write("first")
    late.outbound.live = True
    large.router._room_fan_out.finish_all()
    large.settle()
    assert [each for each in link.take() if isinstance(each, frames.Chat)] == []
    assert large.bodies() == [["first"]] * 99
    large.close()


async def test_a_shutdown_sends_the_rest_first(large: LargeRoom) -> None:
    """At a shutdown every member gets what was committed, then `bye`."""
    large.write("first")
    large.router.shut_down()
    for link in large.links:
        kinds = [type(each) for each in link.take() if isinstance(each, frames.Chat | frames.ServerBye)]
        assert kinds == [frames.Chat, frames.ServerBye]
    large.close()


async def test_a_turn_has_time_for_one_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a commit has messages to several rooms, it sends one slice; small rooms are next."""
    large = LargeRoom(monkeypatch)
    row = _ROW._replace(id=8, name="#few", members=2)
    large.router.rooms.load(row, {1: Membership(RoomRole.OWNER), 2: Membership(RoomRole.MEMBER)})
    few = large.router.rooms.by_id(8)
    assert few is not None
    few.sessions.update(large.router.sessions_of(2))
    for name in ("#dev", "#few"):
        large.sender.receive(codec.encode(frames.SendChat(name, name, f"{ord(name[1]):032x}")))
    large.settle()
    large.router.writer.answer(large.router)
    sent = [[each.to for each in link.written if isinstance(each, frames.Chat)] for link in large.links]
    assert (sum(map(len, sent)), "#few" in sent[0]) == (16, False)
    await asyncio.sleep(0)
    sent = [[each.to for each in link.written if isinstance(each, frames.Chat)] for link in large.links]
    assert (sum(map(len, sent)), "#few" in sent[0]) == (17, True)
    large.router._room_fan_out.finish_all()
    large.close()


async def test_large_rooms_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of several rooms alternate, so none waits for the whole of another."""
    large = LargeRoom(monkeypatch)
    other = _ROW._replace(id=8, name="#ops")
    members = {each: Membership(RoomRole.MEMBER) for each in range(1, 101)}
    large.router.rooms.load(other, members)
    room = large.router.rooms.by_id(8)
    assert room is not None
    for link_session in large.router.rooms.by_id(7).sessions:  # type: ignore[union-attr]  # it exists
        room.sessions.add(link_session)
    for name in ("#dev", "#ops"):
        large.sender.receive(codec.encode(frames.SendChat(name, name, f"{ord(name[1]):032x}")))
    large.settle()
    large.router.writer.answer(large.router)
    for _ in range(20):
        dev, ops = _counts(large.links)
        assert abs(dev - ops) <= 16
        await asyncio.sleep(0)
    assert _counts(large.links) == [99, 99]
    large.close()


def _counts(links: list[FakeLink]) -> list[int]:
    """Return how many sessions have got the message of each room."""
    bodies = [each.to for link in links for each in link.written if isinstance(each, frames.Chat)]
    return [bodies.count("#dev"), bodies.count("#ops")]
