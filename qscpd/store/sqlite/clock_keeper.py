"""Keeping what is known of the clocks in the store, so that the next process can judge the wall clock."""

import contextlib
from typing import Final

from qscpd.domain.clock import ClockDoubt
from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.store.sqlite.database import Database

_SAVED_MS: Final = 3600 * 1000
"""Interval of writing: far below the tolerance, and the disk of an idle server can sleep."""

_CLOSED_MS: Final = 60_000
"""Time that is worth a commit when the store is closed: most commands need none."""


class ClockKeeper:
    """Observes the clocks, and stores what is known of them about hourly."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # The first state of a store or of a boot is saved at once: it is what a jump is measured against.
        self._due_ms = 0 if db.clock.new_boot else db.clock.state.boot_ms + _SAVED_MS

    def step(self) -> None:
        """Observe the clocks; store the state if it is time to, or if the wall clock lost or gained trust."""
        changed = self._db.clock.observe()
        if changed or self._db.clock.state.boot_ms >= self._due_ms:
            with contextlib.suppress(StoreFullError, StoreBusyError):  # pruning, which makes room, goes on
                self._save()

    def doubt(self) -> ClockDoubt | None:
        """See `Housekeeping.clock_doubt`."""
        return self._db.clock.doubt()

    def confirm(self) -> int:
        """See `Housekeeping.confirm_clock`."""
        wall_ms = self._db.clock.confirm()
        self._save()
        return wall_ms

    def close(self) -> None:
        """Store the state, if something is new; a store that has failed is left alone."""
        changed = self._db.clock.observe()
        ran_ms = self._db.clock.state.boot_ms - self._due_ms + _SAVED_MS
        if changed or ran_ms >= _CLOSED_MS:
            with contextlib.suppress(StoreError):
                self._save()

    def _save(self) -> None:
        self._due_ms = self._db.clock.state.boot_ms + _SAVED_MS
        self._db.save_clock()
