"""Housekeeping in small steps: the clock, indexes, forgetting old ids, pruning, erasing, compaction."""

from qscpd.domain.clock import ClockDoubt
from qscpd.domain.model import Keep
from qscpd.errors import StoreFullError
from qscpd.store.sqlite.clock_keeper import ClockKeeper
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.message_ids import MessageIds
from qscpd.store.sqlite.reserve import SHARED_BYTES, Reserve
from qscpd.store.sqlite.retention import Eraser, Pruner
from qscpd.store.sqlite.search_index import SearchIndex


class SqliteHousekeeping:
    """A `qscpd.store.base.Housekeeping` of an SQLite file."""

    def __init__(
        self,
        clock: ClockKeeper,
        ids: MessageIds,
        index: SearchIndex,
        pruner: Pruner,
        eraser: Eraser,
        compaction: Compaction,
        reserve: Reserve,
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._index = index
        self._pruner = pruner
        self._eraser = eraser
        self._compaction = compaction
        self._reserve = reserve

    def step(self, keep: Keep) -> bool:
        """See `Housekeeping.step`."""
        self._clock.step()
        # Ids come before pruning, which takes away the messages that they are read from.
        if self._reserve.spend(self._ids.index_step, leave=SHARED_BYTES):
            return True
        full: StoreFullError | None = None
        try:
            if self._reserve.spend(self._index.step, leave=None):
                return True
        except StoreFullError as error:
            full = error  # What makes space must not wait for what needs some.
        if self._reserve.spend(lambda: self._remove(keep), leave=SHARED_BYTES):
            return True
        self._reserve.maintain()
        if full is not None:
            raise full
        return False

    def _remove(self, keep: Keep) -> bool:
        """Remove a few of the things that are not kept; return whether there is more."""
        if self._ids.sweep_step() or self._pruner.deleted_room_step():
            return True
        return keep != Keep() and self._pruner.step(keep)

    def clock_doubt(self) -> ClockDoubt | None:
        """See `Housekeeping.clock_doubt`."""
        return self._clock.doubt()

    def confirm_clock(self) -> int:
        """See `Housekeeping.confirm_clock`."""
        return self._clock.confirm()

    def erase_step(self, account: int) -> bool:
        """See `Housekeeping.erase_step`."""
        return self._reserve.spend(lambda: self._eraser.step(account))

    def compaction_due(self) -> bool:
        """See `Housekeeping.compaction_due`."""
        return self._compaction.is_due()

    def compact(self) -> None:
        """See `Housekeeping.compact`."""
        self._compaction.compact()
