"""The rooms in memory: notifications of members, at once or in a summary."""

import asyncio
from collections.abc import Mapping
from typing import Final

import pytest

from qscp import codec, frames
from qscp.features import TYPING
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.events import RoomChanged
from qscpd.domain.rooms import FOREVER_MS, NO_MEMBERSHIP, Membership, RoomChange, RoomState
from qscpd.handlers.messages import MessageHandlers, _RoomRecipient
from qscpd.sessions.session import Session
from tests.support import room_rows
from tests.support.clock import in_virtual_time
from tests.support.doubles import FakeLink, RouterDouble

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
OWNER, MEMBER = Membership(RoomRole.OWNER), Membership(RoomRole.MEMBER)
BANNED = Membership(banned_until_ms=FOREVER_MS)
ROW: Final = room_rows.ROOM._replace(kind=RoomKind.CLOSED, members=2)


class RoomHarness:
    """A router with a room, of which alice and bob are members."""

    def __init__(self, *names: str) -> None:
        self.router = RouterDouble("alice", "bob", "carol", "dan", *names)
        self.rooms = self.router.rooms
        self.row = ROW
        self.rooms.load(ROW, {ALICE: OWNER, BOB: MEMBER})

    def login(self, name: str, *features: str, live: bool = True) -> tuple[Session, FakeLink]:
        """Open a session; drop what it has received so far."""
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
        """Apply a change as the store would publish it."""
        self.row = self.row._replace(**row)  # type: ignore[arg-type]  # fields of a row
        target = None if action in ("join", "leave") else next(iter(memberships), None)
        role = memberships[target].role if target is not None else None
        change = RoomChange(action=action, room="#dev", actor=actor, target=target, text=text, role=role)
        self.rooms.apply(RoomChanged(self.row, memberships, change))

    def take(self, link: FakeLink) -> list[frames.ServerFrame]:
        """Take the states of rooms that were sent so far, and drop the moderation actions."""
        return [frame for frame in self.take_all(link) if not isinstance(frame, frames.Moderated)]

    def take_all(self, link: FakeLink) -> list[frames.ServerFrame]:
        """Take the frames about rooms that were sent so far."""
        self.router.flush()
        kinds = (
            frames.RoomChanged,
            frames.RoomLeft,
            frames.Invited,
            frames.MembersChanged,
            frames.Moderated,
            frames.Typing,
        )
        return [frame for frame in link.take() if isinstance(frame, kinds)]

    def close(self) -> None:
        """Close the router."""
        self.router.close()


def room_changed(
    role: RoomRole,
    *,
    last_seq: int = 40,
    first_seq: int = 1,
    by: str = "",
    muted: int = 0,
    reason: tuple[str, str] = ("", ""),
    **row: object,
) -> frames.RoomChanged:
    """Return the `room` frame of a member."""
    now = ROW._replace(**row)  # type: ignore[arg-type]  # fields of a row
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
        muted_by=reason[0],
        muted_text=reason[1],
    )
    return frames.RoomChanged(room, first_seq, last_seq, by)


def members(count: int, *changed: tuple[str, RoomRole | None], others: int = 0) -> frames.MembersChanged:
    """Return the summary for all members."""
    return frames.MembersChanged("c7", count, [frames.MemberChange(*each) for each in changed], others)


@pytest.fixture
async def harness() -> RoomHarness:
    """A router with a room, in a running loop."""
    return RoomHarness()


def test_joining_is_sent_at_once_and_summarised_once_a_second() -> None:
    """A new member gets `room` at once; all members get a summary at most once a second."""

    async def test() -> None:
        harness = RoomHarness()
        _, alice = harness.login("alice")
        _, carol = harness.login("carol")
        _, second = harness.login("carol")
        harness.apply("join", {CAROL: Membership(RoomRole.MEMBER, 41)}, CAROL, members=3)
        joined = room_changed(RoomRole.MEMBER, first_seq=41, by="carol", members=3)
        assert harness.take(carol) == harness.take(second) == [joined]
        assert harness.take(alice) == []
        await asyncio.sleep(0.01)
        summary = members(3, ("carol", RoomRole.MEMBER))
        assert [harness.take(each) for each in (alice, carol, second)] == [[summary]] * 3
        harness.apply("leave", {CAROL: NO_MEMBERSHIP}, CAROL, members=2)
        harness.apply("join", {DAN: Membership(RoomRole.MEMBER, 41)}, DAN, members=3)
        await asyncio.sleep(0.98)
        assert harness.take(alice) == []
        await asyncio.sleep(0.02)
        assert harness.take(alice) == [members(3, ("carol", None), ("dan", RoomRole.MEMBER))]
        assert harness.take(carol) == [frames.RoomLeft("c7", "#dev", "left")]
        await asyncio.sleep(100)
        assert harness.take(alice) == []
        harness.close()

    in_virtual_time(test())


