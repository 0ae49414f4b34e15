"""Client runner: the engine between connections, the disk and a front end, with the reconnect loop."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from qscp import frames
from qscp.errors import RemoteProtocolError
from qscp.states import State
from qscp_client.core.changes import Change
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.engine import Engine
from qscp_client.core.memory import TOO_MUCH
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.errors import (
    ClientError,
    EndedError,
    ExitCode,
    IncompatibleError,
    InterruptedByUserError,
    NotDeliveredError,
    StateError,
    UnreachableError,
    may_reconnect,
)
from qscp_client.net.backoff import Backoff
from qscp_client.net.connection import Link
from qscp_client.net.leave_deadline import LeaveDeadline
from qscp_client.net.login import broken_protocol
from qscp_client.net.wakeup import Wakeup
from qscp_client.state.device import Device
from qscp_client.text import clean
from qscp_client.ui.base import FrontEnd

_LEAVE_TIMEOUT_S: Final = 5.0
"""How long leaving waits for the answers to what was sent. A commit takes milliseconds."""

_TICK_S: Final = 5.0
"""How often a connection checks what comes unannounced: this computer slept, a message is too old."""

_READY_S: Final = 1.0
"""How long a terminal is not read while the server's lists come. Usually they take milliseconds."""

_TOUCH_S: Final = 1.0
"""Seconds after the last try before a key ends the pause."""

Reconnect = Callable[[], Awaitable[tuple[Link, frames.AuthAck]]]


