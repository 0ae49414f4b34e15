"""What is known of the clocks, in the file: seldom written, and never in the way."""

import contextlib
from pathlib import Path

import msgspec
import pytest

from qscpd.domain.clock import ClockState
from qscpd.domain.model import Keep, NewMessage
from qscpd.errors import StoreFullError
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.stores import ManualClock, rows_of

HOUR, DAY = 3600, 86_400

make_id = IdMaker()


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock."""
    return ManualClock()


def open_store(folder: Path, clock: ManualClock) -> SqliteStore:
    """Open the store."""
    return SqliteStore(folder / "q.db", clock=clock)


def saved(store: SqliteStore) -> ClockState | None:
    """Return the state in the file."""
    rows = store._db.read("SELECT value FROM meta WHERE key = 'clock'")
    return msgspec.json.decode(rows[0][0], type=ClockState) if rows else None


def test_an_idle_store_is_written_once_an_hour(tmp_path: Path, clock: ManualClock) -> None:
    """The first state of a boot is written at once, then one an hour, and one when trust is lost."""
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        writes = []
        for minute in range(180):
            if minute == 130:
                clock.jump(400 * DAY)
            before = store._db.connection.total_changes
            store.housekeeping.step(Keep())
            if store._db.connection.total_changes != before:
                writes.append(minute)
            clock.wind(60)
        assert writes == [0, 60, 120, 130]


def test_closing_writes_what_is_new(tmp_path: Path, clock: ManualClock) -> None:
    """Closing writes what the last minute has not; a short command writes nothing."""
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        store.housekeeping.step(Keep())
        first = saved(store)
        clock.wind(59)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        assert saved(store) == first
        clock.wind(1800)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        state = saved(store)
        assert state is not None
        assert first is not None
        assert state.confirmed_ms == first.confirmed_ms + 1_859_000


@pytest.mark.parametrize("value", ["", "{", '{"boot_id": "x"}', "[]", "null", '{"boot_ms": "a"}'])
def test_a_state_that_cannot_be_read_is_none(tmp_path: Path, clock: ManualClock, value: str) -> None:
    """A state of another version is replaced; the newest message tells the time."""
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        store.append([NewMessage(1, 2, make_id(), "hello")])
        with store._db.transaction() as db:
            db.execute("REPLACE INTO meta VALUES ('clock', ?)", (value,))
    clock.jump(400 * DAY)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        assert store.housekeeping.clock_doubt() is not None
        store.housekeeping.step(Keep())
        assert saved(store) is not None


def test_a_full_disk_does_not_stop_housekeeping(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the state can't be written, pruning, which makes room, goes on; closing raises nothing."""
    store = open_store(tmp_path, clock)
    for name in ("alice", "bob"):
        store.add_account(name, "x")
    for number in range(3):
        store.append([NewMessage(1, 2, make_id(), f"{number}")])

    def fail() -> None:
        raise StoreFullError("no room on the disk")

    monkeypatch.setattr(store._db, "save_clock", fail)
    clock.wind(2 * HOUR)
    for _ in range(2):
        while store.housekeeping.step(Keep(messages=1)):
            pass
    assert [row.body for row in rows_of(store, 1)] == ["2"]
    with pytest.raises(StoreFullError):
        store.housekeeping.confirm_clock()
    clock.wind(2 * HOUR)
    store.close()