def test_a_burst_of_changes_is_one_frame() -> None:
    """A summary of many changes names fifty members with their current roles, and counts the others."""

    async def test() -> None:
        names = [f"user{number}" for number in range(1000)]
        harness = RoomHarness(*names)
        _, alice = harness.login("alice")
        harness.apply("topic", {}, topic="now")
        await asyncio.sleep(0.5)
        harness.take(alice)
        for number in range(1000):
            harness.apply("join", {5 + number: MEMBER}, 5 + number, members=3 + number)
        harness.apply("leave", {5: NO_MEMBERSHIP}, 5, members=1001)
        harness.apply("role", {6: Membership(RoomRole.MODERATOR)}, members=1001)
        await asyncio.sleep(1)
        (frame,) = harness.take(alice)
        assert isinstance(frame, frames.MembersChanged)
        assert (frame.count, len(frame.changed), frame.others) == (1001, 50, 950)
        assert frame.changed[:3] == [
            frames.MemberChange("user0"),
            frames.MemberChange("user1", RoomRole.MODERATOR),
            frames.MemberChange("user2", RoomRole.MEMBER),
        ]
        harness.close()

    in_virtual_time(test())


def test_changes_of_settings_are_sent_to_each_member() -> None:
    """Members get changed settings at most once a second, with their own role and first seq."""

    async def test() -> None:
        harness = RoomHarness()
        harness.rooms.apply(RoomChanged(ROW._replace(members=3), {CAROL: Membership(RoomRole.MEMBER, 30)}))
        links = [harness.login(name)[1] for name in ("alice", "bob", "carol", "dan")]
        await asyncio.sleep(2)
        for link in links:
            harness.take(link)
        harness.apply("topic", {}, topic="a", members=3)
        await asyncio.sleep(0.01)
        changed = [
            room_changed(RoomRole.OWNER, topic="a", members=3),
            room_changed(RoomRole.MEMBER, topic="a", members=3),
        ]
        assert [harness.take(link) for link in links] == [
            [changed[0]],
            [changed[1]],
            [room_changed(RoomRole.MEMBER, first_seq=30, topic="a", members=3)],
            [],
        ]
        harness.apply("topic", {}, topic="b")
        harness.apply("set", {}, kind=RoomKind.OPEN, history=HistoryFrom.FULL, slow_s=5)
        harness.apply("archive", {}, state=RoomState.ARCHIVED)
        await asyncio.sleep(1)
        row = harness.row._asdict()
        assert harness.take(links[2]) == [room_changed(RoomRole.MEMBER, **row)]
        harness.apply("set", {})
        await asyncio.sleep(100)
        assert harness.take(links[2]) == []  # nothing has changed
        harness.close()

    in_virtual_time(test())


def test_a_role_and_a_mute_are_sent_at_once() -> None:
    """A member gets a changed role or mute at once, with the actor; the summary has the role, too."""

    async def test() -> None:
        harness = RoomHarness()
        _, bob = harness.login("bob")
        harness.apply("role", {BOB: Membership(RoomRole.MODERATOR)})
        assert harness.take(bob) == [room_changed(RoomRole.MODERATOR, by="alice")]
        harness.apply("mute", {BOB: Membership(RoomRole.MODERATOR, muted_until_ms=9)}, text="loud")
        muted = room_changed(RoomRole.MODERATOR, by="alice", muted=9, reason=("alice", "loud"))
        assert harness.take(bob) == [muted]
        harness.apply("mute", {BOB: Membership(RoomRole.MODERATOR, muted_until_ms=9)}, CAROL, "very loud")
        muted = room_changed(RoomRole.MODERATOR, by="carol", muted=9, reason=("carol", "very loud"))
        assert harness.take(bob) == [muted]
        harness.apply("unmute", {BOB: Membership(RoomRole.MODERATOR)}, None)
        assert harness.take(bob) == [room_changed(RoomRole.MODERATOR)]
        await asyncio.sleep(0.01)
        assert harness.take(bob) == [members(2, ("bob", RoomRole.MODERATOR))]
        harness.close()

    in_virtual_time(test())


