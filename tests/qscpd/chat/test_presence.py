"""Presence: every client ends with the same roster, whatever is lost in between."""

import asyncio
from collections.abc import Callable, Sequence
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qscp import codec, frames
from qscp.frames import OnlineUsers, PresenceChanges, ServerFrame, Status, UserPresence
from qscp_client.core.roster import Roster
from qscpd.bus.base import Commit
from qscpd.chat import presence as presence_module
from qscpd.chat import visibility as visibility_module
from qscpd.chat.presence import GRACE_S, Presence
from qscpd.domain.events import BlockChanged
from qscpd.sessions.session import Session
from tests.support.clock import in_virtual_time
from tests.support.doubles import FakeLink, RouterDouble

ONLINE: list[tuple[Status, str]] = [("online", "")]


def decode(line: bytes) -> ServerFrame:
    """Decode a frame that was encoded for a broadcast."""
    frame = codec.decode_server_frame(line)
    assert frame is not None
    return frame


class Broadcasts:
    """Collects broadcasts, with their times."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, list[PresenceChanges]]] = []

    def __call__(self, pages: Sequence[PresenceChanges]) -> None:
        """Take a broadcast."""
        self.frames.append((asyncio.get_running_loop().time(), list(pages)))

    def users(self) -> list[list[tuple[str, Status, str]]]:
        """Return user, status and text of the changes of each broadcast."""
        return [
            [(user.user, user.status, user.text) for change in changes for user in change.users]
            for _, changes in self.frames
        ]


def snapshot(presence: Presence, without: str = "") -> dict[str, tuple[Status, str]]:
    """Return the roster of all pages together."""
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
    """A user's presence is online before away, and away before offline, over all sessions."""

    async def test() -> None:
        presence = Presence(Broadcasts())
        presence.update("alice", ONLINE)
        presence.update("alice", sessions)
        assert snapshot(presence).get("alice") == shown

    in_virtual_time(test())


def test_changes_of_a_second_are_one_frame_with_the_newest_values() -> None:
    """The first change is sent at once; the changes of the next second are sent in one frame."""

    async def test() -> None:
        broadcasts = Broadcasts()
        presence = Presence(broadcasts)
        presence.update("alice", ONLINE)
        await asyncio.sleep(0.1)
        presence.update("bob", ONLINE)
        presence.update("carol", ONLINE)
        presence.update("bob", [("away", "lunch")])
        presence.update("carol", [])
        await asyncio.sleep(3)
        assert broadcasts.users() == [
            [("alice", "online", "")],
            [("bob", "away", "lunch"), ("carol", "offline", "")],
        ]
        (first, _), (second, _) = broadcasts.frames
        assert second - first == pytest.approx(1)

    in_virtual_time(test())


def test_an_unchanged_presence_is_not_sent() -> None:
    """The same presence again, or an offline user going offline, is not sent."""

    async def test() -> None:
        broadcasts = Broadcasts()
        presence = Presence(broadcasts)
        presence.update("alice", ONLINE)
        await asyncio.sleep(2)
        presence.update("alice", ONLINE)
        presence.update("bob", [])
        presence.fade("bob")
        await asyncio.sleep(20)
        assert len(broadcasts.frames) == 1

    in_virtual_time(test())


def test_a_lost_link_fades_after_the_grace() -> None:
    """After a lost link a user stays online for the grace period, then is offline."""

    async def test() -> None:
        broadcasts = Broadcasts()
        presence = Presence(broadcasts)
        presence.update("alice", ONLINE)
        presence.fade("alice")
        await asyncio.sleep(GRACE_S - 0.01)
        assert "alice" in snapshot(presence)
        await asyncio.sleep(0.02)
        assert "alice" not in snapshot(presence)
        await asyncio.sleep(1)
        assert broadcasts.users()[-1] == [("alice", "offline", "")]

    in_virtual_time(test())


