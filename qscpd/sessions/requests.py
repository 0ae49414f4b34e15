"""Requests that take a while, each answered by a task.

While a request of a session is being answered, the session's next frames wait. So answers come in the
order of the requests, and a peer has at most one request in the store. The number of requests
that run at the same time is limited: a thousand peers that ask at once must not delay messages.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, TypeVar

import structlog

from qscp import frames
from qscp.errors import ErrorCode
from qscpd.errors import StoreDamagedError
from qscpd.net.pause import Pause
from qscpd.sessions.answers import refusal
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session

_AT_ONCE: Final = 32
"""Requests that run at the same time: all of them together are some 5 ms of the loop's time."""

_log = structlog.stdlib.get_logger("qscpd.sessions.requests")

F = TypeVar("F", bound=frames.ClientFrame)


class RequestRunner:
    """Runs the tasks that answer requests.

    Args:
        tasks: Where they run; no error of theirs gets there.
        passed: Waits until what a session sent before is with the store.
    """

    def __init__(self, tasks: asyncio.TaskGroup, passed: Callable[[Session], Awaitable[None]]) -> None:
        self._tasks = tasks
        self._passed = passed
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def answer(
        self,
        session: Session,
        identity: Identity,
        frame: F,
        make_reply: Callable[[int, F], Awaitable[frames.ServerFrame]],
    ) -> None:
        """Answer a request; the session's next frames wait until then.

        Args:
            session: The session that sent it.
            identity: Its identity.
            frame: The request.
            make_reply: Makes the answer, from the account's id and the request.
        """

        async def run() -> None:
            if session.pending:  # What it sent before is answered before.
                await self._passed(session)
            async with self._slots:
                if session.closed:
                    return  # The user may be back on another session, and want something else by now.
                try:
                    reply = await make_reply(identity.account, frame)
                except StoreDamagedError as error:
                    # The session goes on: it needs that part of the store for nothing else, perhaps.
                    session.report(_log, "request.damaged", level=logging.ERROR, reason=str(error))
                    reply = refusal(frame, ErrorCode.INTERNAL)
            if not session.closed:
                session.send(reply)
            session.inbound.resume(Pause.REQUEST)

        session.inbound.count_request()
        session.inbound.pause(Pause.REQUEST)
        self.start(session, run())

    def start(self, session: Session, work: Coroutine[None, None, None]) -> None:
        """Run a task for a session; a bug in it ends only this session."""
        self._tasks.create_task(_guard(session, work))


async def _guard(session: Session, work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - a bug in one session's request must not end the others
        session.report(_log, "request.bug", level=logging.ERROR, exc_info=error)
        session.close(ErrorCode.INTERNAL, error=True)