def acted(
    by: str, action: str, user: str = "", text: str = "", until: int | None = None
) -> frames.ModerationAction:
    """Return an action as all members see it."""
    return frames.ModerationAction(by, action, user, until, text)


def test_all_members_see_who_did_what_and_why() -> None:
    """All members get each action with its actor and reason once a second, before what follows from it."""

    async def test() -> None:
        harness = RoomHarness()
        _, alice = harness.login("alice")
        _, bob = harness.login("bob")
        _, carol = harness.login("carol")
        harness.apply("mute", {BOB: Membership(RoomRole.MEMBER, muted_until_ms=9)}, text="loud")
        harness.apply("unmute", {BOB: MEMBER}, None)
        harness.apply("mute", {BOB: Membership(RoomRole.MEMBER, muted_until_ms=FOREVER_MS)}, text="louder")
        harness.apply("role", {BOB: Membership(RoomRole.MODERATOR, muted_until_ms=FOREVER_MS)})
        harness.apply("ban", {CAROL: Membership(banned_until_ms=7)}, BOB, "spam")
        harness.apply("unban", {CAROL: NO_MEMBERSHIP})
        harness.apply("topic", {}, text="new", topic="new")
        harness.apply("archive", {}, None, state=RoomState.ARCHIVED)
        await asyncio.sleep(0.01)
        expected = frames.Moderated(
            "c7",
            [
                acted("alice", "mute", "bob", "loud", 9),
                acted("", "unmute", "bob"),
                acted("alice", "mute", "bob", "louder"),
                acted("alice", "role", "bob", "moderator"),
                acted("bob", "ban", "carol", "spam", 7),
                acted("alice", "unban", "carol"),
                acted("alice", "topic", text="new"),
                acted("", "archive"),
            ],
        )
        seen = harness.take_all(alice)
        assert seen[0] == expected
        assert [type(each) for each in seen[1:]] == [frames.RoomChanged, frames.MembersChanged]
        assert expected in harness.take_all(bob)
        assert harness.take_all(carol) == []
        harness.apply("remove", {BOB: NO_MEMBERSHIP}, text="bye")
        await asyncio.sleep(1)
        assert harness.take_all(alice) == [
            frames.Moderated("c7", [acted("alice", "remove", "bob", "bye")]),
            members(2, ("bob", None)),
        ]
        assert [type(each) for each in harness.take_all(bob)] == [frames.RoomLeft]
        harness.close()

    in_virtual_time(test())


def test_what_is_no_news_for_the_members_is_not_sent() -> None:
    """Joining, leaving, invitations, their withdrawal, and what changed nothing are not announced."""

    async def test() -> None:
        harness = RoomHarness()
        _, alice = harness.login("alice")
        harness.apply("join", {CAROL: MEMBER}, CAROL)
        harness.apply("leave", {CAROL: NO_MEMBERSHIP}, CAROL)
        harness.apply("invite", {CAROL: Membership(invited_by=ALICE)})
        harness.apply("remove", {CAROL: NO_MEMBERSHIP}, text="a mistake")
        harness.apply("unban", {DAN: NO_MEMBERSHIP})
        harness.apply("unmute", {BOB: MEMBER})
        harness.apply("role", {BOB: MEMBER})
        harness.apply("topic", {}, text="")
        harness.apply("set", {})
        await asyncio.sleep(5)
        assert [each for each in harness.take_all(alice) if isinstance(each, frames.Moderated)] == []
        harness.close()

    in_virtual_time(test())


def test_many_actions_are_one_frame() -> None:
    """Of many actions in a second the members get twenty, and the number of the others."""

    async def test() -> None:
        harness = RoomHarness(*(f"user{number}" for number in range(50)))
        _, alice = harness.login("alice")
        await asyncio.sleep(2)
        for number in range(50):
            harness.apply("ban", {5 + number: BANNED}, text="\u2603" * 133)
        await asyncio.sleep(1)
        (frame,) = harness.take_all(alice)
        assert isinstance(frame, frames.Moderated)
        assert [each.user for each in frame.actions] == [f"user{number}" for number in range(20)]
        assert frame.others == 30
        assert len(codec.encode(frame)) < 65536
        harness.apply("ban", {5: BANNED})
        await asyncio.sleep(1)
        assert harness.take_all(alice) == [frames.Moderated("c7", [acted("alice", "ban", "user0")])]
        harness.close()

    in_virtual_time(test())


