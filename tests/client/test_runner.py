"""Sessions between a scripted server and a scripted front end."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp_client.core import events
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.effects import Clock
from qscp_client.core.engine import Engine
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.outbox import LONGEST_TRY_MS
from qscp_client.errors import (
    EndedError,
    ExitCode,
    IncompatibleError,
    InterruptedByUserError,
    NotDeliveredError,
    UnreachableError,
)
from qscp_client.net.address import ServerAddress
from qscp_client.net.backoff import Backoff
from qscp_client.net.connection import Link, Server
from qscp_client.net.login import Login
from qscp_client.runner import ClientRunner
from qscp_client.state.device import Devices
from qscp_client.ui.credentials import Credentials
from tests.support.scripted_server import ScriptedServer
from tests.support.waiting import patiently, until

DEVICE = "d" * 32
LOST = Notice(NoticeCode.CONNECTION_LOST)


class GivenLines:
    """Front end with prepared lines that records the events it shows."""

    password_tries = 1
    counts_failures = False
    shows_at_once = False

    def __init__(self, *lines: str | None, patience_s: float | None = None) -> None:
        self.patience_s = patience_s
        self.shown: list[events.Event] = []
        self.interrupted = False
        self.chat_opened = asyncio.Event()
        self.notified = asyncio.Event()
        self.failed = asyncio.Event()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        for line in lines:
            self._lines.put_nowait(line)

    def private(self) -> AbstractContextManager[None]:
        """Hide nothing."""
        return contextlib.nullcontext()

    async def ask_user(self) -> str:
        """Return the same name always."""
        return "alice"

    async def ask_password(self) -> str:
        """Return the same password always."""
        return "wonderland"

    def attached(self, engine: Engine, touched: Callable[[], None]) -> AbstractContextManager[None]:
        """Use nothing of the engine but its callback."""
        del engine
        self.touched = touched
        return contextlib.nullcontext()

    def show(self, happened: Sequence[events.Event]) -> None:
        """Record events."""
        self.shown += happened
        if any(isinstance(event, events.ChatOpened) for event in happened):
            self.chat_opened.set()
        if self.notices():
            self.notified.set()
        if any(isinstance(event, events.MessageFailed) for event in happened):
            self.failed.set()

    async def read_lines(self) -> list[TypedLine]:
        """Return the next line; raise Ctrl-C after the last one if the test wants it."""
        if self.interrupted and self._lines.empty():
            raise InterruptedByUserError
        line = await self._lines.get()
        return [] if line is None else [TypedLine(line)]

    def notices(self) -> list[Notice]:
        """Return the notices shown."""
        return [event for event in self.shown if isinstance(event, Notice)]


class InProcessPeer:
    """Client sessions of alice, with dave online."""

    def __init__(self, server: ScriptedServer, ca_file: Path, directory: Path) -> None:
        self.server = server
        self.directory = directory
        where = Server(ServerAddress("localhost", server.port), ca_file)
        self.login = Login(
            where, Credentials(GivenLines()), None, lambda _: Devices(directory, lambda: DEVICE)
        )
        self.tries = 0
        self.later_ms = 0
        """Offset of the wall clock."""
        self.pauses: list[float] = []
        """Shortest length of each pause so far, in seconds."""
        self.engine: Engine | None = None
        """The engine that runs, or ran last."""
        self._tried = asyncio.Condition()

    async def run(
        self, front: GivenLines, *, leave_timeout_s: float = 5, silence_s: float = 60, pause_s: float = 0.001
    ) -> ExitCode:
        """Run a session from the login to its end."""
        link, ack = await self.login.run()
        assert self.login.devices
        with self.login.devices.acquire() as device:
            ids = itertools.count(time.time_ns())
            clock = Clock(time.monotonic, lambda: time.time_ns() // 1_000_000 + self.later_ms)
            engine = Engine("alice", lambda: f"{next(ids):032x}", clock, device.saved)
            self.engine = engine
            runner = ClientRunner(
                engine,
                front,
                device,
                self.again,
                backoff=lambda: Backoff(self._pause(pause_s)),
                leave_timeout_s=leave_timeout_s,
                silence_s=silence_s,
            )
            return await runner.run(link, ack)

    def _pause(self, factor: float) -> Callable[[float, float], float]:
        """Return a function that notes the shortest length of a pause, and makes it much shorter."""

        def shortest(low: float, _: float) -> float:
            self.pauses.append(low)
            return factor * low

        return shortest

    async def again(self) -> tuple[Link, frames.AuthAck]:
        """Connect again, and count the tries."""
        async with self._tried:
            self.tries += 1
            self._tried.notify_all()
        return await self.login.again(frames.SetPresence("online"))

    async def until_tried(self, count: int) -> None:
        """Wait until reconnecting was tried this often."""
        async with patiently(), self._tried:
            await self._tried.wait_for(lambda: self.tries >= count)

    def kept(self) -> list[str]:
        """Return the texts in the saved outbox."""
        with Devices(self.directory, str).acquire() as device:
            return [entry.body for entry in device.saved.outbox]


@pytest.fixture
def peer(server: ScriptedServer, ca_file: Path, tmp_path: Path) -> InProcessPeer:
    """Return a peer of the server."""
    server.come("dave")
    return InProcessPeer(server, ca_file, tmp_path / "devices")


@pytest.mark.parametrize("last", ["quit", None])
async def test_leaving_says_bye(last: str | None, server: ScriptedServer, peer: InProcessPeer) -> None:
    """`quit`, and the end of input, send `bye` after all acks."""
    code = await peer.run(GivenLines("dave", "hi", last))
    assert code is ExitCode.OK
    assert server.bodies() == [("dave", "hi")]
    assert isinstance(server.received[-1], frames.ClientBye)


async def test_leaving_has_a_deadline(server: ScriptedServer, peer: InProcessPeer) -> None:
    """Leaving stops waiting for acks at its deadline; unacked messages are shown and kept."""
    server.holds_acks = True
    front = GivenLines("dave", "hi", "quit")
    code = await peer.run(front, leave_timeout_s=0.1)
    assert code is ExitCode.NOT_DELIVERED
    assert isinstance(front.shown[-1], events.MessageFailed)
    assert peer.kept() == ["hi"]


async def test_leaving_waits_for_a_server_that_reads_slowly(
    server: ScriptedServer, peer: InProcessPeer
) -> None:
    """While the server reads no further, leaving waits longer; the user is notified once."""
    server.throttles_s = 0.4
    front = GivenLines("dave", "one", "two", "quit")
    assert await peer.run(front, leave_timeout_s=0.2) is ExitCode.OK
    codes = [each.code for each in front.shown if isinstance(each, Notice)]
    assert codes.count(NoticeCode.THROTTLED) == 1
    assert peer.kept() == []


async def test_leaving_keeps_lines_that_wait_for_whois(server: ScriptedServer, peer: InProcessPeer) -> None:
    """Leaving keeps lines that wait for an answer to `whois`."""
    server.ignores_whois = True
    front = GivenLines("bob", "hi", None)
    code = await peer.run(front, leave_timeout_s=0.1)
    assert code is ExitCode.NOT_DELIVERED
    assert isinstance(front.shown[-1], events.MessageFailed)
    assert peer.kept() == ["hi"]


async def test_an_unanswered_bye_is_no_failure(server: ScriptedServer, peer: InProcessPeer) -> None:
    """A server that does not answer `bye` causes no failure."""
    server.ignores_bye = True
    assert await peer.run(GivenLines("quit"), leave_timeout_s=0.1) is ExitCode.OK


async def test_a_refusal_at_a_terminal_exits_with_ok(server: ScriptedServer, peer: InProcessPeer) -> None:
    """At a terminal, a refused message is shown and kept, and the exit code is 0."""
    server.delete("dave")
    front = GivenLines("dave", "hi")
    running = asyncio.create_task(peer.run(front))
    await server.until(ScriptedServer.bodies)
    front._lines.put_nowait("quit")
    assert await running is ExitCode.OK
    assert any(isinstance(event, events.MessageFailed) for event in front.shown)
    assert peer.kept() == ["hi"]


async def test_ctrl_c_sends_bye(server: ScriptedServer, peer: InProcessPeer) -> None:
    """Ctrl-C waits for acks and sends `bye`, with its own exit code."""
    front = GivenLines("dave", "hi")
    front.interrupted = True
    assert await peer.run(front) is ExitCode.INTERRUPTED
    assert isinstance(server.received[-1], frames.ClientBye)
    assert isinstance(front.shown[-1], events.OwnMessage)


async def test_a_ping_is_answered(server: ScriptedServer, peer: InProcessPeer) -> None:
    """A ping is answered while no line is typed."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: "alice" in script.sessions)
    server.sessions["alice"].send(frames.ServerPing())
    await server.until(lambda script: frames.ClientPong() in script.received)
    front._lines.put_nowait(None)
    assert await running is ExitCode.OK


