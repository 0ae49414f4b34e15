"""Appearing offline: no other user learns that a hidden one has a session, whatever happens to it."""

import asyncio
import dataclasses
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from qscp import codec, frames
from qscp.features import READ_RECEIPTS, TYPING
from qscp.frames import Status
from qscpd.bus.base import Commit
from qscpd.chat.hiding import HIDDEN_GRACE_S
from qscpd.domain.events import AccountChanged
from qscpd.domain.model import AccountState, Mark, PositionKind
from qscpd.sessions.session import Session
from tests.support.clock import in_virtual_time
from tests.support.doubles import FakeLink, RouterDouble

ALICE, BOB = 1, 2
PHONE, LAPTOP, TABLET = "1" * 32, "2" * 32, "3" * 32


class HidingHarness:
    """A router, on which bob watches alice."""

    def __init__(self) -> None:
        self.router = RouterDouble("alice", "bob")
        _, self.bob = self.router.login("bob", READ_RECEIPTS, TYPING)
        self.router.flush()

    def login(self, status: Status, device: str) -> tuple[Session, FakeLink]:
        """Log alice in on a device."""
        return self.router.login("alice", READ_RECEIPTS, TYPING, status=status, device=device)

    def send(self, session: Session, *sent: frames.ClientFrame) -> None:
        """Let a session send frames."""
        for frame in sent:
            session.receive(codec.encode(frame))
        self.router.run_turns()

    async def seen(self) -> list[object]:
        """Return all that bob has received about alice by the next second."""
        await asyncio.sleep(1.1)
        self.router.flush()
        seen: list[object] = []
        for frame in self.bob.take():
            match frame:
                case frames.PresenceChanges(users=users) | frames.OnlineUsers(users=users):
                    seen += [each.status for each in users if each.user == "alice"]
                case frames.Typing() | frames.ServerRead() | frames.Delivered():
                    seen.append(type(frame))
                case _:
                    pass
        return seen

    async def marks(self) -> list[Mark]:
        """Return the positions that the store got since the last call."""
        marks: list[Mark] = []
        submissions, writer = self.router.submissions, self.router.writer
        submissions.flush_marks()
        submissions.hand_over()
        while writer.waiting or len(submissions):
            marks += [each for each in writer.waiting if isinstance(each, Mark)]
            await asyncio.sleep(0)  # The queue asks whether they are processed,
            writer.answer(self.router)
            await asyncio.sleep(0.001)  # and hands over more.
        return marks

    def close(self) -> None:
        """Close the router."""
        self.router.close()


def hidden(test: Callable[[HidingHarness], object]) -> None:
    """Run a test with a harness, in virtual time."""

    async def run() -> None:
        harness = HidingHarness()
        await test(harness)  # type: ignore[misc]  # a coroutine function
        harness.close()

    in_virtual_time(run())


def test_a_hidden_login_is_never_online() -> None:
    """A user who logs in hidden, on several devices and again and again, is never sent as online."""

    async def test(harness: HidingHarness) -> None:
        for _ in range(3):
            session, _ = harness.login("offline", LAPTOP)
            other, _ = harness.login("online", PHONE)
            assert await harness.seen() == []
            session.lost("lost")
            assert await harness.seen() == []
            again, _ = harness.login("offline", LAPTOP)
            assert await harness.seen() == []
            harness.send(other, frames.ClientBye())
            harness.send(again, frames.ClientBye())
            assert await harness.seen() == []

    hidden(test)


def test_hiding_hides_all_sessions() -> None:
    """One session hides the account; the others get that as the answer when they say otherwise."""

    async def test(harness: HidingHarness) -> None:
        phone, link = harness.login("online", PHONE)
        laptop, _ = harness.login("online", LAPTOP)
        assert await harness.seen() == ["online"]
        harness.send(laptop, frames.SetPresence("offline"))
        assert await harness.seen() == ["offline"]
        link.take()
        harness.send(phone, frames.SetPresence("away", "lunch"))
        assert await harness.seen() == []
        assert frames.PresenceAck("away", "lunch", hidden=True) in link.take()
        harness.send(laptop, frames.SetPresence("online"))
        assert await harness.seen() == ["online"]
        harness.send(laptop, frames.SetPresence("offline"), frames.ClientBye())
        assert await harness.seen() == ["away"]

    hidden(test)