def test_a_block_hides_no_moderation() -> None:
    """A member gets the actions by and about users whom they block, and their own mute by such a user."""

    async def test() -> None:
        harness = RoomHarness()
        _, bob = harness.login("bob")
        harness.router.blocks.load(BOB, ALICE)
        harness.apply("ban", {DAN: BANNED}, text="spam")
        harness.apply("mute", {BOB: Membership(RoomRole.MEMBER, muted_until_ms=9)}, text="loud")
        await asyncio.sleep(0.01)
        muted, seen = harness.take_all(bob)
        assert muted == room_changed(RoomRole.MEMBER, by="alice", muted=9, reason=("alice", "loud"))
        assert seen == frames.Moderated(
            "c7", [acted("alice", "ban", "dan", "spam"), acted("alice", "mute", "bob", "loud", 9)]
        )
        harness.close()

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
async def test_a_former_member_is_notified_of_the_reason(
    harness: RoomHarness, action: str, actor: int | None, after: Membership, frame: frames.RoomLeft
) -> None:
    """All sessions of a member who left, or was removed, get `room_left` at once, and nothing later."""
    session, bob = harness.login("bob")
    _, second = harness.login("bob")
    room = harness.rooms.by_id(7)
    assert room is not None
    assert session in room.sessions
    state = RoomState.DELETED if action == "delete" else RoomState.ACTIVE
    harness.apply(action, {BOB: after}, actor, "why", state=state, members=1)
    assert harness.take(bob) == harness.take(second) == [frame]
    assert room.sessions == set()
    assert harness.rooms.of(BOB) == []
    harness.apply("topic", {}, topic="not for bob")
    await asyncio.sleep(0)
    assert harness.take(bob) == []
    harness.close()


async def test_an_invitation_is_sent_until_it_is_void(harness: RoomHarness) -> None:
    """An invitation is sent when it is made, to later sessions while it is valid, and when it is void."""
    _, carol = harness.login("carol")
    harness.apply("invite", {CAROL: Membership(invited_by=BOB)}, BOB)
    room = frames.Room("#dev", "c7", ROW.kind, ROW.history, members=2, invited=True)
    assert harness.take(carol) == [frames.Invited(room, "bob")]
    harness.apply("invite", {CAROL: Membership(invited_by=0)}, None)
    assert harness.take(carol) == []
    _, second = harness.login("carol")
    assert list(harness.rooms.invitations(CAROL)) == [frames.Invited(room, "")]
    late = harness.rooms.invitations(CAROL)
    harness.apply("archive", {}, state=RoomState.ARCHIVED)
    assert list(harness.rooms.invitations(CAROL)) == []
    harness.apply("remove", {CAROL: NO_MEMBERSHIP}, state=RoomState.ACTIVE)
    assert list(late) == list(harness.rooms.invitations(CAROL)) == []
    assert harness.take(second) == harness.take(carol) == [frames.RoomLeft("c7", "#dev", "removed", "alice")]
    live = harness.rooms.by_id(7)
    assert live is not None
    assert CAROL not in live.memberships
    harness.close()


async def test_an_invitation_ends_with_its_room(harness: RoomHarness) -> None:
    """Deleting a room notifies invited users and removes the room; a late event does not restore it."""
    _, carol = harness.login("carol")
    harness.apply("invite", {CAROL: Membership(invited_by=BOB)}, BOB)
    harness.take(carol)
    gone = dict.fromkeys((ALICE, BOB, CAROL), NO_MEMBERSHIP)
    harness.apply("delete", gone, None, state=RoomState.DELETED)
    assert list(harness.rooms.invitations(CAROL)) == []
    assert harness.take(carol) == [frames.RoomLeft("c7", "#dev", "deleted")]
    assert (len(harness.rooms), harness.rooms.by_name("#dev"), harness.rooms.by_id(7)) == (
        0,
        None,
        None,
    )
    assert [harness.rooms.of(each) for each in (ALICE, BOB, CAROL)] == [[], [], []]
    harness.apply("delete", {}, None)  # a late event creates no room
    assert len(harness.rooms) == 0
    harness.close()


async def test_a_reused_name_is_another_room(harness: RoomHarness) -> None:
    """A late deletion of an old room does not remove a new room with the same name."""
    harness.rooms.apply(RoomChanged(ROW._replace(id=8), {CAROL: OWNER}))
    harness.apply("delete", dict.fromkeys((ALICE, BOB), NO_MEMBERSHIP), None, state=RoomState.DELETED)
    room = harness.rooms.by_name("#dev")
    assert room is harness.rooms.by_id(8) is not None
    assert harness.rooms.names_after("") == ["#dev"]
    assert harness.rooms.names_after("#dev") == []
    harness.close()


