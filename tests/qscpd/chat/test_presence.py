"""Presence: one truth that reaches everybody, whatever happens in between."""

import asyncio
from collections.abc import Callable
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qscp import codec, frames
from qscp.frames import OnlineUsers, PresenceChanges, ServerFrame, Status, UserPresence
from qscp_client.core.roster import Roster
from qscpd.chat import presence as presence_module
from qscpd.chat.presence import GRACE_S, Presence
from qscpd.sessions.session import Session
from tests.support.clock import in_virtual_time
from tests.support.doubles import FakeLink, RouterDouble

ONLINE: list[tuple[Status, str]] = [("online", "")]


def decode(line: bytes) -> ServerFrame:
    """A frame that was encoded once for many."""
    frame = codec.decode_server_frame(line)
    assert frame is not None
    return frame


class Heard:
    """Collects what is broadcast, with the time when it was."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, list[PresenceChanges]]] = []

    def __call__(self, lines: list[bytes]) -> None:
        """Take a broadcast."""
        changes = [frame for frame in map(decode, lines) if isinstance(frame, PresenceChanges)]
        self.frames.append((asyncio.get_running_loop().time(), changes))

    def users(self) -> list[list[tuple[str, Status, str]]]:
        """Who changed how, in each broadcast."""
        return [
            [(user.user, user.status, user.text) for change in changes for user in change.users]
            for _, changes in self.frames
        ]


def snapshot(presence: Presence, without: str = "") -> dict[str, tuple[Status, str]]:
    """The roster that all pages together give."""
    pages = [decode(page) for page in presence.pages(without)]
    return {
        user.user: (user.status, user.text)
        for page in pages
        if isinstance(page, OnlineUsers)
        for user in page.users
    }


@pytest.mark.parametrize(
    ("sessions", "shown"),
    [
        ([("online", ""), ("away", "lunch")], ("online", "")),
        ([("away", "lunch"), ("offline", "")], ("away", "lunch")),
        ([("away", "one"), ("away", "two")], ("away", "one")),
        ([("offline", "")], None),
        ([], None),
    ],
)
def test_presence_is_the_liveliest_of_all_sessions(
    sessions: list[tuple[Status, str]], shown: tuple[Status, str] | None
) -> None:
    """Online goes before away, away before offline."""

    async def test() -> None:
        presence = Presence(Heard())
        presence.update("alice", ONLINE)
        presence.update("alice", sessions)
        assert snapshot(presence).get("alice") == shown

    in_virtual_time(test())


def test_changes_of_a_second_are_one_frame_with_the_newest_values() -> None:
    """The first change leaves at once; what follows within a second leaves together."""

    async def test() -> None:
        heard = Heard()
        presence = Presence(heard)
        presence.update("alice", ONLINE)
        await asyncio.sleep(0.1)
        presence.update("bob", ONLINE)
        presence.update("carol", ONLINE)
        presence.update("bob", [("away", "lunch")])
        presence.update("carol", [])
        await asyncio.sleep(3)
        assert heard.users() == [
            [("alice", "online", "")],
            [("bob", "away", "lunch"), ("carol", "offline", "")],
        ]
        (first, _), (second, _) = heard.frames
        assert second - first == pytest.approx(1)

    in_virtual_time(test())


def test_no_change_is_no_frame() -> None:
    """The same presence again, or an offline user going offline, is not sent."""

    async def test() -> None:
        heard = Heard()
        presence = Presence(heard)
        presence.update("alice", ONLINE)
        await asyncio.sleep(2)
        presence.update("alice", ONLINE)
        presence.update("bob", [])
        presence.fade("bob")
        await asyncio.sleep(20)
        assert len(heard.frames) == 1

    in_virtual_time(test())


def test_a_lost_link_fades_after_the_grace() -> None:
    """Until then the user is online; afterwards offline."""

    async def test() -> None:
        heard = Heard()
        presence = Presence(heard)
        presence.update("alice", ONLINE)
        presence.fade("alice")
        await asyncio.sleep(GRACE_S - 0.01)
        assert "alice" in snapshot(presence)
        await asyncio.sleep(0.02)
        assert "alice" not in snapshot(presence)
        await asyncio.sleep(1)
        assert heard.users()[-1] == [("alice", "offline", "")]

    in_virtual_time(test())


def test_who_comes_back_within_the_grace_never_left() -> None:
    """A lost link that is replaced in time changes nobody's view."""

    async def test() -> None:
        heard = Heard()
        presence = Presence(heard)
        presence.update("alice", ONLINE)
        for _ in range(3):
            presence.fade("alice")
            await asyncio.sleep(GRACE_S - 1)
        presence.update("alice", ONLINE)
        await asyncio.sleep(60)
        assert heard.users() == [[("alice", "online", "")]]

    in_virtual_time(test())


