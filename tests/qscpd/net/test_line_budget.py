"""Budget of log lines: the first ones are written, the rest are counted, and the tables are bounded."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from qscpd.net.line_budget import OTHERS, LineBudget, Repeats
from tests.support.clock import ManualClock


def test_ten_lines_then_a_summary() -> None:
    """Ten lines of a source are written, the other ones are one summary at the end of the minute."""
    clock = ManualClock()
    budget = LineBudget(clock, 10)
    written = [budget.spend("x", "192.0.2.1", number) for number in range(1000)]
    assert written == [True] * 10 + [False] * 990
    assert budget.spend("x", "192.0.2.2")
    assert budget.spend("y", "192.0.2.1")
    clock.now += 59
    assert budget.collect() == []
    clock.now += 1
    assert budget.collect() == [Repeats("x", "192.0.2.1", 990, 999)]
    assert budget.spend("x", "192.0.2.1")
    assert budget.collect(now=True) == []


@given(
    st.lists(st.tuples(st.sampled_from("xy"), st.integers(1, 30)), max_size=300),
    st.integers(1, 5),
    st.integers(1, 20),
)
def test_every_line_is_written_or_counted(lines: list[tuple[str, int]], per_minute: int, total: int) -> None:
    """No line is lost: written and counted ones add up, and both are bounded."""
    budget = LineBudget(ManualClock(), per_minute, sources=10, total=total)
    written: Counter[tuple[str, int]] = Counter()
    for kind, source in lines:
        written[kind, source] += budget.spend(kind, str(source))
    repeats = budget.collect(now=True)
    for kind in "xy":
        of_kind = sum(count for (each, _), count in written.items() if each == kind)
        counted = [each for each in repeats if each.kind == kind]
        assert of_kind + sum(each.lines for each in counted) == sum(each == kind for each, _ in lines)
        assert of_kind <= max(total, per_minute)
        assert len(counted) <= 11
    assert max(written.values(), default=0) <= per_minute
    assert budget.collect(now=True) == []


def test_sources_beyond_the_bound_share_a_count() -> None:
    """Sources that have no entry any more are counted together, with some lines together."""
    budget = LineBudget(ManualClock(), 2, sources=3)
    written = [budget.spend("x", f"192.0.2.{number}", "last") for number in range(10)]
    assert written == [True] * 5 + [False] * 5
    assert budget.collect(now=True) == [Repeats("x", OTHERS, 5, None)]


def test_each_source_has_its_own_lines_where_something_else_limits_them() -> None:
    """Many sources don't hide another one: its lines, and its count, are still its own."""
    budget = LineBudget(ManualClock(), 2, sources=3, total=5)
    for number in range(1000):
        assert budget.spend("x", f"198.51.100.{number}", all_sources=False)
    written = [budget.spend("x", "192.0.2.1", number, all_sources=False) for number in range(9)]
    assert written == [True] * 2 + [False] * 7
    assert budget.collect(now=True) == [Repeats("x", "192.0.2.1", 7, 8)]
