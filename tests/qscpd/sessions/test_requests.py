"""Requests: places, shared between accounts; cheap ones first."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from qscp import frames
from qscpd.fairness import Cost
from qscpd.sessions.identity import Identity
from qscpd.sessions.requests import RequestRunner
from qscpd.sessions.session import Session
from tests.support.doubles import RouterDouble


class Requests:
    """A runner whose requests wait until the test answers them.

    Attributes:
        started: The account and cost of each request, in the order in which they were started.
    """

    def __init__(self, router: RouterDouble, tasks: asyncio.TaskGroup) -> None:
        self._router = router
        self._runner = RequestRunner(tasks, router.passed)
        self._answers: list[asyncio.Future[None]] = []
        self.started: list[tuple[int, Cost]] = []
        self.sessions: list[Session] = []

    def ask(self, user: str, cost: Cost = Cost.LOW) -> None:
        """Send a request over a new session."""
        session, _ = self._router.login(user)
        identity = session.identity
        assert identity is not None
        self.sessions.append(session)
        self._ask(session, identity, cost)

    def _ask(self, session: Session, identity: Identity, cost: Cost) -> None:
        async def reply(account: int, _: frames.ClientPing) -> frames.ServerFrame:
            self.started.append((account, cost))
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._answers.append(answer)
            await answer
            return frames.ServerPong()

        self._runner.answer(session, identity, frames.ClientPing(), reply, cost)

    async def answer(self, number: int) -> None:
        """Answer some of the running requests, the oldest first."""
        for answer in self._answers[:number]:
            answer.set_result(None)
        del self._answers[:number]
        await settle()


async def settle() -> None:
    """Let all tasks run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def requests() -> AsyncIterator[Requests]:
    """A runner, and a router with 20 users."""
    router = RouterDouble(*(f"u{n}" for n in range(1, 21)))
    async with asyncio.TaskGroup() as tasks:
        made = Requests(router, tasks)
        yield made
        while made._answers:
            await made.answer(100)
    router.close()


async def test_an_account_has_a_share_of_the_places(requests: Requests) -> None:
    """An account with twenty sessions has four requests running; another account has its own at once."""
    for _ in range(20):
        requests.ask("u1")
    requests.ask("u2")
    await settle()
    assert Counter(account for account, _ in requests.started) == {1: 4, 2: 1}
    await requests.answer(1)
    assert Counter(account for account, _ in requests.started) == {1: 5, 2: 1}


async def test_places_go_to_accounts_in_turn(requests: Requests) -> None:
    """When all places are taken, those that wait go on in the turns of their accounts."""
    for user in range(1, 9):
        for _ in range(4):
            requests.ask(f"u{user}")
    for user in (9, 9, 9, 10, 11):
        requests.ask(f"u{user}")
    await settle()
    assert len(requests.started) == 32
    await requests.answer(4)
    assert [account for account, _ in requests.started[32:]] == [9, 10, 11, 9]


async def test_searches_leave_places(requests: Requests) -> None:
    """However many searches wait, at most eight run, and other requests start at once."""
    for user in range(1, 21):
        requests.ask(f"u{user}", Cost.SEARCH)
    await settle()
    assert len(requests.started) == 8
    requests.ask("u20", Cost.PAGE)
    await settle()
    assert requests.started[8:] == [(20, Cost.PAGE)]
    await requests.answer(1)
    assert requests.started[9:] == [(9, Cost.SEARCH)]


async def test_cheap_requests_go_first(requests: Requests) -> None:
    """When a place is free, a cheap request has it before a page, and a page before a search."""
    for user in range(1, 9):
        for _ in range(4):
            requests.ask(f"u{user}")
    for cost in (Cost.SEARCH, Cost.PAGE, Cost.LOW):
        requests.ask("u9", cost)
    await settle()
    await requests.answer(3)
    assert [cost for _, cost in requests.started[32:]] == [Cost.LOW, Cost.PAGE, Cost.SEARCH]


async def test_a_closed_session_has_no_place(requests: Requests) -> None:
    """A request whose session has ended while it waited is dropped."""
    for _ in range(6):
        requests.ask("u1")
    await settle()
    requests.sessions[4].close()
    await requests.answer(4)
    assert len(requests.started) == 5