def test_many_users_are_told_in_pages() -> None:
    """No frame has more than a page, each has a version of its own, and none is over the line limit."""

    async def test() -> None:
        heard = Heard()
        presence = Presence(heard)
        await asyncio.sleep(5)
        names = [f"{n:03}".ljust(32, "x") for n in range(250)]
        for name in names:
            presence.update(name, [("away", "\u2603" * 66)])
        pages = list(presence.pages(names[0]))
        assert max(map(len, pages)) < 65536
        assert sorted(snapshot(presence, names[0])) == names[1:]
        more = [page.more for page in map(decode, pages) if isinstance(page, OnlineUsers)]
        assert more == [True, True, False]
        await asyncio.sleep(1)
        ((_, changes),) = heard.frames
        assert [len(change.users) for change in changes] == [100, 100, 50]
        assert len({change.version for change in changes}) == 3

    in_virtual_time(test())


def test_an_empty_snapshot_is_one_page() -> None:
    """Whoever is alone gets a page without anybody."""

    async def test() -> None:
        presence = Presence(Heard())
        presence.update("alice", ONLINE)
        (page,) = map(decode, presence.pages("alice"))
        assert isinstance(page, OnlineUsers)
        assert (page.users, page.more) == ([], False)

    in_virtual_time(test())


class ByTheBook:
    """A roster kept as the specification says: emptied at a snapshot's first page, then all in order."""

    def __init__(self, me: str) -> None:
        self.users: dict[str, UserPresence] = {}
        self._me = me
        self._version = -1
        self._more = False

    def take(self, frame: ServerFrame) -> None:
        """Apply a frame."""
        if isinstance(frame, OnlineUsers):
            if not self._more or frame.version != self._version:
                self.users.clear()
            self._version, self._more = frame.version, frame.more
        if isinstance(frame, OnlineUsers | PresenceChanges):
            for user in frame.users:
                self.users.pop(user.user, None)
                if user.status != "offline" and user.user != self._me:
                    self.users[user.user] = user


class ByTheClient:
    """A roster kept by the terminal client's own model."""

    def __init__(self, me: str) -> None:
        self._roster = Roster(me)

    @property
    def users(self) -> dict[str, UserPresence]:
        """Who is online."""
        return {person.user: person for person in self._roster}

    def take(self, frame: ServerFrame) -> None:
        """Apply a frame."""
        if isinstance(frame, OnlineUsers):
            self._roster.apply_page(frame)
        elif isinstance(frame, PresenceChanges):
            self._roster.apply_changes(frame)


class Watcher:
    """A session that looks on, over a link that is congested now and then."""

    def __init__(self, router: RouterDouble, name: str) -> None:
        self.session, self.link = router.login(name)
        self.rosters: tuple[ByTheBook | ByTheClient, ...] = (ByTheBook(name), ByTheClient(name))

    def read(self) -> None:
        """Take what was written."""
        for frame in self.link.take():
            for roster in self.rosters:
                roster.take(frame)


class NarrowLink(FakeLink):
    """A link that is congested as soon as something was written to it."""

    narrow = True

    def write(self, plaintext: bytes) -> None:
        """Keep it, and have enough."""
        super().write(plaintext)
        if plaintext and self.narrow:
            self.congested = True


