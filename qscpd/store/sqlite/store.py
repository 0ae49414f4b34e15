"""The store in one SQLite file, put together from its parts.

Database          the file, transactions, errors
└── Accounts
    └── SentIds           which ids were used
        └── WordIndex         which words are where
            └── Rooms             rooms, memberships, the log of moderation
                └── Events            edits, redactions, reactions
                    └── Messages          conversations, positions, appending, reading
                        └── Words             searching
                            └── Retention         pruning, erasing, housekeeping
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from qscpd.errors import StoreFullError
from qscpd.store.sqlite.messages import Messages
from qscpd.store.sqlite.retention import Retention

__all__ = ["SqliteReader", "SqliteStore"]


class SqliteStore(Retention):
    """A `qscpd.store.base.Store` in an SQLite file.

    Args:
        path: The file; it is made when it does not exist, readable by its owner only.
        clock_ms: Milliseconds since 1970-01-01 UTC.
        edit_within_ms: How long after it was written a message may be edited.

    Raises:
        StoreError: The file can't be opened, is damaged, or is no store of ours.
        PermissionDeniedError: This user may not read and write it.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        edit_within_ms: int = 0,
    ) -> None:
        super().__init__(path, clock_ms=clock_ms)
        self._edit_within_ms = edit_within_ms
        self._conversations = {}
        self._opened = []
        self._newest_ids = {}
        self._sweep_from = (0, b"")
        self._next_sweep_ms = 0
        self._prune_from = 0
        self._erasing = {}
        try:
            self._catch_up()
        except BaseException:
            self.close()
            raise

    def _catch_up(self) -> None:
        """Do what the last run did not get to."""
        # After a crash under load some thousands of ids may be missing from the index.
        with self._transaction():
            self._index_all_ids()
        if self.compaction_due():
            with contextlib.suppress(StoreFullError):  # next time, then
                self.compact()


class SqliteReader(Messages):
    """A `qscpd.store.base.StoreReader` of an SQLite file.

    Args:
        path: The file; the daemon may be writing to it.

    Raises:
        StoreError: The file can't be opened, or is no store with the newest schema.
        PermissionDeniedError: This user may not read it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_only=True)
