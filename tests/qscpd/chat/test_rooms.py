"""The rooms in memory: who is told what, at once or summarised."""

import asyncio
from collections.abc import Mapping
from typing import Final

import pytest

from qscp import frames
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.chat.rooms import TYPING
from qscpd.domain.model import RoomResult
from qscpd.domain.rooms import FOREVER_MS, NOBODY, RoomChange, RoomRow, RoomState, Standing
from qscpd.sessions.session import Session
from tests.support.clock import in_virtual_time
from tests.support.doubles import FakeLink, StaffedRouter

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
OWNER, MEMBER = Standing(RoomRole.OWNER), Standing(RoomRole.MEMBER)
BANNED = Standing(banned_until_ms=FOREVER_MS)
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


class House:
    """A router with one room, in which alice and bob are."""

    def __init__(self, *names: str) -> None:
        self.router = StaffedRouter("alice", "bob", "carol", "dan", *names)
        self.rooms = self.router.rooms
        self.row = ROW
        self.rooms.load(ROW, {ALICE: OWNER, BOB: MEMBER})

    def login(self, name: str, *features: str, live: bool = True) -> tuple[Session, FakeLink]:
        """Open a session that was told everything."""
        session, link = self.router.login(name, live=live)
        session.features = frozenset(features)
        self.router.flush()
        link.take()
        return session, link

    def apply(
        self,
        action: str,
        standings: Mapping[int, Standing],
        actor: int | None = ALICE,
        text: str = "",
        **row: object,
    ) -> None:
        """Say what the store has done."""
        self.row = self.row._replace(**row)  # type: ignore[arg-type]  # of a row
        change = RoomChange(action=action, room="#dev", actor=actor, text=text)
        self.rooms.apply(RoomResult(self.row, standings), change)

    def take(self, link: FakeLink) -> list[frames.ServerFrame]:
        """Return what is told of rooms, now and not before."""
        self.router.flush()
        told = (frames.RoomChanged, frames.RoomLeft, frames.Invited, frames.MembersChanged, frames.Typing)
        return [frame for frame in link.take() if isinstance(frame, told)]

    def close(self) -> None:
        """End it."""
        self.router.close()


def told(
    role: RoomRole, *, last_seq: int = 40, first_seq: int = 1, by: str = "", muted: int = 0, **row: object
) -> frames.RoomChanged:
    """Return what a member is told of the room."""
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
    """Return what all members are told of who came and went."""
    return frames.MembersChanged("c7", count, [frames.MemberChange(*each) for each in changed], others)


@pytest.fixture
async def house() -> House:
    """A router with one room, in a loop that runs."""
    return House()


def test_who_comes_is_told_at_once_and_the_others_once_a_second() -> None:
    """The room to all sessions of the one who came; a summary to everybody, the first one without a pause."""

    async def test() -> None:
        house = House()
        _, alice = house.login("alice")
        _, carol = house.login("carol")
        _, second = house.login("carol")
        house.apply("join", {CAROL: Standing(RoomRole.MEMBER, 41)}, CAROL, members=3)
        joined = told(RoomRole.MEMBER, first_seq=41, by="carol", members=3)
        assert house.take(carol) == house.take(second) == [joined]
        assert house.take(alice) == []
        await asyncio.sleep(0.01)
        summary = members(3, ("carol", RoomRole.MEMBER))
        assert [house.take(each) for each in (alice, carol, second)] == [[summary]] * 3
        house.apply("leave", {CAROL: NOBODY}, CAROL, members=2)
        house.apply("join", {DAN: Standing(RoomRole.MEMBER, 41)}, DAN, members=3)
        await asyncio.sleep(0.98)
        assert house.take(alice) == []
        await asyncio.sleep(0.02)
        assert house.take(alice) == [members(3, ("carol", None), ("dan", RoomRole.MEMBER))]
        assert house.take(carol) == [frames.RoomLeft("c7", "#dev", "left")]
        await asyncio.sleep(100)
        assert house.take(alice) == []
        house.close()

    in_virtual_time(test())


def test_a_crowd_is_one_frame() -> None:
    """However many come within a second: fifty are named, the others counted; and only what each is now."""

    async def test() -> None:
        names = [f"user{number}" for number in range(1000)]
        house = House(*names)
        _, alice = house.login("alice")
        house.apply("topic", {}, topic="now")
        await asyncio.sleep(0.5)
        house.take(alice)
        for number in range(1000):
            house.apply("join", {5 + number: MEMBER}, 5 + number, members=3 + number)
        house.apply("leave", {5: NOBODY}, 5, members=1001)
        house.apply("role", {6: Standing(RoomRole.MODERATOR)}, members=1001)
        await asyncio.sleep(1)
        (frame,) = house.take(alice)
        assert isinstance(frame, frames.MembersChanged)
        assert (frame.count, len(frame.changed), frame.others) == (1001, 50, 950)
        assert frame.changed[:3] == [
            frames.MemberChange("user0"),
            frames.MemberChange("user1", RoomRole.MODERATOR),
            frames.MemberChange("user2", RoomRole.MEMBER),
        ]
        house.close()

    in_virtual_time(test())