async def test_a_silent_server_is_pinged(server: ScriptedServer, peer: InProcessPeer) -> None:
    """A silent server is pinged, and kept if it answers."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front, silence_s=0.3))
    await server.until(lambda script: script.received.count(frames.ClientPing()) > 1)
    front._lines.put_nowait(None)
    assert await running is ExitCode.OK


async def test_an_unanswered_ping_reconnects(server: ScriptedServer, peer: InProcessPeer) -> None:
    """After an unanswered ping, the client reconnects."""
    server.ignores_ping = True
    front = GivenLines()
    running = asyncio.create_task(peer.run(front, silence_s=0.05))
    await server.until(lambda script: script.logins > 2)
    front._lines.put_nowait("quit")
    assert await running is ExitCode.OK
    assert front.notices()[:2] == [LOST, Notice(NoticeCode.RECONNECTED)]


async def test_reconnecting_is_tried_until_it_works(server: ScriptedServer, peer: InProcessPeer) -> None:
    """Reconnecting is repeated until it works; lines typed meanwhile are sent once, in order."""
    front = GivenLines("dave", "one")
    running = asyncio.create_task(peer.run(front))
    await server.until(ScriptedServer.bodies)
    server.closed = True
    server.drop_all()
    for line in ("two", "three"):
        front._lines.put_nowait(line)
    await peer.until_tried(3)
    server.closed = False
    await server.until(lambda script: len(script.stored("alice", "dave")) == 3)
    front._lines.put_nowait("quit")
    assert await running is ExitCode.OK
    assert server.stored("alice", "dave") == ["one", "two", "three"]


async def test_a_message_expires_during_a_pause(server: ScriptedServer, peer: InProcessPeer) -> None:
    """A message that expires during a pause fails before the next connection."""
    server.holds_acks = True
    front = GivenLines("dave", "one")
    running = asyncio.create_task(peer.run(front, pause_s=1000))
    await server.until(ScriptedServer.bodies)
    peer.later_ms = LONGEST_TRY_MS + 60_000
    server.drop_all()
    async with patiently():
        await front.failed.wait()
    assert peer.tries == 0
    front._lines.put_nowait("quit")
    assert await running is ExitCode.OK


async def test_reconnecting_in_a_pipe_has_a_deadline(server: ScriptedServer, peer: InProcessPeer) -> None:
    """In a pipe, reconnecting ends with `NotDeliveredError` if messages are unacked."""
    server.holds_acks = True
    front = GivenLines("dave", "one", patience_s=0.2)
    front.counts_failures = True
    running = asyncio.create_task(peer.run(front))
    await server.until(ScriptedServer.bodies)
    server.closed = True
    server.drop_all()
    with pytest.raises(NotDeliveredError):
        await running
    assert peer.kept() == ["one"]


async def test_a_listener_in_a_pipe_ends_as_unreachable(server: ScriptedServer, peer: InProcessPeer) -> None:
    """In a pipe without unacked messages, reconnecting ends with `UnreachableError`."""
    front = GivenLines(patience_s=0.2)
    front.counts_failures = True
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: "alice" in script.sessions)
    server.closed = True
    server.drop_all()
    with pytest.raises(UnreachableError):
        await running


@pytest.mark.parametrize("ending", ["replaced", "locked", "deleted", "kicked"])
async def test_some_endings_are_final(ending: str, server: ScriptedServer, peer: InProcessPeer) -> None:
    """After a final `bye`, the client does not reconnect."""
    running = asyncio.create_task(peer.run(GivenLines()))
    await server.until(lambda script: "alice" in script.sessions)
    server.sessions["alice"].send(frames.ServerBye(ending, "Over."))
    with pytest.raises(EndedError, match="Over"):
        await running
    assert peer.tries == 0


async def test_pauses_grow_until_a_connection_has_caught_up(
    server: ScriptedServer, peer: InProcessPeer
) -> None:
    """Pauses grow while each `resume` fails, and begin anew after one that works."""
    server.fails_resume = True
    front = GivenLines()
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: script.logins == 4)
    server.fails_resume = False
    await server.until(lambda script: any(each.live for each in script.sessions.values()))
    grown = len(peer.pauses)
    assert peer.pauses == [1.0, 5.0, 10.0, 20.0, 30.0, 30.0][:grown]
    assert grown >= 3
    server.end_all(ErrorCode.SHUTDOWN)
    await peer.until_tried(grown + 1)
    assert peer.pauses[grown] == 1.0
    front._lines.put_nowait("quit")
    assert await running is ExitCode.OK


async def test_a_shutdown_is_waited_out(server: ScriptedServer, peer: InProcessPeer) -> None:
    """After a shutdown, the client reconnects."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: "alice" in script.sessions)
    server.end_all(ErrorCode.SHUTDOWN)
    await server.until(lambda script: script.logins == 2)
    front._lines.put_nowait("quit")
    assert await running is ExitCode.OK
    assert front.notices()[0] == Notice(NoticeCode.CONNECTION_LOST, text="The server is shutting down.")


