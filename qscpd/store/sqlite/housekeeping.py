"""Housekeeping: indexing, forgetting old ids, pruning, erasing and compaction, in small steps."""

from collections.abc import Callable

from qscpd.domain.model import Keep
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.message_ids import MessageIds
from qscpd.store.sqlite.retention import Eraser, Pruner
from qscpd.store.sqlite.search_index import SearchIndex


class SqliteHousekeeping:
    """A `qscpd.store.base.Housekeeping` of an SQLite file."""

    def __init__(
        self,
        ids: MessageIds,
        index: SearchIndex,
        pruner: Pruner,
        eraser: Eraser,
        compaction: Compaction,
        on_damage: OnDamage,
    ) -> None:
        self._ids = ids
        self._index = index
        self._pruner = pruner
        self._eraser = eraser
        self._compaction = compaction
        self._on_damage = on_damage

    def step(self, keep: Keep) -> bool:
        """See `Housekeeping.step`."""
        tasks = [self._ids.index_step, self._index.step, self._ids.sweep_step, self._pruner.deleted_room_step]
        if keep != Keep():
            tasks.append(lambda: self._pruner.step(keep))
        return any(self._do(task) for task in tasks)

    def _do(self, task: Callable[[], bool]) -> bool:
        """Do a step of one task; one that meets a damaged page does not keep the others from theirs."""
        try:
            return task()
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(str(error)))
            return False

    def erase_step(self, account: int) -> bool:
        """See `Housekeeping.erase_step`."""
        return self._eraser.step(account)

    def erase_damaged(self, account: int) -> int:
        """See `Housekeeping.erase_damaged`."""
        return self._eraser.damaged(account)

    def compaction_due(self) -> bool:
        """See `Housekeeping.compaction_due`."""
        return self._compaction.is_due()

    def compact(self) -> None:
        """See `Housekeeping.compact`."""
        self._compaction.compact()
