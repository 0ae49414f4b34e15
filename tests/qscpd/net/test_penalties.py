"""Penalties: they add up, are in force above a threshold, run out, and their table is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from qscpd.net.penalties import Penalties
from tests.support.clock import ManualClock


def charge(penalties: Penalties, key: str, seconds: float = 5.0) -> None:
    """Add to a penalty; 30 s are in force, 60 s are the longest."""
    penalties.charge(key, seconds, threshold=30, longest=60)


def test_a_penalty_is_in_force_from_the_threshold_until_it_has_run_out() -> None:
    """Five failures have no effect, the sixth has, until the last second has run out."""
    clock = ManualClock()
    penalties = Penalties(clock)
    for _ in range(5):
        charge(penalties, "x")
    assert (penalties.remaining("x"), penalties.has("x")) == (0, True)
    charge(penalties, "x")
    assert penalties.remaining("x") == 30
    clock.now += 29.5
    assert penalties.remaining("x") == 0.5
    charge(penalties, "x")  # still in force, though below the threshold
    assert penalties.remaining("x") == 5.5
    clock.now += 6
    assert (penalties.remaining("x"), penalties.has("x"), penalties.has("x", 1)) == (0, False, True)
    charge(penalties, "x")
    assert penalties.remaining("x") == 0


def test_mistakes_that_are_far_apart_never_add_up() -> None:
    """One failure in five seconds has no effect, however long it goes on."""
    clock = ManualClock()
    penalties = Penalties(clock)
    for _ in range(1000):
        charge(penalties, "x")
        assert penalties.remaining("x") == 0
        clock.now += 5


def test_no_penalty_is_longer_than_the_longest() -> None:
    """However many failures there are, the longest penalty is not exceeded; 0 s cost nothing."""
    penalties = Penalties(ManualClock())
    for _ in range(100):
        charge(penalties, "x")
    assert penalties.remaining("x") == 60
    charge(penalties, "y", 0)
    assert not penalties.has("y")


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from([1.0, 5.0, 10.0, 40.0]))))
def test_the_table_is_bounded(charges: list[tuple[int, float]]) -> None:
    """The table never exceeds its bound, and the newest penalty is in it."""
    clock = ManualClock()
    penalties = Penalties(clock, most=10)
    for key, seconds in charges:
        penalties.charge(key, seconds, threshold=30, longest=60)
        clock.now += 0.5
        assert len(penalties) <= 10
        assert penalties.has(key)