def test_a_lost_hidden_session_goes_on_hiding() -> None:
    """A hidden session that was lost hides the account until it is back, or for ten minutes."""

    async def test(harness: HidingHarness) -> None:
        laptop, _ = harness.login("offline", LAPTOP)
        phone, _ = harness.login("online", PHONE)
        laptop.lost("lost")
        await asyncio.sleep(HIDDEN_GRACE_S - 10)
        assert await harness.seen() == []
        await asyncio.sleep(10)
        assert await harness.seen() == ["online"]
        laptop, _ = harness.login("offline", LAPTOP)
        assert await harness.seen() == ["offline"]
        laptop.lost("lost")
        harness.login("online", TABLET)
        assert await harness.seen() == []
        harness.login("online", LAPTOP)  # the same device, which does not hide any more
        assert await harness.seen() == ["online"]
        laptop, _ = harness.login("offline", LAPTOP)
        laptop.lost("lost")
        assert await harness.seen() == ["offline"]
        harness.send(phone, frames.SetPresence("online"))
        assert await harness.seen() == ["online"]

    hidden(test)


def test_a_hidden_user_types_and_reads_unseen() -> None:
    """Typing indicators and read receipts of a hidden user go to no other user."""

    async def test(harness: HidingHarness) -> None:
        alice, _ = harness.login("offline", LAPTOP)
        harness.send(alice, frames.SetTyping("bob"), frames.ClientRead("c1", 4))
        (mark,) = await harness.marks()
        assert (mark.kind, mark.seq, mark.receipt) == (PositionKind.READ, 4, False)
        assert await harness.seen() == []
        harness.send(alice, frames.SetPresence("online"))
        assert await harness.seen() == ["online"]
        harness.send(alice, frames.SetTyping("bob"), frames.ClientRead("c1", 5))
        (mark,) = await harness.marks()
        assert (mark.seq, mark.receipt) == (5, True)
        assert await harness.seen() == [frames.Typing]

    hidden(test)


def test_delivered_is_withheld_until_the_user_is_visible() -> None:
    """A hidden account has received nothing; when it is visible, the newest of each conversation."""

    async def test(harness: HidingHarness) -> None:
        laptop, _ = harness.login("offline", LAPTOP)
        phone, _ = harness.login("online", PHONE)
        harness.send(laptop, frames.Received("c1", 4), frames.Received("c2", 7), frames.Received("c1", 3))
        harness.send(phone, frames.Received("c1", 6))
        assert await harness.marks() == []
        harness.send(laptop, frames.ClientBye())
        found = {(mark.account, mark.conversation, mark.kind, mark.seq) for mark in await harness.marks()}
        assert found == {(ALICE, 1, PositionKind.DELIVERED, 6), (ALICE, 2, PositionKind.DELIVERED, 7)}
        harness.send(phone, frames.Received("c1", 8))
        assert [mark.seq for mark in await harness.marks()] == [8]

    hidden(test)


def test_what_is_withheld_is_bounded_and_ends_with_the_sessions() -> None:
    """At most 500 positions of an account are withheld, and none after its last session."""

    async def test(harness: HidingHarness) -> None:
        laptop, _ = harness.login("offline", LAPTOP)
        for number in range(1, 601):
            harness.send(laptop, frames.Received(f"c{number}", 1))
        harness.send(laptop, frames.Received("c1", 2))
        harness.send(laptop, frames.SetPresence("online"))
        marks = await harness.marks()
        assert len(marks) == 500
        assert max(mark.seq for mark in marks) == 2
        harness.send(laptop, frames.SetPresence("offline"), frames.Received("c1", 9))
        harness.send(laptop, frames.ClientBye())
        harness.login("online", LAPTOP)
        assert await harness.marks() == []
        assert harness.router.hiding._withheld == {}

    hidden(test)


def test_a_locked_account_is_hidden_no_longer() -> None:
    """Locking an account ends its sessions, and the hiding by those that were lost."""

    async def test(harness: HidingHarness) -> None:
        laptop, _ = harness.login("offline", LAPTOP)
        harness.login("offline", TABLET)
        laptop.lost("lost")
        account = harness.router.directory.accounts["alice"]
        harness.router.bus.publish(
            Commit((AccountChanged(dataclasses.replace(account, state=AccountState.LOCKED)),))
        )
        harness.router.bus.publish(Commit((AccountChanged(account),)))
        harness.login("online", PHONE)
        assert await harness.seen() == ["online"]

    hidden(test)


