"""Allowances: regained evenly, never beyond the limit, and owed for a while at most."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscpd.domain.allowance import DAY_S, HOUR_S, Allowance

amounts = st.lists(st.tuples(st.integers(0, 3 * 3600), st.integers(1, 20)), max_size=60)
"""Seconds to wait, then how often to take."""


def full(limit: float = 100, period_s: float = DAY_S) -> Allowance:
    """Return an allowance of which nothing is left."""
    allowance = Allowance(period_s)
    allowance.settle(limit, 0)
    allowance.used = limit
    return allowance


@given(amounts, st.integers(1, 50))
def test_no_period_has_more_than_twice_the_limit(steps: list[tuple[int, int]], limit: int) -> None:
    """At once at most the limit; in any period at most what was left, and what is regained in it."""
    allowance, now_s = Allowance(HOUR_S), 0
    taken: list[int] = []
    for wait_s, times in steps:
        now_s += wait_s
        allowance.settle(limit, now_s)
        taken += [now_s for _ in range(times) if not allowance.take()]
    for begun_s in taken:
        assert sum(begun_s <= each <= begun_s for each in taken) <= limit
        assert sum(begun_s <= each < begun_s + HOUR_S for each in taken) <= 2 * limit


@given(st.integers(1, 1000), st.floats(0, 3000))
def test_the_wait_is_what_it_takes(limit: int, used: float) -> None:
    """After the wait one more fits; a little earlier it does not."""
    allowance = Allowance(HOUR_S)
    allowance.settle(limit, 0)
    allowance.used = used
    allowance.settle(limit, 0)
    wait_s = allowance.take()
    if wait_s:
        allowance.settle(limit, wait_s * 0.99)
        assert allowance.take() > 0
        allowance.settle(limit, wait_s + 0.001)
        assert allowance.take() == 0


def test_what_is_given_back_can_be_taken() -> None:
    """Giving back undoes a take, and never makes more than the limit."""
    allowance = Allowance(HOUR_S)
    allowance.settle(1, 0)
    allowance.give_back()
    assert [bool(allowance.take()) for _ in range(2)] == [False, True]
    allowance.give_back()
    assert allowance.take() == 0


def test_a_debt_is_bounded() -> None:
    """However much was used at once, all is regained after two periods."""
    allowance = full()
    allowance.used = 1e12
    allowance.settle(100, 0)
    assert allowance.wait_s == pytest.approx(DAY_S)
    allowance.settle(100, 2 * DAY_S)
    assert (allowance.used, allowance.wait_s) == (0, 0)


def test_a_new_limit_counts_at_once() -> None:
    """A limit that was raised leaves room, and one that was lowered takes it."""
    allowance = full(100)
    allowance.settle(200, 0)
    assert allowance.wait_s == 0
    allowance.settle(50, 0)
    assert allowance.wait_s == pytest.approx(DAY_S)


def test_nothing_is_used_at_first() -> None:
    """Before the first settling there is no limit, and after it all of it is left."""
    allowance = Allowance()
    assert (allowance.used, allowance.limit) == (0, math.inf)
    allowance.settle(10, 12345)
    assert (allowance.used, allowance.wait_s) == (0, 0)
