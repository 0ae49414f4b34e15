"""Rates: token buckets, and the sessions that wait for them."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscpd.config.model import LimitsConfig
from qscpd.sessions.rates import AccountRates, Bucket, Limit, RateLimiter, Rates, limit_of
from qscpd.sessions.turns import TurnQueue
from tests.support.clock import in_virtual_time

NANO = 10**9

limits = st.builds(Limit, st.integers(1, 1000), st.integers(10, 5000))
steps = st.lists(st.tuples(st.integers(0, 3 * NANO), st.integers(1, 200)), max_size=60)


@given(limit=limits, steps=steps)
def test_no_more_than_burst_and_rate_passes(limit: Limit, steps: list[tuple[int, int]]) -> None:
    """In no interval more tokens are taken than the burst and what the rate adds in it."""
    bucket = Bucket("messages")
    now_ns = 0
    taken: list[tuple[int, int]] = []
    for pause_ns, wanted in steps:
        now_ns += pause_ns
        count = 0
        while count < wanted and (bucket.left > 0 or bucket.refill(now_ns / NANO, limit)):
            part = min(wanted - count, bucket.left)
            bucket.left -= part
            count += part
        taken.append((now_ns, count))
    for index, (begin_ns, _) in enumerate(taken):
        total = 0
        for end_ns, count in taken[index:]:
            total += count
            # The clock is a float: it is right to the nanosecond, but for rounding.
            assert (total - limit.burst) * NANO <= limit.rate * (end_ns - begin_ns + 2)


@given(limit=limits)
def test_a_new_bucket_has_the_whole_burst(limit: Limit) -> None:
    """A burst passes at once, and after it nothing."""
    bucket = Bucket("messages")
    count = 0
    while bucket.left > 0 or bucket.refill(1.0, limit):
        bucket.left -= 1
        count += 1
    assert count == limit.burst


@given(limit=limits, debt=st.integers(1, 100_000))
def test_a_debt_is_paid_first(limit: Limit, debt: int) -> None:
    """A bucket that was overdrawn gives nothing until the rate has made up for it."""
    bucket = Bucket("bytes")
    bucket.refill(0.0, limit)
    bucket.left -= debt
    now = 0.0
    for _ in range(100_000):
        if bucket.left > 0 or bucket.refill(now, limit):
            break
        now += bucket.wait_s(limit)
    assert now * limit.rate >= debt - limit.burst - 1e-6 * limit.rate


def test_a_bucket_fills_while_nothing_is_sent() -> None:
    """An empty bucket is full again after burst / rate, and never fuller."""
    limit = Limit(100, 1000)
    bucket = Bucket("messages")
    while bucket.left > 0 or bucket.refill(0.0, limit):
        bucket.left = 0
    assert not bucket.is_full(9.99, limit)
    assert bucket.is_full(10.0, limit)
    count = 0
    while bucket.left > 0 or bucket.refill(1000.0, limit):
        bucket.left -= 1
        count += 1
    assert 7 / 8 * limit.burst <= count <= limit.burst


def test_a_changed_limit_holds_from_the_next_refill() -> None:
    """A limit that was lowered takes away what is above the new burst."""
    bucket = Bucket("messages")
    bucket.refill(0.0, Limit(1000, 100_000))
    bucket.left = 0
    count = 0
    while bucket.left > 0 or bucket.refill(0.0, Limit(10, 100)):
        bucket.left -= 1
        count += 1
    assert count <= 100


# --- sessions that wait


class Greedy:
    """A session that always has frames to send.

    Attributes:
        sent: Messages sent.
    """

    def __init__(self, rates: AccountRates, turns: TurnQueue) -> None:
        self._rates = rates
        self._turns = turns
        self.sent = 0

    def continue_reading(self) -> None:
        """Take a turn."""
        self.take_turn()

    def take_turn(self) -> None:
        """Send a share of what there is, or wait if there is nothing."""
        rates = self._rates
        if rates.messages.left <= 0 and not rates.refill():
            rates.wait(self)
            return
        share = max(1, rates.messages.left // rates.sharing)
        rates.messages.left -= share
        self.sent += share
        self._turns.add(self)


def test_sessions_of_an_account_share_its_rate() -> None:
    """Sessions that wait continue in turn: each gets its share, and all together no more than the rate."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        rates = AccountRates(1, LimitsConfig, loop)
        while rates.messages.left > 0 or rates.refill():
            rates.messages.left = 0
        turns = TurnQueue()
        sessions = [Greedy(rates, turns) for _ in range(7)]
        for session in sessions:
            session.take_turn()
        begin = loop.time()
        await asyncio.sleep(60)
        sent = [session.sent for session in sessions]
        assert max(sent) - min(sent) <= 0.1 * max(sent)
        assert sum(sent) <= 100 * (loop.time() - begin)
        assert sum(sent) >= 0.9 * 100 * 60
        for session in sessions:
            rates.forget(session)

    in_virtual_time(test())


