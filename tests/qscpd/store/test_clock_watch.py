"""Notices about the wall clock: one line when it loses trust, one when it gains it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing
from structlog.typing import EventDict

from qscpd.domain.model import Keep
from qscpd.store.base import Store
from qscpd.store.clock_watch import ClockWatch
from tests.support.stores import ManualClock, StoreFactory

DAY = 86_400
PAUSED = "removal of old messages and of old message ids"


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """A store."""
    with contextlib.closing(store_factory.open(tmp_path, clock=clock)) as store:
        yield store


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    """What is logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def watch(store: Store, clock: ManualClock, watcher: ClockWatch, seconds: int) -> None:
    """Let time pass, with housekeeping and a check a hundred times."""
    for _ in range(100):
        clock.wind(seconds / 100)
        store.housekeeping.step(Keep())
        watcher.check(store.housekeeping)


def test_a_jump_is_logged_once(store: Store, clock: ManualClock, log: list[EventDict]) -> None:
    """A jump is one line, with both times and what to do; a day later its end is another."""
    watcher = ClockWatch()
    watch(store, clock, watcher, 3600)
    assert log == []
    clock.jump(400 * DAY)
    watch(store, clock, watcher, DAY // 2)
    assert [each.pop("hint") for each in log] == [
        "if the wall clock is right, run `qscpd confirmclock` or wait a day; otherwise set it"
    ]
    assert log == [
        {
            "event": "clock.unconfirmed",
            "log_level": "warning",
            "wall": "2024-12-18T23:20:32Z",
            "expected": "2023-11-14T23:20:32Z",
            "ahead_s": 400 * DAY,
            "paused": PAUSED,
        }
    ]
    assert watcher.doubt is not None
    watch(store, clock, watcher, DAY)
    assert log[1:] == [{"event": "clock.confirmed", "log_level": "info", "resumed": PAUSED}]
    assert watcher.doubt is None


def test_a_second_jump_is_another_line_only_after_an_end(
    store: Store, clock: ManualClock, log: list[EventDict]
) -> None:
    """Jumps while the wall clock is not confirmed are not logged; one after its end is."""
    watcher = ClockWatch()
    for jump in (10 * DAY, 10 * DAY, -20 * DAY, -DAY):
        clock.jump(jump)
        watch(store, clock, watcher, 60)
    assert [each["event"] for each in log] == [
        "clock.unconfirmed",
        "clock.confirmed",
        "clock.unconfirmed",
    ]