def test_news_of_a_room_come_to_each_member_as_they_see_it() -> None:
    """Topic, settings and archiving, at most once a second, with one's own role and first message."""

    async def test() -> None:
        house = House()
        house.rooms.apply(RoomResult(ROW._replace(members=3), {CAROL: Standing(RoomRole.MEMBER, 30)}))
        links = [house.login(name)[1] for name in ("alice", "bob", "carol", "dan")]
        await asyncio.sleep(2)
        for link in links:
            house.take(link)
        house.apply("topic", {}, topic="a", members=3)
        await asyncio.sleep(0.01)
        news = [told(RoomRole.OWNER, topic="a", members=3), told(RoomRole.MEMBER, topic="a", members=3)]
        assert [house.take(link) for link in links] == [
            [news[0]],
            [news[1]],
            [told(RoomRole.MEMBER, first_seq=30, topic="a", members=3)],
            [],
        ]
        house.apply("topic", {}, topic="b")
        house.apply("set", {}, kind=RoomKind.OPEN, history=HistoryFrom.FULL, slow_s=5)
        house.apply("archive", {}, state=RoomState.ARCHIVED)
        await asyncio.sleep(1)
        row = house.row._asdict()
        assert house.take(links[2]) == [told(RoomRole.MEMBER, **row)]
        house.apply("set", {})
        await asyncio.sleep(100)
        assert house.take(links[2]) == []  # nothing is another now
        house.close()

    in_virtual_time(test())


def test_a_role_and_a_mute_are_told_at_once() -> None:
    """To the one whom they concern, with who did it; the role to all in the summary, too."""

    async def test() -> None:
        house = House()
        _, bob = house.login("bob")
        house.apply("role", {BOB: Standing(RoomRole.MODERATOR)})
        assert house.take(bob) == [told(RoomRole.MODERATOR, by="alice")]
        house.apply("mute", {BOB: Standing(RoomRole.MODERATOR, muted_until_ms=9)})
        assert house.take(bob) == [told(RoomRole.MODERATOR, by="alice", muted=9)]
        house.apply("unmute", {BOB: Standing(RoomRole.MODERATOR)}, None)
        assert house.take(bob) == [told(RoomRole.MODERATOR)]
        await asyncio.sleep(0.01)
        assert house.take(bob) == [members(2, ("bob", RoomRole.MODERATOR))]
        house.close()

    in_virtual_time(test())


@pytest.mark.parametrize(
    ("action", "actor", "after", "frame"),
    [
        ("leave", BOB, NOBODY, frames.RoomLeft("c7", "#dev", "left")),
        ("remove", ALICE, NOBODY, frames.RoomLeft("c7", "#dev", "removed", "alice", "why")),
        ("ban", ALICE, BANNED, frames.RoomLeft("c7", "#dev", "banned", "alice", "why")),
        ("ban", None, Standing(banned_until_ms=9), frames.RoomLeft("c7", "#dev", "banned", "", "why", 9)),
        ("delete", None, NOBODY, frames.RoomLeft("c7", "#dev", "deleted", "", "why")),
    ],
)
async def test_who_is_out_is_told_why(
    house: House, action: str, actor: int | None, after: Standing, frame: frames.RoomLeft
) -> None:
    """At once, on all sessions, and nothing afterwards."""
    session, bob = house.login("bob")
    _, second = house.login("bob")
    room = house.rooms.by_id(7)
    assert room is not None
    assert session in room.sessions
    state = RoomState.DELETED if action == "delete" else RoomState.ACTIVE
    house.apply(action, {BOB: after}, actor, "why", state=state, members=1)
    assert house.take(bob) == house.take(second) == [frame]
    assert room.sessions == set()
    assert house.rooms.of(BOB) == []
    house.apply("topic", {}, topic="not for bob")
    await asyncio.sleep(0)
    assert house.take(bob) == []
    house.close()


async def test_an_invitation_is_told_at_once_and_again_until_it_is_over(house: House) -> None:
    """To all sessions when it happens and when it is void; to each that has caught up, if it is of use."""
    _, carol = house.login("carol")
    house.apply("invite", {CAROL: Standing(invited_by=BOB)}, BOB)
    room = frames.Room("#dev", "c7", ROW.kind, ROW.history, members=2, invited=True)
    assert house.take(carol) == [frames.Invited(room, "bob")]
    house.apply("invite", {CAROL: Standing(invited_by=0)}, None)
    assert house.take(carol) == []
    session, second = house.login("carol")
    assert list(house.rooms.invitations(session)) == [frames.Invited(room, "")]
    late = house.rooms.invitations(session)
    house.apply("archive", {}, state=RoomState.ARCHIVED)
    assert list(house.rooms.invitations(session)) == []
    house.apply("remove", {CAROL: NOBODY}, state=RoomState.ACTIVE)
    assert list(late) == list(house.rooms.invitations(session)) == []
    assert house.take(second) == house.take(carol) == [frames.RoomLeft("c7", "#dev", "removed", "alice")]
    assert house.rooms.known_to(CAROL) == []
    house.close()