def test_newcomers_wait_behind_those_that_wait() -> None:
    """As long as a session waits, no other session of the account gets a token before it."""

    async def test() -> None:
        rates = RateLimiter(("messages",), LimitsConfig, asyncio.get_running_loop())
        (bucket,) = rates.buckets
        while bucket.left > 0 or rates.refill():
            bucket.left = 0
        continued: list[str] = []

        class Waiting:
            def continue_reading(self) -> None:
                continued.append("waiting")

        waiting = Waiting()
        rates.wait(waiting)
        await asyncio.sleep(0.3)
        assert not rates.refill()
        await asyncio.sleep(0.8)
        assert continued == ["waiting"]
        assert rates.refill()
        bucket.left = 0
        rates.wait(waiting)
        rates.forget(waiting)
        await asyncio.sleep(5)
        assert continued == ["waiting"]

    in_virtual_time(test())


def test_a_new_connection_brings_no_new_burst() -> None:
    """An account without a session keeps its buckets until they are full; then it is forgotten."""

    async def test() -> None:
        rates = Rates(LimitsConfig)
        first = rates.enter(1)
        while first.messages.left > 0 or first.refill():
            first.messages.left = 0
        rates.leave(first)
        assert rates.enter(1) is first
        rates.leave(first)
        await asyncio.sleep(9)
        second = rates.enter(2)
        assert len(rates) == 2
        await asyncio.sleep(2)
        rates.leave(second)
        assert len(rates) == 0
        assert rates.enter(1) is not first

    in_virtual_time(test())


@pytest.mark.parametrize("kind", ["messages", "bytes", "requests", "frames"])
def test_limits_are_read_when_they_are_needed(kind: str) -> None:
    """Each kind has its settings; a session may send ten frames for each message."""
    config = LimitsConfig()
    other = replace(
        config,
        messages_per_second=7,
        message_burst=70,
        bytes_per_second=65536,
        byte_burst=65537,
        requests_per_second=3,
        request_burst=30,
    )
    expected = {"messages": (7, 70), "bytes": (65536, 65537), "requests": (3, 30), "frames": (70, 700)}
    assert limit_of(kind, other) == expected[kind]  # type: ignore[arg-type]


async def test_a_bug_in_one_session_does_not_stop_the_others() -> None:
    """After an error of a session, those that waited behind it continue."""
    continued: list[int] = []
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    class Waiting:
        def __init__(self, number: int) -> None:
            self.number = number

        def continue_reading(self) -> None:
            continued.append(1 // self.number)

    limiter = AccountRates(1, LimitsConfig, asyncio.get_running_loop())
    for number in range(3):
        limiter.wait(Waiting(number))
    asyncio.get_running_loop().call_soon(limiter._continue)
    for _ in range(2):
        await asyncio.sleep(0)
    assert continued == [1, 0]
    assert limiter.sharing == 1
    assert [type(each) for each in errors] == [ZeroDivisionError]
