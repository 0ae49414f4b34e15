"""Frames that ask for something that takes a while.

Each is answered by a task. While one of a session is under way, the session's next frames wait: answers come
in the order of the questions, and a peer can't have more than one question in the store at a time. And only
so many questions are under way in all: a thousand people who ask at once must not hold messages up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, TypeVar

import structlog

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscpd.sessions.session import Session

__all__ = ["Asking", "refusal"]

_AT_ONCE: Final = 32
"""Questions under way: all of them together are some 5 ms of the loop's time."""

_log = structlog.stdlib.get_logger("qscpd.sessions.requests")

F = TypeVar("F", bound=frames.ClientFrame)


class Asking:
    """Runs the tasks that answer.

    Args:
        tasks: Where they run; none lets an error get there.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def ask(
        self, session: Session, frame: F, answer: Callable[[int, F], Awaitable[frames.ServerFrame]]
    ) -> None:
        """Let a frame be answered, and handle no other one of the session until it is.

        Args:
            session: Who asks.
            frame: What.
            answer: Makes the answer for an account id.
        """
        account = session.account
        assert account is not None  # noqa: S101 - nobody else may ask

        async def run() -> None:
            async with self._turns:
                if session.closed:
                    return  # the person may have come back, and want something else by now
                reply = await answer(account.id, frame)
            if not session.closed:
                session.send(reply)
            session.release()

        if session.pending:
            session.router.submissions.barrier()  # what it sent before is answered before
        session.hold()
        self.start(session, run())

    def start(self, session: Session, work: Coroutine[None, None, None]) -> None:
        """Run something for a session; a bug in it ends that session only."""
        self._tasks.create_task(_guard(session, work))


def refusal(frame: frames.ClientFrame, code: ErrorCode) -> frames.Error:
    """The answer to a frame that can't be answered otherwise."""
    return frames.Error(code=code, message=ERROR_CODES[code].sentence, ref=frame.type)


async def _guard(session: Session, work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - one session's question must not end the others
        _log.error("asking.failed", session=session.id, exc_info=error)
        session.fail(ErrorCode.INTERNAL)