def test_typing_is_sent_to_sessions_with_the_feature() -> None:
    """Sessions with the feature get three names and a count at most once a second; others get none."""

    async def test() -> None:
        harness = RoomHarness()
        _, alice = harness.login("alice", TYPING)
        _, bob = harness.login("bob")
        room = harness.rooms.by_id(7)
        assert room is not None
        harness.rooms.set_typing(room, "bob")
        await asyncio.sleep(0.01)
        assert harness.take(alice) == [frames.Typing("#dev", ["bob"], 1)]
        for name in ("e", "d", "c", "b", "e"):
            harness.rooms.set_typing(room, name)
        harness.apply("role", {BOB: Membership(RoomRole.MODERATOR)})
        await asyncio.sleep(1)
        summary = members(2, ("bob", RoomRole.MODERATOR))
        assert harness.take(alice) == [summary, frames.Typing("#dev", ["e", "d", "c"], 4)]
        assert harness.take(bob) == [room_changed(RoomRole.MODERATOR, by="alice"), summary]
        harness.close()

    in_virtual_time(test())


def test_a_congested_session_gets_no_typing_indicators() -> None:
    """A congested session gets settings and members when it is no longer, but no typing indicators."""

    async def test() -> None:
        harness = RoomHarness()
        session, alice = harness.login("alice", TYPING)
        room = harness.rooms.by_id(7)
        assert room is not None
        alice.congested = True
        harness.apply("join", {CAROL: MEMBER}, CAROL, members=3)
        harness.rooms.set_typing(room, "bob")
        harness.apply("topic", {}, topic="new")
        await asyncio.sleep(0.01)
        assert harness.take(alice) == []
        alice.congested = False
        session.writable()
        assert harness.take(alice) == [
            room_changed(RoomRole.OWNER, topic="new", members=3),
            frames.MembersChanged("c7", 3, [frames.MemberChange("carol", RoomRole.MEMBER)], 0),
        ]
        harness.close()

    in_virtual_time(test())


def test_a_room_knows_the_sessions_of_its_members() -> None:
    """A room has its members' open sessions; those that are catching up get no summaries."""

    async def test() -> None:
        harness = RoomHarness()
        room = harness.rooms.by_id(7)
        assert room is not None
        session, link = harness.login("bob")
        behind, behind_link = harness.login("bob", live=False)
        harness.login("carol")
        assert room.sessions == {session, behind}
        harness.apply("join", {CAROL: MEMBER}, CAROL, members=3)
        await asyncio.sleep(0.01)
        assert harness.take(link) == [members(3, ("carol", RoomRole.MEMBER))]
        assert harness.take(behind_link) == []
        harness.router.unregister(session, "lost")
        assert session not in room.sessions
        assert behind in room.sessions
        harness.close()

    in_virtual_time(test())


def test_a_room_waits_as_long_as_its_fan_out_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next message to the room waits as long as the last fan-out took."""
    clock = iter([1.0, 1.25, 2.0, 2.0])
    monkeypatch.setattr("qscpd.chat.room_fan_out.thread_time", lambda: next(clock))

    async def test() -> None:
        harness = RoomHarness()
        router = harness.router
        session, _ = harness.login("alice")
        harness.login("bob")
        session.receive(codec.encode(frames.SendChat("#dev", "first", "1" * 32)))
        router.flush()
        router.writer.answer(router)
        session.receive(codec.encode(frames.SendChat("#dev", "second", "2" * 32)))
        await asyncio.sleep(0.24)
        assert router.writer.waiting == []
        await asyncio.sleep(0.02)
        assert len(router.writer.waiting) == 1
        router.writer.answer(router)
        harness.close()

    in_virtual_time(test())


async def test_only_members_are_mentioned(harness: RoomHarness) -> None:
    """Names of unknown accounts and of non-members are not mentions."""
    room = harness.rooms.by_id(7)
    assert room is not None
    handlers = MessageHandlers(harness.router)
    found = handlers._mentions(_RoomRecipient(-7, "#dev"), "@carol @bob @zoe @alice")
    assert found == (BOB, ALICE)
    assert (room.role(ALICE), room.role(CAROL)) == (RoomRole.OWNER, None)
    harness.close()