def test_a_return_within_the_grace_is_not_sent() -> None:
    """A link that is lost and replaced within the grace period makes no change of presence."""

    async def test() -> None:
        broadcasts = Broadcasts()
        presence = Presence(broadcasts)
        presence.update("alice", ONLINE)
        for _ in range(3):
            presence.fade("alice")
            await asyncio.sleep(GRACE_S - 1)
        presence.update("alice", ONLINE)
        await asyncio.sleep(60)
        assert broadcasts.users() == [[("alice", "online", "")]]

    in_virtual_time(test())


def test_many_users_are_sent_in_pages() -> None:
    """Snapshots and changes of many users are split into frames within the limits."""

    async def test() -> None:
        broadcasts = Broadcasts()
        presence = Presence(broadcasts)
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
        ((_, changes),) = broadcasts.frames
        assert [len(change.users) for change in changes] == [100, 100, 50]
        assert len({change.version for change in changes}) == 3

    in_virtual_time(test())


def test_an_empty_snapshot_is_one_page() -> None:
    """A snapshot without users is one empty page."""

    async def test() -> None:
        presence = Presence(Broadcasts())
        presence.update("alice", ONLINE)
        (page,) = map(decode, presence.pages("alice"))
        assert isinstance(page, OnlineUsers)
        assert (page.users, page.more) == ([], False)

    in_virtual_time(test())


class SpecifiedRoster:
    """A roster as the specification says: cleared at a snapshot's first page, then updated in order."""

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


class ClientRoster:
    """A roster of the terminal client."""

    def __init__(self, me: str) -> None:
        self._roster = Roster(me)

    @property
    def users(self) -> dict[str, UserPresence]:
        """Presence of the users that are not offline, by name."""
        return {user.user: user for user in self._roster}

    def take(self, frame: ServerFrame) -> None:
        """Apply a frame."""
        if isinstance(frame, OnlineUsers):
            self._roster.apply_page(frame)
        elif isinstance(frame, PresenceChanges):
            self._roster.apply_changes(frame)


class Watcher:
    """A session that keeps rosters from the frames it receives."""

    def __init__(self, router: RouterDouble, name: str) -> None:
        self.session, self.link = router.login(name)
        self.rosters: tuple[SpecifiedRoster | ClientRoster, ...] = (SpecifiedRoster(name), ClientRoster(name))

    def read(self) -> None:
        """Apply the frames that were written."""
        for frame in self.link.take():
            for roster in self.rosters:
                roster.take(frame)


class NarrowLink(FakeLink):
    """A link that is congested after each write."""

    narrow = True

    def write(self, plaintext: bytes) -> None:
        """Keep the output, and become congested."""
        super().write(plaintext)
        if plaintext and self.narrow:
            self.congested = True


NAMES = tuple("bcdefgh")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from(NAMES)),
        st.tuples(st.just("leave"), st.sampled_from(NAMES)),
        st.tuples(st.just("lose"), st.sampled_from(NAMES)),
        st.tuples(st.just("away"), st.sampled_from(NAMES)),
        st.tuples(st.just("hide"), st.sampled_from(NAMES)),
        st.tuples(st.just("sleep"), st.sampled_from(["0", "0.4", "1", "3", "6"])),
        st.tuples(st.sampled_from(["block", "unblock", "blocked", "unblocked"]), st.sampled_from(NAMES)),
        st.tuples(st.just("read"), st.just("")),
        st.tuples(st.just("login"), st.just("")),
    ),
    min_size=8,
    max_size=40,
)


