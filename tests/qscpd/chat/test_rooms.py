"""The rooms in memory: who is notified of what, at once or in a summary."""

import asyncio
from collections.abc import Mapping
from typing import Final

import pytest

from qscp import codec, frames
from qscp.features import TYPING
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.events import RoomChanged
from qscpd.domain.rooms import FOREVER_MS, NO_MEMBERSHIP, Membership, RoomChange, RoomRow, RoomState
from qscpd.handlers.messages import MessageHandlers, _RoomRecipient
from qscpd.sessions.session import Session
from tests.support.clock import in_virtual_time
from tests.support.doubles import FakeLink, RouterDouble

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
OWNER, MEMBER = Membership(RoomRole.OWNER), Membership(RoomRole.MEMBER)
BANNED = Membership(banned_until_ms=FOREVER_MS)
ROW: Final = RoomRow(
    id=7,
    name="#dev",
    kind=RoomKind.CLOSED,
    history=HistoryFrom.JOINING,
    topic="",
    slow_s=0,
    state=RoomState.ACTIVE,
    created_ms=0,
    first_seq=1,
    last_seq=40,
    members=2,
    owners=1,
)


class ModelRoom:
    """A router with one room, in which alice and bob are."""

    def __init__(self, *names: str) -> None:
        self.router = RouterDouble("alice", "bob", "carol", "dan", *names)
        self.rooms = self.router.rooms
        self.row = ROW
        self.rooms.load(ROW, {ALICE: OWNER, BOB: MEMBER})

    def login(self, name: str, *features: str, live: bool = True) -> tuple[Session, FakeLink]:
        """Open a session that has received everything."""
        session, link = self.router.login(name, *features, live=live)
        self.router.flush()
        link.take()
        return session, link

    def apply(
        self,
        action: str,
        memberships: Mapping[int, Membership],
        actor: int | None = ALICE,
        text: str = "",
        **row: object,
    ) -> None:
        """Say what the store has done."""
        self.row = self.row._replace(**row)  # type: ignore[arg-type]  # of a row
        change = RoomChange(action=action, room="#dev", actor=actor, text=text)
        self.rooms.apply(RoomChanged(self.row, memberships, change))

    def take(self, link: FakeLink) -> list[frames.ServerFrame]:
        """Take what was sent about rooms, up to now."""
        self.router.flush()
        kinds = (frames.RoomChanged, frames.RoomLeft, frames.Invited, frames.MembersChanged, frames.Typing)
        return [frame for frame in link.take() if isinstance(frame, kinds)]

    def close(self) -> None:
        """End it."""
        self.router.close()


def room_changed(
    role: RoomRole, *, last_seq: int = 40, first_seq: int = 1, by: str = "", muted: int = 0, **row: object
) -> frames.RoomChanged:
    """Return the `room` that a member gets."""
    now = ROW._replace(**row)  # type: ignore[arg-type]  # of a row
    room = frames.Room(
        name=now.name,
        conversation="c7",
        kind=now.kind,
        history=now.history,
        members=now.members,
        topic=now.topic,
        slow=now.slow_s,
        archived=now.state is RoomState.ARCHIVED,
        role=role,
        muted=muted,
    )
    return frames.RoomChanged(room, first_seq, last_seq, by)


def members(count: int, *changed: tuple[str, RoomRole | None], others: int = 0) -> frames.MembersChanged:
    """Return the summary that all members get."""
    return frames.MembersChanged("c7", count, [frames.MemberChange(*each) for each in changed], others)


@pytest.fixture
async def model_room() -> ModelRoom:
    """A router with one room, in a loop that runs."""
    return ModelRoom()


def test_joining_is_sent_at_once_and_to_the_others_once_a_second() -> None:
    """`room` to all sessions of the new member; a summary to all members, the first one without a pause."""

    async def test() -> None:
        model_room = ModelRoom()
        _, alice = model_room.login("alice")
        _, carol = model_room.login("carol")
        _, second = model_room.login("carol")
        model_room.apply("join", {CAROL: Membership(RoomRole.MEMBER, 41)}, CAROL, members=3)
        joined = room_changed(RoomRole.MEMBER, first_seq=41, by="carol", members=3)
        assert model_room.take(carol) == model_room.take(second) == [joined]
        assert model_room.take(alice) == []
        await asyncio.sleep(0.01)
        summary = members(3, ("carol", RoomRole.MEMBER))
        assert [model_room.take(each) for each in (alice, carol, second)] == [[summary]] * 3
        model_room.apply("leave", {CAROL: NO_MEMBERSHIP}, CAROL, members=2)
        model_room.apply("join", {DAN: Membership(RoomRole.MEMBER, 41)}, DAN, members=3)
        await asyncio.sleep(0.98)
        assert model_room.take(alice) == []
        await asyncio.sleep(0.02)
        assert model_room.take(alice) == [members(3, ("carol", None), ("dan", RoomRole.MEMBER))]
        assert model_room.take(carol) == [frames.RoomLeft("c7", "#dev", "left")]
        await asyncio.sleep(100)
        assert model_room.take(alice) == []
        model_room.close()

    in_virtual_time(test())


