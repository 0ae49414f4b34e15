"""Requests that take a while, each answered by a task.

While a request of a session is being answered, the session's next frames wait. So answers come in the
order of the requests, and a peer has at most one request in the store. The number of requests
that run at the same time is limited: a thousand peers that ask at once must not delay messages. An account
has only some of these places, however many sessions it has. Cheap requests go first, and then each account in
its turn.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, TypeVar

import structlog

from qscp import frames
from qscp.errors import ErrorCode
from qscpd.errors import StoreDamagedError
from qscpd.fairness import Cost, CostQueue
from qscpd.net.pause import Pause
from qscpd.sessions.answers import refusal
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session

_AT_ONCE: Final = 32
"""Requests that run at the same time: all of them together are some 5 ms of the loop's time."""

_PER_ACCOUNT: Final = 4
"""Requests of one account that run at the same time: one for each of its devices, as users have them."""

_SEARCHES: Final = 8
"""Searches that run at the same time: they take longest, and must leave places for everything else."""

_log = structlog.stdlib.get_logger("qscpd.sessions.requests")

F = TypeVar("F", bound=frames.ClientFrame)


class _Request:
    """A request that waits or runs."""

    __slots__ = ("account", "cost", "run", "session")

    def __init__(
        self, session: Session, account: int, cost: Cost, run: Callable[[], Coroutine[None, None, None]]
    ) -> None:
        self.session = session
        self.account = account
        self.cost = cost
        self.run = run


class RequestRunner:
    """Runs the tasks that answer requests.

    Args:
        tasks: Where they run; no error of theirs gets there.
        passed: Waits until what a session sent before is with the store.
    """

    def __init__(self, tasks: asyncio.TaskGroup, passed: Callable[[Session], Awaitable[None]]) -> None:
        self._tasks = tasks
        self._passed = passed
        self._waiting: CostQueue[_Request] = CostQueue()
        self._running = self._searching = 0
        self._running_of: Counter[int] = Counter()
        """Requests that run, by account; without those that have none."""

    def answer(
        self,
        session: Session,
        identity: Identity,
        frame: F,
        make_reply: Callable[[int, F], Awaitable[frames.ServerFrame]],
        cost: Cost = Cost.LOW,
    ) -> None:
        """Answer a request; the session's next frames wait until then.

        Args:
            session: The session that sent it.
            identity: Its identity.
            frame: The request.
            make_reply: Makes the answer, from the account's id and the request.
            cost: What it costs.
        """

        async def run() -> None:
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
        request = _Request(session, identity.account, cost, run)
        if session.pending:
            self.start(session, self._push_behind(request))
        else:
            self._push(request)

    def start(self, session: Session, work: Coroutine[None, None, None]) -> None:
        """Run a task for a session; a bug in it ends only this session."""
        self._tasks.create_task(_guard(session, work))

    # --- places

    async def _push_behind(self, request: _Request) -> None:
        """Let a request wait until what its session sent before is with the store."""
        await self._passed(request.session)
        self._push(request)

    def _push(self, request: _Request) -> None:
        self._waiting.push(request.cost, request.account, request)
        self._start_waiting()

    def _start_waiting(self) -> None:
        """Start the requests that there are places for."""
        while self._running < _AT_ONCE and (request := self._waiting.pop(self._has_place)) is not None:
            if request.session.closed:
                continue  # The user may be back on another session, and want something else by now.
            self._count(request, 1)
            self.start(request.session, self._run(request))

    def _has_place(self, cost: Cost, account: int) -> bool:
        if cost is Cost.SEARCH and self._searching >= _SEARCHES:
            return False
        return self._running_of[account] < _PER_ACCOUNT

    async def _run(self, request: _Request) -> None:
        try:
            await request.run()
        finally:
            self._count(request, -1)
            self._start_waiting()

    def _count(self, request: _Request, change: int) -> None:
        self._running += change
        self._searching += change * (request.cost is Cost.SEARCH)
        self._running_of[request.account] += change
        if not self._running_of[request.account]:
            del self._running_of[request.account]


async def _guard(session: Session, work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - a bug in one session's request must not end the others
        session.report(_log, "request.bug", level=logging.ERROR, exc_info=error)
        session.close(ErrorCode.INTERNAL, error=True)
