"""A session between a scripted server and a front end whose lines are given."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from qscp import frames
from qscp_client import events
from qscp_client.address import ServerAddress
from qscp_client.commands import TypedLine
from qscp_client.connection import Link, Server
from qscp_client.engine import Engine
from qscp_client.errors import ExitCode, IncompatibleError, InterruptedByUserError, UnreachableError
from qscp_client.login import Login
from qscp_client.session import Session
from tests.support.scripted_server import ScriptedServer


class GivenLines:
    """A front end whose lines a test puts in, and which notes what it shows."""

    password_tries = 1
    counts_failures = False

    def __init__(self, *lines: str | None) -> None:
        self.shown: list[events.Event] = []
        self.interrupted = False
        self.chat_opened = asyncio.Event()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        for line in lines:
            self._lines.put_nowait(line)

    def private(self) -> AbstractContextManager[None]:
        """Nothing to hide."""
        return contextlib.nullcontext()

    async def ask_user(self) -> str:
        """Always the same."""
        return "alice"

    async def ask_password(self) -> str:
        """Always the same."""
        return "wonderland"

    def tell(self, sentence: str) -> None:
        """Not reached."""

    def attached(self, engine: Engine) -> AbstractContextManager[None]:
        """Need nothing of the engine."""
        del engine
        return contextlib.nullcontext()

    def show(self, happened: Sequence[events.Event]) -> None:
        """Note events."""
        self.shown += happened
        if any(isinstance(event, events.ChatOpened) for event in happened):
            self.chat_opened.set()

    async def read_line(self) -> TypedLine | None:
        """Give the next line; Ctrl-C after the last one if the test says so."""
        if self.interrupted and self._lines.empty():
            raise InterruptedByUserError
        line = await self._lines.get()
        return None if line is None else TypedLine(line)


@pytest.fixture
async def link(server: ScriptedServer, ca_file: Path) -> AsyncIterator[Link]:
    """A connection, logged in as alice, with dave online."""
    server.come("dave")
    where = Server(ServerAddress("localhost", server.port), ca_file)
    connected, _ = await Login(where, GivenLines(), None).run()
    async with connected:
        yield connected


def make_session(
    link: Link, front: GivenLines, *, leave_timeout_s: float = 5, silence_s: float = 60
) -> Session:
    """A session with its own deadlines."""
    numbers = iter(range(1000))
    engine = Engine("alice", lambda: f"{next(numbers):032x}")
    return Session(link, engine, front, leave_timeout_s=leave_timeout_s, silence_s=silence_s)


@pytest.mark.parametrize("last", ["quit", None])
async def test_leaving_says_bye(last: str | None, server: ScriptedServer, link: Link) -> None:
    """After everything was answered."""
    code = await make_session(link, GivenLines("dave", "hi", last)).run()
    assert code is ExitCode.OK
    assert server.bodies() == [("dave", "hi")]
    assert isinstance(server.received[-1], frames.ClientBye)


async def test_leaving_does_not_wait_for_ever(server: ScriptedServer, link: Link) -> None:
    """What was not answered is told, and no bye pretends that all is well."""
    server.holds_acks = True
    front = GivenLines("dave", "hi", "quit")
    code = await make_session(link, front, leave_timeout_s=0.1).run()
    assert code is ExitCode.NOT_DELIVERED
    assert isinstance(front.shown[-1], events.MessageFailed)


async def test_a_server_without_good_bye_is_left(server: ScriptedServer, link: Link) -> None:
    """Everything was stored, so that is no failure."""
    server.ignores_bye = True
    assert await make_session(link, GivenLines("quit"), leave_timeout_s=0.1).run() is ExitCode.OK


async def test_a_refusal_at_a_terminal_is_no_exit_code(server: ScriptedServer, link: Link) -> None:
    """It was shown."""
    front = GivenLines("dave")
    running = asyncio.create_task(make_session(link, front).run())
    await front.chat_opened.wait()
    server.go("dave")
    for line in ("hi", "quit"):
        front._lines.put_nowait(line)
    assert await running is ExitCode.OK
    assert any(isinstance(event, events.MessageFailed) for event in front.shown)


async def test_ctrl_c_leaves_in_order_too(server: ScriptedServer, link: Link) -> None:
    """With its own exit code."""
    front = GivenLines("dave", "hi")
    front.interrupted = True
    assert await make_session(link, front).run() is ExitCode.INTERRUPTED
    assert isinstance(server.received[-1], frames.ClientBye)
    assert front.shown[-1] == events.MessageSent("dave", "hi")


async def test_a_ping_is_answered(server: ScriptedServer, link: Link) -> None:
    """While nobody types."""
    front = GivenLines()
    running = asyncio.create_task(make_session(link, front).run())
    await server.until(lambda script: "alice" in script.sessions)
    server.sessions["alice"].send(frames.ServerPing())
    await server.until(lambda script: frames.ClientPong() in script.received)
    front._lines.put_nowait(None)
    assert await running is ExitCode.OK


async def test_a_silent_server_is_asked(server: ScriptedServer, link: Link) -> None:
    """And kept when it answers."""
    front = GivenLines()
    running = asyncio.create_task(make_session(link, front, silence_s=0.05).run())
    await server.until(lambda script: script.received.count(frames.ClientPing()) > 1)
    front._lines.put_nowait(None)
    assert await running is ExitCode.OK


async def test_a_dead_server_is_given_up(server: ScriptedServer, link: Link) -> None:
    """After a ping without an answer."""
    server.ignores_ping = True
    with pytest.raises(UnreachableError, match="lost"):
        await make_session(link, GivenLines(), silence_s=0.05).run()


async def test_a_server_that_breaks_the_protocol_ends_it(server: ScriptedServer, link: Link) -> None:
    """With a sentence, not a traceback."""
    server.sessions["alice"].writer.write(b"nonsense\n")
    with pytest.raises(IncompatibleError, match="not QSCP/1"):
        await make_session(link, GivenLines()).run()
