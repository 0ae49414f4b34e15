"""Pauses, and what ends them."""

import random

from qscp_client.net.backoff import Backoff
from qscp_client.net.wakeup import Wakeup


def test_pauses_grow_to_a_minute() -> None:
    """The first is a random one of 1 to 5 s, the others have jitter."""
    shortest = Backoff(lambda low, _: low)
    longest = Backoff(lambda _, high: high)
    assert [shortest.next() for _ in range(6)] == [1, 5, 10, 20, 30, 30]
    assert [longest.next() for _ in range(6)] == [5, 10, 20, 40, 60, 60]
    anything = Backoff(random.Random(1).uniform)  # noqa: S311 - jitter is no secret
    assert all(1 <= anything.next() <= 60 for _ in range(5000))


async def test_a_key_is_noticed() -> None:
    """Until it is reset."""
    wakeup = Wakeup()
    wakeup.press()
    assert await wakeup.wait(0)
    wakeup.reset()
    assert not await wakeup.wait(0)


async def test_sleep_is_noticed() -> None:
    """The wall clock went on without the other one."""
    wall = 1000.0
    wakeup = Wakeup(lambda: wall, lambda: 5.0)
    assert not wakeup.slept()
    wall += 3600
    assert await wakeup.wait(0)
    assert not wakeup.slept()
