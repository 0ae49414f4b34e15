"""Trust in the wall clock after any history of jumps, running, downtimes and reboots."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.machine import DAY, HOUR, MINUTE, SECOND, START, Machine


class WrongMachine(Machine):
    """A machine whose wall clock is never wrong for a whole day of running."""

    wrong_ms = 0

    def spend(self, ms: int) -> None:
        """Run, but put the wall clock right before it was wrong for a day."""
        if self.off_ms:
            self.wrong_ms += ms
            if self.wrong_ms >= DAY:
                self.jump(-self.off_ms)
        if not self.off_ms:
            self.wrong_ms = 0
        self.run(ms, max(MINUTE, ms // 7))


spans = st.integers(0, 36 * HOUR) | st.integers(0, 5 * MINUTE)
jumps = st.integers(-500 * DAY, 500 * DAY) | st.integers(-7 * HOUR, 7 * HOUR)
histories = st.lists(
    st.tuples(st.just("spend"), spans)
    | st.tuples(st.just("jump"), jumps)
    | st.tuples(st.just("pause"), st.integers(0, 2 * HOUR)),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(histories)
def test_a_wrong_clock_never_makes_anything_older(history: list[tuple[str, int]]) -> None:
    """Whatever the wall clock does for less than a day, no time of a rule or of removal gets ahead.

    What is followed is a thousandth of the time at most.
    """
    machine = WrongMachine()
    for name, argument in history:
        if name == "pause" and machine.off_ms:
            continue
        getattr(machine, name)(argument)
        slack = (machine.true_ms - START) // 1000 + SECOND
        now = machine.now
        assert now.removal_ms is None or now.removal_ms <= machine.true_ms
        assert abs(now.steady_ms - machine.true_ms) <= slack
        assert now.stamp_ms >= machine.true_ms - slack
        assert now.boot_ms == machine.boot_ms
    machine.jump(-machine.off_ms)
    assert machine.confirmed()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(jumps, st.integers(0, 5 * DAY), st.integers(0, 30 * DAY)), max_size=6))
def test_a_day_of_steady_running_always_confirms(history: list[tuple[int, int, int]]) -> None:
    """After any jumps, downtimes and reboots, a little more than a day of running confirms the wall clock."""
    machine = Machine()
    for jump, run, off in history:
        machine.jump(jump)
        machine.run(run, max(HOUR, run // 5))
        machine.reboot(off)
    machine.run(DAY + HOUR, HOUR)
    assert machine.confirmed()