def test_a_crowd_is_one_frame() -> None:
    """However many come within a second: fifty are named, the others counted; and only what each is now."""

    async def test() -> None:
        names = [f"user{number}" for number in range(1000)]
        model_room = ModelRoom(*names)
        _, alice = model_room.login("alice")
        model_room.apply("topic", {}, topic="now")
        await asyncio.sleep(0.5)
        model_room.take(alice)
        for number in range(1000):
            model_room.apply("join", {5 + number: MEMBER}, 5 + number, members=3 + number)
        model_room.apply("leave", {5: NO_MEMBERSHIP}, 5, members=1001)
        model_room.apply("role", {6: Membership(RoomRole.MODERATOR)}, members=1001)
        await asyncio.sleep(1)
        (frame,) = model_room.take(alice)
        assert isinstance(frame, frames.MembersChanged)
        assert (frame.count, len(frame.changed), frame.others) == (1001, 50, 950)
        assert frame.changed[:3] == [
            frames.MemberChange("user0"),
            frames.MemberChange("user1", RoomRole.MODERATOR),
            frames.MemberChange("user2", RoomRole.MEMBER),
        ]
        model_room.close()

    in_virtual_time(test())


def test_news_of_a_room_come_to_each_member_as_they_see_it() -> None:
    """Topic, settings and archiving, at most once a second, with one's own role and first message."""

    async def test() -> None:
        model_room = ModelRoom()
        model_room.rooms.apply(RoomChanged(ROW._replace(members=3), {CAROL: Membership(RoomRole.MEMBER, 30)}))
        links = [model_room.login(name)[1] for name in ("alice", "bob", "carol", "dan")]
        await asyncio.sleep(2)
        for link in links:
            model_room.take(link)
        model_room.apply("topic", {}, topic="a", members=3)
        await asyncio.sleep(0.01)
        news = [
            room_changed(RoomRole.OWNER, topic="a", members=3),
            room_changed(RoomRole.MEMBER, topic="a", members=3),
        ]
        assert [model_room.take(link) for link in links] == [
            [news[0]],
            [news[1]],
            [room_changed(RoomRole.MEMBER, first_seq=30, topic="a", members=3)],
            [],
        ]
        model_room.apply("topic", {}, topic="b")
        model_room.apply("set", {}, kind=RoomKind.OPEN, history=HistoryFrom.FULL, slow_s=5)
        model_room.apply("archive", {}, state=RoomState.ARCHIVED)
        await asyncio.sleep(1)
        row = model_room.row._asdict()
        assert model_room.take(links[2]) == [room_changed(RoomRole.MEMBER, **row)]
        model_room.apply("set", {})
        await asyncio.sleep(100)
        assert model_room.take(links[2]) == []  # nothing is another now
        model_room.close()

    in_virtual_time(test())


def test_a_role_and_a_mute_are_told_at_once() -> None:
    """To the member concerned, with who changed it; the role in the summary for all, too."""

    async def test() -> None:
        model_room = ModelRoom()
        _, bob = model_room.login("bob")
        model_room.apply("role", {BOB: Membership(RoomRole.MODERATOR)})
        assert model_room.take(bob) == [room_changed(RoomRole.MODERATOR, by="alice")]
        model_room.apply("mute", {BOB: Membership(RoomRole.MODERATOR, muted_until_ms=9)})
        assert model_room.take(bob) == [room_changed(RoomRole.MODERATOR, by="alice", muted=9)]
        model_room.apply("unmute", {BOB: Membership(RoomRole.MODERATOR)}, None)
        assert model_room.take(bob) == [room_changed(RoomRole.MODERATOR)]
        await asyncio.sleep(0.01)
        assert model_room.take(bob) == [members(2, ("bob", RoomRole.MODERATOR))]
        model_room.close()

    in_virtual_time(test())


