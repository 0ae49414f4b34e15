"""Pauses before reconnecting."""

import random

from qscp_client.net.backoff import Backoff


def test_pauses_grow_to_a_minute() -> None:
    """The first pause is 1 to 5 s; later ones grow to 60 s, with jitter."""
    shortest = Backoff(lambda low, _: low)
    longest = Backoff(lambda _, high: high)
    assert [shortest.next() for _ in range(6)] == [1, 5, 10, 20, 30, 30]
    assert [longest.next() for _ in range(6)] == [5, 10, 20, 40, 60, 60]
    anything = Backoff(random.Random(1).uniform)  # noqa: S311 - jitter is not a secret
    assert all(1 <= anything.next() <= 60 for _ in range(5000))
