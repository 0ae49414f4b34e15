"""One session: the engine between a connection and a front end."""

import asyncio
import contextlib
from typing import Final

from qscp import frames
from qscp.errors import RemoteProtocolError
from qscp.states import State
from qscp_client.connection import Link
from qscp_client.display import clean
from qscp_client.engine import Engine
from qscp_client.errors import EndedError, ExitCode, InterruptedByUserError, UnreachableError
from qscp_client.frontend import FrontEnd
from qscp_client.login import broken_protocol

__all__ = ["Session"]

_LEAVE_TIMEOUT_S: Final = 5.0
"""How long leaving waits for the answers to what was sent. A commit takes milliseconds."""

_SILENCE_S: Final = 60.0
"""Silence after which we ask with a `ping`; after the same time again the server is given up.
The server pings us after 30 s, so a healthy connection is never silent for so long."""


class Session:
    """Runs an engine until one side ends it.

    Args:
        link: The connection, logged in; the caller closes it.
        engine: A fresh engine.
        front: Where lines come from and events go.
        leave_timeout_s: How long leaving waits for answers.
        silence_s: How long the server may be silent before it is asked.
    """

    def __init__(
        self,
        link: Link,
        engine: Engine,
        front: FrontEnd,
        *,
        leave_timeout_s: float = _LEAVE_TIMEOUT_S,
        silence_s: float = _SILENCE_S,
    ) -> None:
        self._link = link
        self._engine = engine
        self._front = front
        self._leave_timeout_s = leave_timeout_s
        self._silence_s = silence_s
        self._ready = asyncio.Event()
        self._progress = asyncio.Event()
        self._unanswered = 0

    async def run(self) -> ExitCode:
        """Chat, until the person leaves or the server ends it.

        Returns:
            OK, NOT_DELIVERED or INTERRUPTED.

        Raises:
            EndedError: The server ended the session.
            UnreachableError: The connection was lost.
            IncompatibleError: The server broke the protocol.
        """
        with self._front.attached(self._engine):
            return await self._run()

    async def _run(self) -> ExitCode:
        receiving = asyncio.create_task(self._receive())
        typing = asyncio.create_task(self._type())
        try:
            await asyncio.wait((receiving, typing), return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                raise self._lost(receiving.exception())
            interrupted = await _was_interrupted(typing)
            await self._leave(receiving)
        finally:
            receiving.cancel()
            typing.cancel()
            await asyncio.gather(receiving, typing, return_exceptions=True)
            self._unanswered = self._engine.pending
            self._engine.give_up("the server did not say whether it was stored")
            self._flush()
        return self._exit_code(interrupted=interrupted)

    async def _receive(self) -> None:
        """Take in frames until the connection ends."""
        try:
            while arrived := await self._receive_or_ping():
                for frame in arrived:
                    self._engine.receive(frame)
                self._flush()
                self._progress.set()
                if self._engine.ready:
                    self._ready.set()
        finally:
            self._progress.set()

    async def _receive_or_ping(self) -> list[frames.ServerFrame]:
        """Wait for frames; a server that is silent for long is asked once, then given up."""
        try:
            async with asyncio.timeout(self._silence_s):
                return await self._link.receive()
        except TimeoutError:
            self._send(frames.ClientPing())
        try:
            async with asyncio.timeout(self._silence_s):
                return await self._link.receive()
        except TimeoutError:
            return []

    async def _type(self) -> None:
        """Carry out typed lines until the input ends or the person leaves."""
        await self._ready.wait()
        while not self._engine.leaving:
            line = await self._front.read_line()
            if line is None:
                return
            self._engine.enter(line)
            self._flush()
            await self._link.drain()

    def _flush(self) -> None:
        """Send and show what the engine has."""
        for frame in self._engine.frames_to_send():
            self._send(frame)
        self._front.show(self._engine.events_to_show())

    def _send(self, frame: frames.ClientFrame) -> None:
        # A server that has said bye, or a client that has, hears nothing more.
        if self._link.state is State.READY:
            self._link.send(frame)

    async def _leave(self, receiving: asyncio.Task[None]) -> None:
        """Wait for the answers to what was sent, say bye, and wait for the server's bye."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._leave_timeout_s):
                while self._engine.pending and not receiving.done():
                    self._progress.clear()
                    await self._progress.wait()
                self._engine.say_bye()
                self._flush()
                await asyncio.wait((receiving,))

    def _lost(self, error: BaseException | None) -> Exception:
        """Why the session is over, when it was not the person's wish."""
        if isinstance(error, RemoteProtocolError):
            return broken_protocol(error)
        if error is not None:
            raise error
        if ending := self._engine.ending:
            return EndedError(clean(ending.message))
        return UnreachableError("The connection to the server was lost. Start the client again.")

    def _exit_code(self, *, interrupted: bool) -> ExitCode:
        if interrupted:
            return ExitCode.INTERRUPTED
        engine = self._engine
        if self._unanswered or (self._front.counts_failures and (engine.failed or engine.choice_failed)):
            return ExitCode.NOT_DELIVERED
        return ExitCode.OK


async def _was_interrupted(typing: asyncio.Task[None]) -> bool:
    try:
        await typing
    except InterruptedByUserError:
        return True
    return False