@pytest.mark.parametrize(
    ("action", "actor", "after", "frame"),
    [
        ("leave", BOB, NO_MEMBERSHIP, frames.RoomLeft("c7", "#dev", "left")),
        ("remove", ALICE, NO_MEMBERSHIP, frames.RoomLeft("c7", "#dev", "removed", "alice", "why")),
        ("ban", ALICE, BANNED, frames.RoomLeft("c7", "#dev", "banned", "alice", "why")),
        ("ban", None, Membership(banned_until_ms=9), frames.RoomLeft("c7", "#dev", "banned", "", "why", 9)),
        ("delete", None, NO_MEMBERSHIP, frames.RoomLeft("c7", "#dev", "deleted", "", "why")),
    ],
)
async def test_who_is_out_is_told_why(
    model_room: ModelRoom, action: str, actor: int | None, after: Membership, frame: frames.RoomLeft
) -> None:
    """At once, on all sessions, and nothing afterwards."""
    session, bob = model_room.login("bob")
    _, second = model_room.login("bob")
    room = model_room.rooms.by_id(7)
    assert room is not None
    assert session in room.sessions
    state = RoomState.DELETED if action == "delete" else RoomState.ACTIVE
    model_room.apply(action, {BOB: after}, actor, "why", state=state, members=1)
    assert model_room.take(bob) == model_room.take(second) == [frame]
    assert room.sessions == set()
    assert model_room.rooms.of(BOB) == []
    model_room.apply("topic", {}, topic="not for bob")
    await asyncio.sleep(0)
    assert model_room.take(bob) == []
    model_room.close()


async def test_an_invitation_is_sent_at_once_and_again_until_it_is_over(model_room: ModelRoom) -> None:
    """To all sessions when it happens and when it is void; to each that has caught up, if it is of use."""
    _, carol = model_room.login("carol")
    model_room.apply("invite", {CAROL: Membership(invited_by=BOB)}, BOB)
    room = frames.Room("#dev", "c7", ROW.kind, ROW.history, members=2, invited=True)
    assert model_room.take(carol) == [frames.Invited(room, "bob")]
    model_room.apply("invite", {CAROL: Membership(invited_by=0)}, None)
    assert model_room.take(carol) == []
    _, second = model_room.login("carol")
    assert list(model_room.rooms.invitations(CAROL)) == [frames.Invited(room, "")]
    late = model_room.rooms.invitations(CAROL)
    model_room.apply("archive", {}, state=RoomState.ARCHIVED)
    assert list(model_room.rooms.invitations(CAROL)) == []
    model_room.apply("remove", {CAROL: NO_MEMBERSHIP}, state=RoomState.ACTIVE)
    assert list(late) == list(model_room.rooms.invitations(CAROL)) == []
    assert (
        model_room.take(second)
        == model_room.take(carol)
        == [frames.RoomLeft("c7", "#dev", "removed", "alice")]
    )
    live = model_room.rooms.by_id(7)
    assert live is not None
    assert CAROL not in live.memberships
    model_room.close()


async def test_an_invitation_ends_with_its_room(model_room: ModelRoom) -> None:
    """When a room is deleted, invited users are notified, and nothing is left of it."""
    _, carol = model_room.login("carol")
    model_room.apply("invite", {CAROL: Membership(invited_by=BOB)}, BOB)
    model_room.take(carol)
    gone = dict.fromkeys((ALICE, BOB, CAROL), NO_MEMBERSHIP)
    model_room.apply("delete", gone, None, state=RoomState.DELETED)
    assert list(model_room.rooms.invitations(CAROL)) == []
    assert model_room.take(carol) == [frames.RoomLeft("c7", "#dev", "deleted")]
    assert (len(model_room.rooms), model_room.rooms.by_name("#dev"), model_room.rooms.by_id(7)) == (
        0,
        None,
        None,
    )
    assert [model_room.rooms.of(each) for each in (ALICE, BOB, CAROL)] == [[], [], []]
    model_room.apply("delete", {}, None)  # what comes late makes no room
    assert len(model_room.rooms) == 0
    model_room.close()