async def test_an_invitation_ends_with_its_room(house: House) -> None:
    """When a room is deleted those who were invited hear of it, and nothing is left of it."""
    session, carol = house.login("carol")
    house.apply("invite", {CAROL: Standing(invited_by=BOB)}, BOB)
    house.take(carol)
    gone = dict.fromkeys((ALICE, BOB, CAROL), NOBODY)
    house.apply("delete", gone, None, state=RoomState.DELETED)
    assert list(house.rooms.invitations(session)) == []
    assert house.take(carol) == [frames.RoomLeft("c7", "#dev", "deleted")]
    assert (len(house.rooms), house.rooms.by_name("#dev"), house.rooms.by_id(7)) == (0, None, None)
    assert [house.rooms.known_to(each) for each in (ALICE, BOB, CAROL)] == [[], [], []]
    house.apply("delete", {}, None)  # what comes late makes no room
    assert len(house.rooms) == 0
    house.close()


async def test_a_name_that_is_free_again(house: House) -> None:
    """A new room of the same name is another one; the end of the old one, heard of late, does not end it."""
    house.rooms.apply(RoomResult(ROW._replace(id=8), {CAROL: OWNER}))
    house.apply("delete", dict.fromkeys((ALICE, BOB), NOBODY), None, state=RoomState.DELETED)
    room = house.rooms.by_name("#dev")
    assert room is house.rooms.by_id(8) is not None
    assert house.rooms.names_after("") == ["#dev"]
    assert house.rooms.names_after("#dev") == []
    house.close()


def test_typing_is_told_to_those_who_want_it() -> None:
    """Once a second, three names and a number, the same to all; nothing to sessions without the feature."""

    async def test() -> None:
        house = House()
        _, alice = house.login("alice", TYPING)
        _, bob = house.login("bob")
        room = house.rooms.by_id(7)
        assert room is not None
        house.rooms.types(room, "bob")
        await asyncio.sleep(0.01)
        assert house.take(alice) == [frames.Typing("#dev", ["bob"], 1)]
        for name in ("e", "d", "c", "b", "e"):
            house.rooms.types(room, name)
        house.apply("role", {BOB: Standing(RoomRole.MODERATOR)})
        await asyncio.sleep(1)
        summary = members(2, ("bob", RoomRole.MODERATOR))
        assert house.take(alice) == [summary, frames.Typing("#dev", ["e", "d", "c"], 4)]
        assert house.take(bob) == [told(RoomRole.MODERATOR, by="alice"), summary]
        house.close()

    in_virtual_time(test())


def test_who_reads_too_slowly_is_spared_what_is_summarised() -> None:
    """Who came and who types is left out for a congested session, what the room is now is not."""

    async def test() -> None:
        house = House()
        _, alice = house.login("alice", TYPING)
        room = house.rooms.by_id(7)
        assert room is not None
        alice.congested = True
        house.apply("join", {CAROL: MEMBER}, CAROL, members=3)
        house.rooms.types(room, "bob")
        house.apply("topic", {}, topic="new")
        await asyncio.sleep(0.01)
        alice.congested = False
        assert house.take(alice) == [told(RoomRole.OWNER, topic="new", members=3)]
        house.close()

    in_virtual_time(test())


def test_sessions_come_and_go() -> None:
    """A room knows the sessions of its members as long as they last; one that is behind gets no summaries."""

    async def test() -> None:
        house = House()
        room = house.rooms.by_id(7)
        assert room is not None
        session, link = house.login("bob")
        behind, its_link = house.login("bob", live=False)
        house.login("carol")
        assert room.sessions == {session, behind}
        house.apply("join", {CAROL: MEMBER}, CAROL, members=3)
        await asyncio.sleep(0.01)
        assert house.take(link) == [members(3, ("carol", RoomRole.MEMBER))]
        assert house.take(its_link) == []
        house.router.left(session, "lost")
        assert session not in room.sessions
        assert behind in room.sessions
        house.close()

    in_virtual_time(test())


async def test_mentions_are_of_members(house: House) -> None:
    """A name that nobody has, or that of somebody else, is nobody's mention."""
    room = house.rooms.by_id(7)
    assert room is not None
    ids = {"alice": ALICE, "bob": BOB, "carol": CAROL}
    assert room.members(["carol", "bob", "nobody", "alice"], ids.get) == [BOB, ALICE]
    assert (room.role(ALICE), room.role(CAROL)) == (RoomRole.OWNER, None)
    house.close()
