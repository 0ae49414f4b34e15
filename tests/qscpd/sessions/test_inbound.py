"""Input of a session: turns, rates, and pauses in which nothing is lost."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from qscp import codec, frames
from qscp.errors import ErrorCode
from qscpd.config import Config
from qscpd.config.model import LimitsConfig
from qscpd.net.pause import Pause
from qscpd.sessions.session import Session
from tests.support.clock import in_virtual_time
from tests.support.doubles import FakeLink, RouterDouble

TURN = 64
"""Frames of a turn."""

PING, PONG = b'{"type":"ping"}\n', b'{"type":"pong"}\n'

SLOW = LimitsConfig(messages_per_second=10, message_burst=20, requests_per_second=5, request_burst=10)
"""Limits that a test reaches soon; a session may send 100 frames a second, and 200 at once."""


@pytest.fixture
async def router() -> AsyncIterator[RouterDouble]:
    """A router that knows alice and bob."""
    made = RouterDouble("alice", "bob")
    yield made
    made.close()


def chat(number: int) -> bytes:
    """Return the line of a message."""
    return codec.encode(frames.SendChat("bob", "hello", f"{number:032x}"))


def login(router: RouterDouble, name: str = "alice") -> tuple[Session, FakeLink]:
    """Log a user in, with an empty link."""
    session, link = router.login(name)
    router.output.flush()
    link.take()
    return session, link


def acks(link: FakeLink) -> list[int]:
    """Return the numbers of the messages that were acknowledged."""
    return [int(each.id, 16) for each in link.take() if isinstance(each, frames.ChatAck)]


def kinds(link: FakeLink) -> list[str]:
    """Return the types of the written frames, without presence."""
    return [each.type for each in link.take() if each.type not in ("presence", "online_users")]


# --- turns


async def test_a_flood_waits_for_others(router: RouterDouble) -> None:
    """Each turn of a session with a thousand frames is a bounded number of them; others go in between."""
    flood, flooding = login(router)
    other, calm = login(router, "bob")
    flood.receive(PING * 1000)
    assert (flood.frames_in - 1, flooding.paused) == (TURN, {Pause.TURN})
    other.receive(PING * 2)
    router.output.flush()
    assert kinds(calm) == ["pong", "pong"]
    assert len(kinds(flooding)) == TURN
    router.run_turns()
    router.output.flush()
    assert len(kinds(flooding)) == 1000 - TURN
    assert flooding.reading


async def test_two_floods_take_turns(router: RouterDouble) -> None:
    """Two sessions with much input are never more than a turn apart."""
    first, _ = login(router)
    second, _ = login(router, "bob")
    first.receive(PONG * 1000)
    second.receive(PONG * 1000)
    while len(router.turns):
        router.turns._waiting.popleft().take_turn()
        assert abs(first.frames_in - second.frames_in) <= TURN
    assert first.frames_in == second.frames_in == 1001


@pytest.mark.parametrize("end", [b'{"type":"bye"}\n', b""])
async def test_what_waits_is_handled_before_the_end(router: RouterDouble, end: bytes) -> None:
    """Frames that wait for a turn are answered before `bye`, and before the end of the stream."""
    session, link = login(router)
    session.receive(b"".join(map(chat, range(200))) + end)
    if not end:
        session.receive_eof()
    assert link.ended == ""
    router.flush()
    router.writer.answer(router)
    assert acks(link) == list(range(200))
    assert link.ended == ("bye" if end else "lost")


async def test_a_violation_behind_much_input_comes_after_it(router: RouterDouble) -> None:
    """Frames before a malformed line are handled in their turns; nothing after it is."""
    session, link = login(router)
    session.receive(PING * 200 + b"nonsense\n" + PING * 200)
    router.flush()
    assert kinds(link) == ["pong"] * 200 + ["error"]
    assert link.ended == "not_json"
    assert len(router.turns) == 0


async def test_a_session_that_is_lost_takes_no_turn(router: RouterDouble) -> None:
    """A session whose link is gone or that is replaced handles nothing more."""
    lost, _ = login(router)
    replaced, _ = login(router)
    for session in (lost, replaced):
        session.receive(PING * 200)
    lost.lost("lost")
    replaced.inbound.pause(Pause.REPLACED)
    router.run_turns()
    assert lost.frames_in == replaced.frames_in == 1 + TURN


async def test_a_shutdown_answers_only_what_was_handled(router: RouterDouble) -> None:
    """A session that waits for its turn gets its acks and `bye` at a shutdown."""
    session, link = login(router)
    session.receive(b"".join(map(chat, range(200))))
    router.shut_down()
    router.flush()
    router.writer.answer(router)
    assert link.ended == "shutdown"
    assert acks(link) == list(range(TURN))


async def test_much_that_is_unanswered_is_bounded_in_bytes(router: RouterDouble) -> None:
    """A session with a mebibyte on its way is read no further until that is answered; none is lost."""
    session, link = login(router)
    line = codec.encode(frames.SendChat("bob", "x" * 16_000, f"{0:032x}"))
    for number in range(200):
        session.receive(codec.encode(frames.SendChat("bob", "x" * 16_000, f"{number:032x}")))
        router.run_turns()
    assert Pause.ANSWERS in link.paused
    assert session.pending * len(line) <= 1 << 20
    seen = 0
    while session.pending:
        router.flush()
        router.writer.answer(router)
        router.flush()
        seen += len(acks(link))
    assert seen == 200
    assert link.reading


# --- rates


class Throttled:
    """A router with low limits in virtual time, and a session of alice."""

    def __init__(self, limits: LimitsConfig = SLOW) -> None:
        self.router = RouterDouble("alice", "bob", config=Config(limits=limits))
        self.session, self.link = login(self.router)
        self.seen: list[frames.ServerFrame] = []

    async def wait(self, seconds: float) -> None:
        """Let time pass; the store answers at once."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(0.05)
            self.step()

    def step(self) -> None:
        """Let the store answer, and read what was written."""
        self.link.clock = asyncio.get_running_loop().time()
        self.router.flush()
        if self.router.writer.waiting:
            self.router.writer.answer(self.router)
        self.router.flush()
        self.seen += self.link.take()

    def acks(self) -> list[int]:
        """Return the numbers of all acknowledged messages."""
        return [int(each.id, 16) for each in self.seen if isinstance(each, frames.ChatAck)]

    def notices(self) -> list[frames.Throttled]:
        """Return all `throttled` frames."""
        return [each for each in self.seen if isinstance(each, frames.Throttled)]


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in virtual time."""
    in_virtual_time(test)


def test_messages_beyond_the_burst_wait() -> None:
    """Messages beyond the burst are stored at the rate, in order; none is refused or lost."""

    async def test() -> None:
        made = Throttled()
        made.session.receive(b"".join(map(chat, range(100))))
        made.step()
        assert made.acks() == list(range(20))
        assert made.link.paused == {Pause.RATE}
        (notice,) = made.notices()
        assert notice.reason == "messages"
        assert 0 < notice.seconds <= 1
        await made.wait(4)
        assert 50 <= len(made.acks()) <= 60
        await made.wait(5)
        assert made.acks() == list(range(100))
        assert made.link.reading
        made.router.close()

    run(test())


def test_a_pause_is_announced_every_five_seconds() -> None:
    """`throttled` comes at once and then every five seconds, and at once again in the next pause."""

    async def test() -> None:
        made = Throttled()
        times: list[float] = []
        loop = asyncio.get_running_loop()
        begin = loop.time()

        async def watch(seconds: int) -> None:
            for _ in range(seconds * 10):
                before = len(made.notices())
                made.link.last_in = loop.time()  # the peer is not silent
                await made.wait(0.1)
                if round(loop.time() - begin, 1) % 1 < 0.1:
                    made.session.tick(loop.time())
                    made.step()
                times.extend([loop.time() - begin] * (len(made.notices()) - before))

        made.session.receive(b"".join(map(chat, range(220))))
        await watch(30)
        assert len(made.acks()) == 220
        assert times[0] <= 0.2
        pauses = [after - before for before, after in itertools.pairwise(times)]
        assert len(pauses) == 3
        assert all(4.9 <= pause <= 6.2 for pause in pauses)
        before = len(times)
        made.session.receive(b"".join(map(chat, range(220, 350))))
        await watch(1)
        assert len(times) == before + 1
        made.router.close()

    run(test())


@pytest.mark.parametrize("reason", [Pause.REQUEST, Pause.ANSWERS, Pause.TURN])
def test_a_peer_that_waits_for_us_gets_signs_of_life(reason: Pause) -> None:
    """A session that is not read for five seconds, such as for a slow disk, is pinged every five seconds."""

    async def test() -> None:
        made = Throttled()
        loop = asyncio.get_running_loop()

        async def pings(seconds: int) -> int:
            made.seen.clear()
            for _ in range(seconds):
                await made.wait(1)
                made.session.tick(loop.time())
            made.step()
            return made.seen.count(frames.ServerPing())

        made.link.last_in = loop.time()
        made.session.inbound.pause(reason)
        assert await pings(4) == 0
        assert await pings(10) == 2
        made.session.inbound.pause(Pause.OUTPUT)  # its own output waits for the peer: that is sign enough
        assert await pings(12) == 0
        made.link.resume_reading(Pause.OUTPUT)
        made.link.resume_reading(reason)
        made.link.last_in = loop.time()
        assert await pings(12) == 0
        made.router.close()

    run(test())


@pytest.mark.parametrize(
    ("line", "reason", "passed"),
    [
        (codec.encode(frames.WhoisRequest("bob")), "requests", 10),
        (codec.encode(frames.SetPresence("away", "x")), "requests", 10),
        (PONG, "frames", 200),
        (codec.encode(frames.ClientRead("c7", 1)), "frames", 200),
        (codec.encode(frames.Skip("0" * 32)), "frames", 200),
        (codec.encode(frames.SetTyping("bob")), "frames", 200),
    ],
)
def test_every_frame_is_limited(line: bytes, reason: str, passed: int) -> None:
    """Requests draw from the account's requests; all frames, whatever they do, from the session's frames."""

    async def test() -> None:
        made = Throttled()
        made.session.receive(line * 500)
        made.step()
        assert [each.reason for each in made.notices()] == [reason]
        # The first frame of a session is its `auth`.
        assert made.session.frames_in == passed + (reason != "frames")
        await made.wait(10)
        rate = 5 if reason == "requests" else 100
        assert made.session.frames_in - 1 <= passed + rate * 10.1
        made.router.close()

    run(test())


def test_bytes_are_limited() -> None:
    """Bytes of any frame draw from the account's bytes."""

    async def test() -> None:
        limits = replace(LimitsConfig(), bytes_per_second=64 * 1024, byte_burst=64 * 1024)
        made = Throttled(limits)
        line = codec.encode(frames.SendChat("bob", "x" * 15_900, "0" * 32))
        for _ in range(20):
            made.session.receive(line)
        made.step()
        assert [each.reason for each in made.notices()] == ["bytes"]
        first = len(made.acks())
        assert first * len(line) <= 64 * 1024
        await made.wait(2)
        assert len(made.acks()) * len(line) <= 64 * 1024 * 3.1
        await made.wait(4)
        assert len(made.acks()) == 20
        made.router.close()

    run(test())