async def test_a_name_that_is_free_again(model_room: ModelRoom) -> None:
    """A new room of the same name is another one; the end of the old one, heard of late, does not end it."""
    model_room.rooms.apply(RoomChanged(ROW._replace(id=8), {CAROL: OWNER}))
    model_room.apply("delete", dict.fromkeys((ALICE, BOB), NO_MEMBERSHIP), None, state=RoomState.DELETED)
    room = model_room.rooms.by_name("#dev")
    assert room is model_room.rooms.by_id(8) is not None
    assert model_room.rooms.names_after("") == ["#dev"]
    assert model_room.rooms.names_after("#dev") == []
    model_room.close()


def test_typing_is_told_to_those_who_want_it() -> None:
    """Once a second, three names and a number, the same to all; nothing to sessions without the feature."""

    async def test() -> None:
        model_room = ModelRoom()
        _, alice = model_room.login("alice", TYPING)
        _, bob = model_room.login("bob")
        room = model_room.rooms.by_id(7)
        assert room is not None
        model_room.rooms.set_typing(room, "bob")
        await asyncio.sleep(0.01)
        assert model_room.take(alice) == [frames.Typing("#dev", ["bob"], 1)]
        for name in ("e", "d", "c", "b", "e"):
            model_room.rooms.set_typing(room, name)
        model_room.apply("role", {BOB: Membership(RoomRole.MODERATOR)})
        await asyncio.sleep(1)
        summary = members(2, ("bob", RoomRole.MODERATOR))
        assert model_room.take(alice) == [summary, frames.Typing("#dev", ["e", "d", "c"], 4)]
        assert model_room.take(bob) == [room_changed(RoomRole.MODERATOR, by="alice"), summary]
        model_room.close()

    in_virtual_time(test())


def test_who_reads_too_slowly_is_spared_what_is_summarised() -> None:
    """A congested session gets the room's settings, but neither members nor typing indicators."""

    async def test() -> None:
        model_room = ModelRoom()
        _, alice = model_room.login("alice", TYPING)
        room = model_room.rooms.by_id(7)
        assert room is not None
        alice.congested = True
        model_room.apply("join", {CAROL: MEMBER}, CAROL, members=3)
        model_room.rooms.set_typing(room, "bob")
        model_room.apply("topic", {}, topic="new")
        await asyncio.sleep(0.01)
        alice.congested = False
        assert model_room.take(alice) == [room_changed(RoomRole.OWNER, topic="new", members=3)]
        model_room.close()

    in_virtual_time(test())


def test_sessions_come_and_go() -> None:
    """A room knows the sessions of its members while they last; one that is catching up gets no summaries."""

    async def test() -> None:
        model_room = ModelRoom()
        room = model_room.rooms.by_id(7)
        assert room is not None
        session, link = model_room.login("bob")
        behind, its_link = model_room.login("bob", live=False)
        model_room.login("carol")
        assert room.sessions == {session, behind}
        model_room.apply("join", {CAROL: MEMBER}, CAROL, members=3)
        await asyncio.sleep(0.01)
        assert model_room.take(link) == [members(3, ("carol", RoomRole.MEMBER))]
        assert model_room.take(its_link) == []
        model_room.router.unregister(session, "lost")
        assert session not in room.sessions
        assert behind in room.sessions
        model_room.close()

    in_virtual_time(test())


def test_the_fan_out_of_a_room_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next message to the room waits as long as the last fan-out took."""
    clock = iter([1.0, 1.25, 2.0, 2.0])
    monkeypatch.setattr("qscpd.chat.fan_out.thread_time", lambda: next(clock))

    async def test() -> None:
        model_room = ModelRoom()
        router = model_room.router
        session, _ = model_room.login("alice")
        model_room.login("bob")
        session.receive(codec.encode(frames.SendChat("#dev", "first", "1" * 32)))
        router.flush()
        router.writer.answer(router)
        session.receive(codec.encode(frames.SendChat("#dev", "second", "2" * 32)))
        await asyncio.sleep(0.24)
        assert router.writer.waiting == []
        await asyncio.sleep(0.02)
        assert len(router.writer.waiting) == 1
        router.writer.answer(router)
        model_room.close()

    in_virtual_time(test())


async def test_mentions_are_of_members(model_room: ModelRoom) -> None:
    """A name that no account has, or that of an account outside of the room, is no mention."""
    room = model_room.rooms.by_id(7)
    assert room is not None
    handlers = MessageHandlers(model_room.router)
    found = handlers._mentions(_RoomRecipient(-7, "#dev"), "@carol @bob @nobody @alice")
    assert found == (BOB, ALICE)
    assert (room.role(ALICE), room.role(CAROL)) == (RoomRole.OWNER, None)
    model_room.close()
