"""Compaction: rewriting the file, so that no unused part of it has erased text."""

import contextlib
from typing import Final

from qscpd.errors import StoreDamagedError, StoreFullError
from qscpd.store.sqlite.database import Database

_COMPACT_AT_ONCE: Final = 32 * 1024 * 1024
"""Files up to this many bytes are rewritten while messages wait for it: a third of a second."""


class Compaction:
    """Rewrites the file.

    `secure_delete` overwrites what is deleted, but when SQLite moves rows from page to page it
    leaves copies of them in the unused middle of a page now and then.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def is_due(self) -> bool:
        """See `Housekeeping.compaction_due`."""
        return bool(self._db.read("SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'compact')")[0][0])

    def request(self) -> None:
        """Make compaction due, and compact a small file at once."""
        with self._db.transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('compact', '1')")
        if self._db.path.stat().st_size <= _COMPACT_AT_ONCE:
            # It needs as much room again, and every page of the file.
            with contextlib.suppress(StoreFullError, StoreDamagedError):
                self.compact()

    def compact(self) -> None:
        """See `Housekeeping.compact`."""
        self._db.run("VACUUM")
        with self._db.transaction() as db:
            db.execute("DELETE FROM meta WHERE key = 'compact'")
        self.empty_journal()

    def empty_journal(self) -> bool:
        """Move the WAL, which has old pages, into the file and truncate it; False: a reader needs it."""
        self._db.read("PRAGMA busy_timeout = 0")  # otherwise delivery would wait, too
        try:
            busy = self._db.read("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        finally:
            self._db.read("PRAGMA busy_timeout = 5000")
        return not busy
