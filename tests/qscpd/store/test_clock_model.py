"""Any history of a wall clock that jumps, compared with a model that knows the true time."""

import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from qscpd.domain.clock import CONFIRMING_MS, TOLERANCE_MS
from qscpd.domain.model import Keep, NewMessage, StoredMessage
from qscpd.domain.retention import KEEP_IDS_MS
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.stores import ManualClock, StoreFactory, housekeep, kill, rows_of

ALICE, BOB = 1, 2
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
KEEP_MS = 10 * DAY

minutes = st.integers(1, 60).map(lambda count: count * MINUTE)
hours = st.integers(1, 72).map(lambda count: count * HOUR)
days = st.integers(1, 40).map(lambda count: count * DAY)
jumps = st.integers(-500 * DAY, 500 * DAY) | st.integers(-8 * HOUR, 8 * HOUR)
actions = st.one_of(
    st.tuples(st.just("write"), st.just(0)),
    st.tuples(st.just("write"), st.just(0)),
    st.tuples(st.just("run"), minutes | hours | days),
    st.tuples(st.just("jump"), jumps),
    st.tuples(st.just("put_right"), st.just(0)),
    st.tuples(st.just("restart"), minutes),
    st.tuples(st.just("kill"), minutes),
    st.tuples(st.just("reboot"), minutes | hours),
)


class Written(NamedTuple):
    """A message, when it was really written, and its place."""

    message: NewMessage
    true_ms: int
    place: StoredMessage


class Run:
    """A store on clocks that jump, and the truth.

    The wall clock is put right before it was wrong for a day of running, which would confirm it.
    """

    def __init__(self, factory: StoreFactory, folder: Path) -> None:
        self._factory, self._folder = factory, folder
        self._clock = ManualClock()
        self._off_ms = 0
        """How far the wall clock is ahead of the true time."""
        self._wrong_ms = self._right_ms = 0
        """How long the machine has run with a wrong and with a right wall clock."""
        self._written: list[Written] = []
        self._make_id = IdMaker()
        self._killed: list[Store] = []
        self.store = self._open()
        for name in ("alice", "bob"):
            self.store.add_account(name, "x")
        self._do_housekeeping()

    def _open(self) -> Store:
        return self._factory.open(self._folder, clock=self._clock)

    @property
    def _true_ms(self) -> int:
        return self._clock.ms - self._off_ms

    def write(self, _: int) -> None:
        """Write a message."""
        message = NewMessage(ALICE, BOB, self._make_id(), "hello")
        place = self.store.append([message])[0][0]
        assert isinstance(place, StoredMessage)
        self._written.append(Written(message, self._true_ms, place))

    def run(self, ms: int) -> None:
        """Let time pass, with all housekeeping some times meanwhile."""
        if self._off_ms and self._wrong_ms + ms >= CONFIRMING_MS:
            self.put_right(0)
        for _ in range(8):
            self._pass(ms // 8)
            self._do_housekeeping()

    def _pass(self, ms: int) -> None:
        self._clock.wind(ms / 1000)
        if self._off_ms:
            self._wrong_ms, self._right_ms = self._wrong_ms + ms, 0
        else:
            self._wrong_ms, self._right_ms = 0, self._right_ms + ms

    def jump(self, ms: int) -> None:
        """Set the wall clock ahead or back."""
        self._clock.jump(ms / 1000)
        self._off_ms += ms
        self._right_ms = 0

    def put_right(self, _: int) -> None:
        """Set the wall clock to the true time."""
        self.jump(-self._off_ms)

    def restart(self, ms: int) -> None:
        """Let the machine run for a while without the process."""
        self.store.close()
        self._start(ms)

    def kill(self, ms: int) -> None:
        """End the process without closing the store."""
        kill(self.store)
        self._killed.append(self.store)
        self._start(ms)

    def _start(self, ms: int) -> None:
        if self._off_ms and self._wrong_ms + ms >= CONFIRMING_MS:
            self.put_right(0)
        self._pass(ms)
        self.store = self._open()

    def reboot(self, ms: int) -> None:
        """Let the machine be off for a while; the wall clock is right or wrong as before."""
        self.store.close()
        self._clock.reboot(ms / 1000)
        self._right_ms = 0
        self.store = self._open()

    def _do_housekeeping(self) -> None:
        housekeep(self.store, Keep(age_ms=KEEP_MS))

    def check(self) -> None:
        """Check that nothing young is gone, and after two days with a right clock nothing old is kept."""
        self._do_housekeeping()
        kept = {row.seq: row.time_ms for row in rows_of(self.store, 1)} if self._written else {}
        for each in self._written:
            age_ms = self._true_ms - each.true_ms
            assert each.place.seq in kept or age_ms >= KEEP_MS - TOLERANCE_MS
        if self._right_ms >= 2 * DAY:
            assert self.store.housekeeping.clock_doubt() is None
            oldest = min(kept.values(), default=self._true_ms)
            assert oldest >= self._true_ms - KEEP_MS - TOLERANCE_MS

    def check_ids(self) -> None:
        """Check that ids are known for their time: a retry gets the first acknowledgement."""
        for each in self._written:
            if self._true_ms - each.true_ms < KEEP_IDS_MS - TOLERANCE_MS:
                (again,), _ = self.store.append([each.message])
                assert again == StoredMessage(1, each.place.seq, each.place.time_ms, new=False)

    def close(self) -> None:
        """Close all stores."""
        for each in (*self._killed, self.store):
            each.close()


@settings(max_examples=150, deadline=None)
@given(st.lists(actions, max_size=25))
def test_a_wrong_clock_removes_nothing_young(
    store_factory: StoreFactory, script: list[tuple[str, int]]
) -> None:
    """No message and no id goes before its time less the tolerance, whatever the wall clock does."""
    with tempfile.TemporaryDirectory() as directory:
        run = Run(store_factory, Path(directory))
        try:
            for name, argument in script:
                getattr(run, name)(argument)
                run.check()
            run.check_ids()
        finally:
            run.close()