DEVICES = (PHONE, LAPTOP)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["online", "away", "offline"]), st.sampled_from(DEVICES)),
        st.tuples(st.sampled_from(["set online", "set offline"]), st.sampled_from(DEVICES)),
        st.tuples(st.sampled_from(["bye", "lost", "type", "receive"]), st.sampled_from(DEVICES)),
        st.tuples(st.sampled_from(["0", "1", "6", "700"]), st.just("")),
    ),
    max_size=30,
)


class Model:
    """Who sees alice, written from `docs/protocol.md`."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.hides_until: tuple[str, float] = ("", float("-inf"))

    def visible(self, now: float) -> bool:
        """Return whether others may see alice as online or away."""
        return bool(self.statuses) and "offline" not in self.statuses.values() and self.hides_until[1] <= now

    def step(self, action: str, device: str, now: float) -> None:
        """Apply what alice does on a device."""
        match action.split():
            case ["bye"]:
                self.statuses.pop(device, None)
            case ["lost"]:
                if self.statuses.pop(device, "") == "offline":
                    self.hides_until = (device, now + HIDDEN_GRACE_S)
            case ["set", status] if device in self.statuses:
                self.statuses[device] = status
                if status != "offline":
                    self.hides_until = ("", now)
            case ["online" | "away" | "offline" as status]:
                if self.hides_until[0] == device:
                    self.hides_until = ("", now)
                self.statuses[device] = status
            case _:
                pass


class StepRunner:
    """Runs the steps of an example on a router and on the model."""

    def __init__(self, harness: HidingHarness) -> None:
        self._harness = harness
        self._model = Model()
        self._sessions: dict[str, Session] = {}

    async def step(self, action: str, device: str) -> None:
        """Run a step, and compare what bob receives from it with the model."""
        self._harness.router.flush()
        self._harness.bob.take()
        if not device:
            await asyncio.sleep(float(action))
        elif action in ("online", "away", "offline"):
            self._login(action, device)
        elif device in self._sessions:
            self._model.step(action, device, asyncio.get_running_loop().time())
            self._act(action, device)
        self._harness.router.flush()
        await self._check(action)

    def _login(self, status: str, device: str) -> None:
        now = asyncio.get_running_loop().time()
        if (old := self._sessions.pop(device, None)) is not None:
            self._model.step("lost", device, now)
            old.close()
        self._model.step(status, device, now)
        self._sessions[device] = self._harness.login(status, device)[0]  # type: ignore[arg-type]  # a status

    def _act(self, action: str, device: str) -> None:
        session = self._sessions[device]
        match action.split():
            case ["bye"]:
                self._harness.send(self._sessions.pop(device), frames.ClientBye())
            case ["lost"]:
                self._sessions.pop(device).lost("lost")
            case ["set", status]:
                self._harness.send(session, frames.SetPresence(status))  # type: ignore[arg-type]  # a status
            case ["type"]:
                self._harness.send(session, frames.SetTyping("bob"))
            case _:
                self._harness.send(session, frames.Received("c1", 1))

    async def _check(self, action: str) -> None:
        received, marks = self._harness.bob.take(), await self._harness.marks()
        if not self._sessions:
            return  # A visible user whose link was lost fades.
        visible = self._model.visible(asyncio.get_running_loop().time())
        assert self._harness.router.presence.is_visible("alice") == visible
        if not visible:
            changes = [
                each
                for frame in received
                if isinstance(frame, frames.PresenceChanges)
                for each in frame.users
            ]
            assert {each.status for each in changes if each.user == "alice"} <= {"offline"}
            assert not any(isinstance(frame, frames.Typing) for frame in received)
            assert action != "receive" or marks == []


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_any_interleaving_shows_a_hidden_user_to_nobody(steps: list[tuple[str, str]]) -> None:
    """Nothing that bob receives shows alice while the model hides her; otherwise she is visible."""

    async def test(harness: HidingHarness) -> None:
        runner = StepRunner(harness)
        for action, device in steps:
            await runner.step(action, device)

    hidden(test)
