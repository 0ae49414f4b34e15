import logging
from typing import Any

import structlog

from qscpd.outage import Outage


def lines_of(calm_s: float, *steps: str | None) -> list[tuple[Any, ...]]:
    """Return event, reason and count of the lines of an outage; a step a second, None for one that works."""
    now = iter(range(10_000))
    with structlog.testing.capture_logs() as logged:
        outage = Outage(
            structlog.stdlib.get_logger("test"), "it.failed", "parts", calm_s=calm_s, clock=lambda: next(now)
        )
        for step in steps:
            if step is None:
                outage.works()
            else:
                outage.failed(step, 2, level=logging.WARNING)
        outage.close()
    return [(entry["event"], entry.get("reason", ""), entry["parts"]) for entry in logged]


def test_a_fault_that_lasts_is_two_lines() -> None:
    """The first has the cause, the last what failed meanwhile; the next fault gets its own."""
    assert lines_of(0, None, "full", "full", "full", None, None, "full", None) == [
        ("it.failed", "full", 2),
        ("it.failed.over", "", 6),
        ("it.failed", "full", 2),
        ("it.failed.over", "", 2),
    ]
    assert lines_of(0, None, None) == []


def test_a_fault_by_turns_is_one() -> None:
    """What works for a moment only has not ended; closing it ends it, too."""
    assert lines_of(5, *["full", None] * 50) == [("it.failed", "full", 2), ("it.failed.over", "", 100)]
    assert [line[0] for line in lines_of(5, "full", *[None] * 9, "full")] == [
        "it.failed",
        "it.failed.over",
    ] * 2


def test_each_cause_gets_a_line_up_to_a_bound() -> None:
    """Two causes by turns are two lines; endlessly many are a few."""
    assert [line[1] for line in lines_of(0, *["full", "read-only"] * 50)] == ["full", "read-only", ""]
    assert len(lines_of(0, *map(str, range(100)))) == 9
