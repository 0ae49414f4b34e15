"""Client in the process of a test: a real runner and login, with a scripted front end."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from qscp import frames
from qscp_client.core import events
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.effects import Clock
from qscp_client.core.engine import Engine
from qscp_client.core.notices import Notice
from qscp_client.errors import ExitCode, InterruptedByUserError
from qscp_client.net.address import ServerAddress
from qscp_client.net.backoff import Backoff
from qscp_client.net.connection import Link, Server
from qscp_client.net.login import Login
from qscp_client.net.silence import Patience
from qscp_client.runner import ClientRunner
from qscp_client.state.device import Devices
from qscp_client.ui.credentials import Credentials
from tests.support.waiting import patiently

__all__ = ["ClientSession", "GivenLines"]

_DEVICE = "d" * 32


class GivenLines:
    """Front end with prepared lines that records the events it shows."""

    password_tries = 1
    counts_failures = False
    shows_at_once = False

    def __init__(self, *lines: str | None, patience_s: float | None = None) -> None:
        self.patience_s = patience_s
        self.password = "wonderland"
        self.on_password: Callable[[], None] = lambda: None
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
        self.on_password()
        return self.password

    def attached(self, engine: Engine, touched: Callable[[], None]) -> AbstractContextManager[None]:
        """Use nothing of the engine but its callback."""
        del engine
        self.touched = touched
        return contextlib.nullcontext()

    async def drain(self) -> None:
        """Do nothing: events are kept in memory."""

    def check_output(self) -> None:
        """Do nothing: events are kept in memory."""

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

    def type(self, line: str | None) -> None:
        """Type a line; None ends the input."""
        self._lines.put_nowait(line)

    def notices(self) -> list[Notice]:
        """Return the notices shown."""
        return [event for event in self.shown if isinstance(event, Notice)]


class ClientSession:
    """Client sessions of alice, without a process of their own.

    Args:
        port: Port of the server.
        ca_file: The CA that it trusts.
        directory: Where it keeps its devices.
        password: The password of alice.

    Attributes:
        prompts: The front end of the login.
    """

    def __init__(self, port: int, ca_file: Path, directory: Path, password: str = "wonderland") -> None:
        self.prompts = GivenLines()
        self.prompts.password = password
        self._port = port
        self.directory = directory
        self._ca_file = ca_file
        self.login = self._login(Patience())
        self.tries = 0
        self.later_ms = 0
        """Offset of the wall clock."""
        self.pauses: list[float] = []
        """Shortest length of each pause so far, in seconds."""
        self.engine: Engine | None = None
        """The engine that runs, or ran last."""
        self._tried = asyncio.Condition()

    def _login(self, patience: Patience) -> Login:
        where = Server(ServerAddress("localhost", self._port), self._ca_file, patience=patience)
        return Login(
            where, Credentials(self.prompts), None, lambda _: Devices(self.directory, lambda: _DEVICE)
        )

    async def run(
        self,
        front: GivenLines,
        *,
        leave_timeout_s: float = 5,
        patience: Patience | None = None,
        pause_s: float = 0.001,
    ) -> ExitCode:
        """Run a session from the login to its end."""
        self.login = self._login(patience or Patience())
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