def test_other_accounts_are_not_delayed() -> None:
    """A session of another account is answered at once while one waits."""

    async def test() -> None:
        made = Throttled()
        other, link = login(made.router, "bob")
        made.session.receive(b"".join(map(chat, range(100))))
        made.step()
        other.receive(PING)
        made.step()
        assert kinds(link)[-1] == "pong"
        made.router.close()

    run(test())


def test_a_pause_of_ours_is_no_silence_of_the_peer() -> None:
    """However long the server does not read, the peer is neither pinged nor dropped; afterwards it is."""

    async def test() -> None:
        made = Throttled()
        loop = asyncio.get_running_loop()
        made.session.receive(b"".join(map(chat, range(3000))))
        for _ in range(250):
            await made.wait(1)
            made.session.tick(loop.time())
        assert len(made.acks()) < 3000
        assert made.link.ended == ""
        assert not [each for each in made.seen if isinstance(each, frames.ServerPing)]
        await made.wait(60)
        assert made.acks() == list(range(3000))
        made.router.close()

    run(test())


def test_the_end_of_a_throttled_session() -> None:
    """A throttled session that is closed or lost leaves no timer and handles nothing more."""

    async def test() -> None:
        for end in ("close", "lost"):
            made = Throttled()
            made.session.receive(b"".join(map(chat, range(100))))
            made.step()
            if end == "close":
                made.session.close(ErrorCode.LOCKED)
            made.session.lost(end)
            await made.wait(20)
            assert len(made.acks()) == 20
            assert len(made.router.rates) <= 1
            made.router.close()

    run(test())