NAMES = tuple("bcdefgh")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from(NAMES)),
        st.tuples(st.just("leave"), st.sampled_from(NAMES)),
        st.tuples(st.just("lose"), st.sampled_from(NAMES)),
        st.tuples(st.just("away"), st.sampled_from(NAMES)),
        st.tuples(st.just("hide"), st.sampled_from(NAMES)),
        st.tuples(st.just("sleep"), st.sampled_from(["0", "0.4", "1", "3", "6"])),
        st.tuples(st.just("read"), st.just("")),
        st.tuples(st.just("login"), st.just("")),
    ),
    min_size=8,
    max_size=40,
)


class Play:
    """Carries out the steps of an example on a router."""

    def __init__(self) -> None:
        self.router = RouterDouble("a", *NAMES)
        self.sessions: dict[str, list[Session]] = {name: [] for name in NAMES}
        self.watchers: list[Watcher] = []

    async def step(self, what: str, who: str) -> None:
        """Do one thing."""
        do: dict[str, Callable[[], object]] = {
            "come": lambda: self.sessions[who].append(self.router.login(who)[0]),
            "login": self._watch,
            "read": self.read,
        }
        if what == "sleep":
            await asyncio.sleep(float(who))
        elif what in do:
            do[what]()
        elif self.sessions[who]:
            self._end_or_change(what, who)

    def read(self) -> None:
        """Let every watcher take what waits for it, so that the daemon may go on."""
        for watcher in self.watchers:
            watcher.read()
            if watcher.link.congested:
                watcher.link.congested = False
                watcher.session.writable()

    def _watch(self) -> None:
        with mock.patch("tests.support.doubles.FakeLink", NarrowLink):
            self.watchers.append(Watcher(self.router, "a"))

    def _end_or_change(self, what: str, who: str) -> None:
        session = self.sessions[who][-1]
        if what == "leave":
            session.receive(b'{"type":"bye"}\n')
        elif what == "lose":
            session.lost("lost")
        else:
            status: Status = "away" if what == "away" else "offline"
            session.receive(codec.encode(frames.SetPresence(status, who if what == "away" else "")))
            return
        self.sessions[who].remove(session)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_every_roster_ends_with_the_truth(steps: list[tuple[str, str]]) -> None:
    """Whatever comes between pages and changes, and is dropped on the way, a client ends up right."""

    async def test() -> None:
        play = Play()
        play._watch()
        for what, who in steps:
            await play.step(what, who)
        for _ in range(20):  # long enough for every timer and every page
            await asyncio.sleep(1)
            play.read()
        truth = snapshot(play.router.presence, "a")
        for watcher in play.watchers:
            for roster in watcher.rosters:
                assert {name: (p.status, p.text) for name, p in roster.users.items()} == truth, roster
        play.router.presence.close()

    with mock.patch.object(presence_module, "_PAGE", 1):
        in_virtual_time(test())


@pytest.mark.parametrize("roster", [ByTheBook, ByTheClient])
def test_a_snapshot_that_is_begun_anew_replaces_the_unfinished_one(
    roster: type[ByTheBook] | type[ByTheClient],
) -> None:
    """Who left between the first page of one snapshot and the first of the next is gone."""

    async def test() -> None:
        play = Play()
        for name in NAMES:
            await play.step("come", name)
        await play.step("login", "")
        await play.step("sleep", "6")
        await play.step("read", "")
        await play.step("sleep", "0")
        await play.step("leave", "b")
        await play.step("sleep", "6")
        watcher = play.watchers[0]
        assert [type(frame) for frame in watcher.link.written] == [OnlineUsers]
        assert watcher.session._stale_presence
        watcher.rosters = (roster("a"),)
        for _ in range(10):
            play.read()
            await asyncio.sleep(1)
        assert (
            sorted(watcher.rosters[0].users) == sorted(snapshot(play.router.presence, "a")) == list(NAMES[1:])
        )
        play.router.presence.close()

    with mock.patch.object(presence_module, "_PAGE", 2):
        in_virtual_time(test())