class StepRunner:
    """Runs the steps of an example on a router."""

    def __init__(self) -> None:
        self.router = RouterDouble("a", *NAMES)
        self.sessions: dict[str, list[Session]] = {name: [] for name in NAMES}
        self.watchers: list[Watcher] = []
        self.blocks: set[tuple[str, str]] = set()

    async def step(self, action: str, argument: str) -> None:
        """Run a step."""
        handlers: dict[str, Callable[[], object]] = {
            "open": lambda: self.sessions[argument].append(self.router.login(argument)[0]),
            "login": self._watch,
            "read": self.read,
        }
        if action == "sleep":
            await asyncio.sleep(float(argument))
        elif action in handlers:
            handlers[action]()
        elif "block" in action:
            self._block(action, argument)
        elif self.sessions[argument]:
            self._end_or_change(action, argument)

    def expected(self) -> dict[str, tuple[Status, str]]:
        """Return what alice sees: all but those with a block between them."""
        apart = {each for pair in self.blocks for each in pair}
        return {name: each for name, each in snapshot(self.router.presence, "a").items() if name not in apart}

    def _block(self, action: str, name: str) -> None:
        """Let alice block or unblock a user, or be blocked or unblocked by them."""
        pair = ("a", name) if action in ("block", "unblock") else (name, "a")
        removed = action.startswith("un")
        if removed is not (pair in self.blocks):
            return
        self.blocks ^= {pair}
        account, blocked = (self.router.directory.accounts[each].id for each in pair)
        self.router.bus.publish(Commit((BlockChanged(account, blocked, removed),)))

    def read(self) -> None:
        """Let every watcher read its frames, so that the daemon can continue."""
        for watcher in self.watchers:
            watcher.read()
            if watcher.link.congested:
                watcher.link.congested = False
                watcher.session.writable()

    def _watch(self) -> None:
        with mock.patch("tests.support.doubles.FakeLink", NarrowLink):
            self.watchers.append(Watcher(self.router, "a"))

    def _end_or_change(self, action: str, argument: str) -> None:
        session = self.sessions[argument][-1]
        if action == "leave":
            session.receive(b'{"type":"bye"}\n')
        elif action == "lose":
            session.lost("lost")
        else:
            status: Status = "away" if action == "away" else "offline"
            session.receive(codec.encode(frames.SetPresence(status, argument if action == "away" else "")))
            return
        self.sessions[argument].remove(session)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_every_roster_ends_with_the_current_presence(steps: list[tuple[str, str]]) -> None:
    """After any interleaving of pages, changes and blocks, every roster equals the snapshot.

    Users with a block between them are in neither's roster.
    """

    async def test() -> None:
        runner = StepRunner()
        runner._watch()
        for action, argument in steps:
            await runner.step(action, argument)
        for _ in range(20):  # long enough for every timer and every page
            await asyncio.sleep(1)
            runner.read()
        expected = runner.expected()
        for watcher in runner.watchers:
            for roster in watcher.rosters:
                assert {name: (p.status, p.text) for name, p in roster.users.items()} == expected, roster
        runner.router.presence.close()

    with mock.patch.object(presence_module, "_PAGE", 1), mock.patch.object(visibility_module, "_PAGE", 1):
        in_virtual_time(test())


@pytest.mark.parametrize("roster", [SpecifiedRoster, ClientRoster])
def test_a_restarted_snapshot_replaces_the_unfinished_one(
    roster: type[SpecifiedRoster] | type[ClientRoster],
) -> None:
    """A user who went offline during an unfinished snapshot is not in the roster after the next one."""

    async def test() -> None:
        runner = StepRunner()
        for name in NAMES:
            await runner.step("open", name)
        await runner.step("login", "")
        await runner.step("sleep", "6")
        await runner.step("read", "")
        await runner.step("sleep", "0")
        await runner.step("leave", "b")
        await runner.step("sleep", "6")
        watcher = runner.watchers[0]
        assert [type(frame) for frame in watcher.link.written] == [OnlineUsers]
        assert watcher.session.outbound._stale_presence
        watcher.rosters = (roster("a"),)
        for _ in range(10):
            runner.read()
            await asyncio.sleep(1)
        assert (
            sorted(watcher.rosters[0].users)
            == sorted(snapshot(runner.router.presence, "a"))
            == list(NAMES[1:])
        )
        runner.router.presence.close()

    with mock.patch.object(presence_module, "_PAGE", 2):
        in_virtual_time(test())