class ClientRunner:
    """Runs an engine until the user leaves, over any number of connections.

    Args:
        engine: A fresh engine.
        front: Source of lines and display of events.
        device: Where changes are saved.
        reconnect: Logs in again.
        backoff: Makes the pauses before that; anew after a connection that sent everything missed.
        leave_timeout_s: How long leaving waits for answers.
    """

    def __init__(
        self,
        engine: Engine,
        front: FrontEnd,
        device: Device,
        reconnect: Reconnect,
        *,
        backoff: Callable[[], Backoff] = Backoff,
        leave_timeout_s: float = _LEAVE_TIMEOUT_S,
    ) -> None:
        self._engine = engine
        self._front = front
        self._device = device
        self._reconnect = reconnect
        self._backoff = backoff
        self._leave_deadline = LeaveDeadline(leave_timeout_s)
        self._link: Link | None = None
        self._ready = asyncio.Event()
        self._progress = asyncio.Event()
        self._due = asyncio.Event()
        self._left = asyncio.Event()
        self._wakeup = Wakeup()
        self._resumed = False
        self._keeps = True

    async def run(self, link: Link, ack: frames.AuthAck) -> ExitCode:
        """Chat until the user leaves or the server ends it.

        Args:
            link: The first connection, logged in; it is closed at the end, as are all others.
            ack: How the server accepted the login.

        Returns:
            OK, NOT_DELIVERED or INTERRUPTED.

        Raises:
            EndedError: The server ended the session for good.
            UnreachableError: The connection was lost, and could not be made again in time.
            NotDeliveredError: The same, and something was not acknowledged.
            ClientError: Reconnecting failed for good.
        """
        with self._front.attached(self._engine, self._touched):
            typing = asyncio.create_task(self._type())
            try:
                await self._converse(link, ack, typing)
            except UnreachableError as error:
                if (self._engine.pending or self._engine.queues_lines) and self._front.counts_failures:
                    raise NotDeliveredError(str(error)) from error
                raise
            finally:
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)
                self._engine.show_unanswered(keeps=self._keeps and bool(self._device.id))
                self._flush()
        return self._exit_code(interrupted=await _was_interrupted(typing))

    def _touched(self) -> None:
        """Apply a pressed key: a pause ends, and a typing indicator can be due."""
        self._wakeup.press()
        self._due.set()

    async def _converse(self, link: Link, ack: frames.AuthAck, typing: asyncio.Task[None]) -> None:
        """Use one connection after the other until the user has left."""
        backoff = self._backoff()
        while True:
            async with link:
                self._link = link
                link.on_late = self._note_late
                self._resumed = False
                self._engine.connected(ack)
                self._flush()
                lost = await self._use(link, typing)
                self._link = None
            if lost is None or (typing.done() and not self._waits_for_answers):
                return
            if self._resumed:
                backoff = self._backoff()  # otherwise the same trouble may come again at once
            self._engine.disconnected()
            if not may_reconnect(lost):
                raise lost
            self._flush()
            text = str(lost) if isinstance(lost, EndedError) else ""  # the server's words
            self._front.show([Notice(NoticeCode.CONNECTION_LOST, text=text)])
            found = await self._connect_again(lost, typing, backoff)
            if found is None:
                return
            link, ack = found
            self._front.show([Notice(NoticeCode.RECONNECTED)])

    @property
    def _waits_for_answers(self) -> bool:
        """Whether a client whose input ended reconnects for what was not acknowledged."""
        return self._front.patience_s is not None and (self._engine.pending > 0 or self._engine.queues_lines)

    async def _use(self, link: Link, typing: asyncio.Task[None]) -> ClientError | None:
        """Use a connection until it is over.

        Returns:
            Why it is over; None if the user left.
        """
        receiving = asyncio.create_task(self._receive(link))
        ticking = asyncio.create_task(self._tick())
        try:
            await asyncio.wait((receiving, typing, ticking), return_when=asyncio.FIRST_COMPLETED)
            if ticking.done():
                ticking.result()
            if not receiving.done() and await self._leave(receiving, typing):
                return None
        finally:
            for task in (receiving, ticking):
                task.cancel()
            await asyncio.gather(receiving, ticking, return_exceptions=True)
        return self._why(receiving)

    async def _connect_again(
        self, lost: ClientError, typing: asyncio.Task[None], backoff: Backoff
    ) -> tuple[Link, frames.AuthAck] | None:
        """Try until there is a connection; None if the user leaves before."""
        give_up_at = None if self._front.patience_s is None else time.monotonic() + self._front.patience_s
        while give_up_at is None or time.monotonic() < give_up_at:
            asked_s = lost.retry_after if isinstance(lost, UnreachableError) else 0.0
            await self._pause(max(backoff.next(), asked_s), give_up_at, typing)
            if typing.done() and not self._waits_for_answers:
                return None
            connecting = asyncio.ensure_future(self._reconnect())
            try:
                await asyncio.wait(
                    (connecting,) if typing.done() else (connecting, typing),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not connecting.done() and not self._waits_for_answers:
                    return None
                return await connecting
            except ClientError as error:
                if not may_reconnect(error):
                    raise
                lost = error
            finally:
                connecting.cancel()
                await asyncio.gather(connecting, return_exceptions=True)
        raise lost

    async def _pause(self, pause_s: float, give_up_at: float | None, typing: asyncio.Task[None]) -> None:
        """Wait before a try; a key, a wake-up of the computer, or the user leaving ends it."""
        self._wakeup.reset()
        begin = time.monotonic()
        end = begin + pause_s if give_up_at is None else min(begin + pause_s, give_up_at)
        self._engine.next_try = end
        while (now := time.monotonic()) < end and (not typing.done() or self._waits_for_answers):
            self._engine.tick()
            self._flush()
            touched = asyncio.ensure_future(self._wakeup.wait(min(end - now, 1.0)))
            await asyncio.wait(
                (touched,) if typing.done() else (touched, typing), return_when=asyncio.FIRST_COMPLETED
            )
            if touched.done() and touched.result() and time.monotonic() - begin >= _TOUCH_S:
                break
            touched.cancel()
            if touched.done() and touched.result():  # pressed too early: don't spin, but remember it
                await asyncio.sleep(max(begin + _TOUCH_S - time.monotonic(), 0))
                break
        self._engine.next_try = None
        self._front.show([])

    # --- on a connection

    async def _receive(self, link: Link) -> None:
        """Receive frames until the connection ends."""
        try:
            while arrived := await link.receive():
                for frame in arrived:
                    self._engine.receive(frame)
                    self._resumed |= isinstance(frame, frames.Resumed)
                    if isinstance(frame, frames.Throttled):
                        self._leave_deadline.throttled(frame.seconds, self._engine.pending)
                self._flush()
                self._progress.set()
                if self._engine.ready:
                    self._ready.set()
                if self._engine.ending is not None:
                    return  # nothing comes after it
        finally:
            self._progress.set()

    def _note_late(self, is_late: bool) -> None:
        """Show that an answer is late, or that none is any more."""
        self._engine.waiting = is_late
        self._front.show([Notice(NoticeCode.WAITING_FOR_SERVER)] if is_late else [])

    async def _type(self) -> None:
        """Carry out typed lines until the input ends or the user leaves."""
        with contextlib.suppress(TimeoutError):
            # Ctrl-C is only a key of the line editor. A pipe has no user who could leave before.
            async with asyncio.timeout(_READY_S if self._front.patience_s is None else None):
                await self._ready.wait()
        while not self._engine.leaving:
            lines = await self._read_lines()
            if not lines:
                return
            for line in lines:
                if not self._engine.leaving:
                    self._engine.enter(line)
            self._flush()
            if self._link is not None:
                await self._link.drain()

    async def _tick(self) -> None:
        """Do what is due, and notice when this computer slept."""
        ticked = time.monotonic()
        while True:
            due = self._engine.next_due()
            pause = _TICK_S if due is None else min(max(due - time.monotonic(), 0.0), _TICK_S)
            self._due.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._due.wait()
            if self._wakeup.slept() and self._link is not None:
                self._link.suspect()
            due, now = self._engine.next_due(), time.monotonic()
            if (due is not None and due <= now) or now >= ticked + _TICK_S:
                ticked = now
                self._engine.tick()
                self._flush()

    async def _read_lines(self) -> list[TypedLine]:
        """Return the next lines; none at the end of input, or when a queued line was `quit`."""
        reading = asyncio.ensure_future(self._front.read_lines())
        leaving = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else []
        finally:
            for task in (reading, leaving):
                task.cancel()
            await asyncio.gather(reading, leaving, return_exceptions=True)

    async def _leave(self, receiving: asyncio.Task[None], typing: asyncio.Task[None]) -> bool:
        """Wait for the answers to what was sent, send a bye, and wait for the server's.

        Returns:
            Whether the client left; else the connection was lost before everything was answered.
        """
        interrupted = isinstance(typing.exception(), InterruptedByUserError)
        with contextlib.suppress(TimeoutError):
            async with self._leave_deadline.start(interrupted=interrupted):
                while self._engine.busy and not receiving.done():
                    self._progress.clear()
                    await self._progress.wait()
                if receiving.done():
                    return not self._engine.busy
                self._engine.send_bye()
                self._flush()
                await asyncio.wait((receiving,))
        return True

    def _flush(self) -> None:
        """Save, show, save and send what the engine has, in this order."""
        self._save(self._engine.additions_to_save())
        self._front.show(self._engine.events_to_show())
        self._save(self._engine.changes_to_save())
        for frame in self._engine.frames_to_send():
            self._send(frame)
        self._due.set()
        if self._engine.leaving:
            self._left.set()

    def _save(self, changes: list[Change]) -> None:
        if not self._keeps:
            return
        try:
            self._device.save(changes)
        except StateError as error:
            self._keeps = False
            self._front.show([Notice(NoticeCode.NO_LONGER_SAVED, text=str(error))])

    def _send(self, frame: frames.ClientFrame) -> None:
        # Nothing can be sent after a bye of either side.
        if self._link is not None and self._link.state is State.READY:
            self._link.send(frame)

    def _why(self, receiving: asyncio.Task[None]) -> ClientError:
        """Return why a connection is over that the user did not end."""
        error = None if receiving.cancelled() else receiving.exception()
        if isinstance(error, RemoteProtocolError):
            return broken_protocol(error)
        if error is not None:
            raise error
        if ending := self._engine.ending:
            if ending.code == TOO_MUCH:
                return IncompatibleError(
                    "The server sends more users and conversations than this client can keep. "
                    "Check host and port (--server)."
                )
            return EndedError(clean(ending.message), reconnect=ending.reconnect)
        return UnreachableError("The connection to the server was lost.")

    def _exit_code(self, *, interrupted: bool) -> ExitCode:
        if interrupted:
            return ExitCode.INTERRUPTED
        engine = self._engine
        if engine.pending or (self._front.counts_failures and (engine.failed or engine.pick_failed)):
            return ExitCode.NOT_DELIVERED
        return ExitCode.OK


async def _was_interrupted(typing: asyncio.Task[None]) -> bool:
    try:
        await typing
    except InterruptedByUserError:
        return True
    except asyncio.CancelledError:
        return False
    return False
