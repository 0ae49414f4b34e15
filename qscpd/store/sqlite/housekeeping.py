"""Housekeeping in small steps: the clock, folding, forgetting old ids, pruning, erasing, compaction."""

from collections.abc import Callable

from qscpd.domain.clock import ClockDoubt
from qscpd.domain.model import Keep
from qscpd.errors import StoreDamagedError, StoreFullError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite.clock_keeper import ClockKeeper
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.fold import Fold
from qscpd.store.sqlite.ids import MessageIds
from qscpd.store.sqlite.reserve import SHARED_BYTES, Reserve
from qscpd.store.sqlite.retention import Eraser, Pruner


class SqliteHousekeeping:
    """A `qscpd.store.base.Housekeeping` of an SQLite file."""

    def __init__(
        self,
        clock: ClockKeeper,
        fold: Fold,
        ids: MessageIds,
        pruner: Pruner,
        eraser: Eraser,
        compaction: Compaction,
        reserve: Reserve,
        on_damage: OnDamage,
    ) -> None:
        self._clock = clock
        self._fold = fold
        self._ids = ids
        self._pruner = pruner
        self._eraser = eraser
        self._compaction = compaction
        self._reserve = reserve
        self._on_damage = on_damage

    def step(self, keep: Keep) -> bool:
        """See `Housekeeping.step`."""
        self._clock.step()
        full: StoreFullError | None = None
        try:
            # What only adds something leaves the reserve alone, as a message does.
            if self._do(self._fold.step, leave=SHARED_BYTES if self._fold.makes_space else None):
                return True
        except StoreFullError as error:
            full = error  # What makes space must not wait for what needs some.
        tasks = [self._ids.sweep_step, self._pruner.deleted_room_step]
        if keep != Keep():
            tasks.append(lambda: self._pruner.step(keep))
        if any(self._do(task) for task in tasks):
            return True
        if self._reserve.maintain():
            return True
        if full is not None:
            raise full
        return False

    def _do(self, task: Callable[[], bool], leave: int | None = SHARED_BYTES) -> bool:
        """Do a step of one task; one that meets a damaged page does not keep the others from theirs.

        Args:
            task: The step; it returns whether there is more.
            leave: As in `Reserve.spend`.
        """
        try:
            return self._reserve.spend(task, leave=leave)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(str(error)))
            return False

    def clock_doubt(self) -> ClockDoubt | None:
        """See `Housekeeping.clock_doubt`."""
        return self._clock.doubt()

    def confirm_clock(self) -> int:
        """See `Housekeeping.confirm_clock`."""
        return self._reserve.spend(self._clock.confirm)

    def erase_step(self, account: int) -> bool:
        """See `Housekeeping.erase_step`."""
        return self._reserve.spend(lambda: self._eraser.step(account))

    def erase_damaged(self, account: int) -> int:
        """See `Housekeeping.erase_damaged`."""
        return self._eraser.damaged(account)

    def compaction_due(self) -> bool:
        """See `Housekeeping.compaction_due`."""
        return self._compaction.is_due()

    def compact(self) -> None:
        """See `Housekeeping.compact`."""
        self._compaction.compact()