async def test_a_busy_server_is_left_alone_as_long_as_it_asks(
    server: ScriptedServer, peer: InProcessPeer
) -> None:
    """If the server refuses a new login as busy, the pause is at least as long as it asks for."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: "alice" in script.sessions)
    server.refuses = [frames.AuthNack(ErrorCode.BUSY, "Busy.", 3000.0)]
    server.drop_all()
    await peer.until_tried(1)

    await until(lambda: not server.refuses and peer.engine and peer.engine.next_try)
    assert peer.engine
    assert (peer.engine.next_try or 0) > time.monotonic() + 1000
    running.cancel()  # Before it was ready it reads no lines.
    with pytest.raises(asyncio.CancelledError):
        await running
    assert peer.tries == 1


async def test_a_key_ends_the_pause(server: ScriptedServer, peer: InProcessPeer) -> None:
    """A key press ends the pause before reconnecting."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front, pause_s=1000))
    await server.until(lambda script: "alice" in script.sessions)
    server.drop_all()
    await front.notified.wait()
    front.touched()
    await server.until(lambda script: script.logins == 2)
    front._lines.put_nowait("quit")
    assert await running is ExitCode.OK


async def test_receipts_are_batched(server: ScriptedServer, peer: InProcessPeer) -> None:
    """Many messages in the open chat cause one `received` and one `read`."""
    front = GivenLines("dave")
    running = asyncio.create_task(peer.run(front))
    await front.chat_opened.wait()
    server.write("dave", "alice", *map(str, range(100)))
    pair = server.archive.between("alice", "dave")
    await server.until(lambda _: pair.read["alice"] == 100)
    front._lines.put_nowait("quit")
    assert await running is ExitCode.OK
    assert [frame for frame in server.received if isinstance(frame, frames.Received | frames.ClientRead)] == [
        frames.Received("c1", 100),
        frames.ClientRead("c1", 100),
    ]


async def test_a_protocol_violation_ends_the_session(server: ScriptedServer, peer: InProcessPeer) -> None:
    """A protocol violation ends the session with an explained error."""
    running = asyncio.create_task(peer.run(GivenLines()))
    await server.until(lambda script: "alice" in script.sessions)
    server.sessions["alice"].writer.write(b"nonsense\n")
    with pytest.raises(IncompatibleError, match="not QSCP/1"):
        await running
