"""Compaction: rewriting the file, so that no unused part of it has erased text."""

import contextlib
from collections.abc import Iterator
from typing import Final

from qscpd.errors import StoreDamagedError, StoreError, StoreFullError
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.disk_space import lacks_space, temporary_directory

_COMPACT_AT_ONCE: Final = 32 * 1024 * 1024
"""Files up to this many bytes are rewritten while messages wait for it: a third of a second."""

_RELEASED_PAGES: Final = 64
"""Pages that one step removes from the file: each takes the place of an unused one before it."""


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
        try:
            self._db.run("VACUUM")
        except StoreError as error:
            # The file is rewritten in a folder for temporary files, which can be on another disk.
            copy = temporary_directory() / f"{self._db.path.name}.vacuum"
            if lacks_space(copy, self._db.path.stat().st_size):
                raise StoreFullError(
                    f"{self._db.path}: can't be rewritten: no room in {copy.parent}, or in its quota"
                ) from error
            raise
        with self._db.transaction() as db:
            db.execute("DELETE FROM meta WHERE key = 'compact'")
        self.empty_journal()

    def empty_journal(self) -> bool:
        """Move the WAL, which has old pages, into the file and truncate it; False: a reader needs it."""
        with self._no_waiting():
            return self._checkpoint("RESTART") and self._truncate()

    def restart_journal(self) -> bool:
        """Move the WAL into the file, so that its own space is used again; False: a reader needs it."""
        with self._no_waiting():
            return self._checkpoint("RESTART")

    def growth(self) -> int:
        """Return by how many bytes the file grows when the WAL is moved into it."""
        pages, size = self._db.read("SELECT * FROM pragma_page_count, pragma_page_size")[0]
        return int(pages) * int(size) - self._db.path.stat().st_size

    def free_bytes(self) -> int:
        """Return how much can be stored in unused pages of the file, before it grows."""
        pages, size = self._db.read("SELECT * FROM pragma_freelist_count, pragma_page_size")[0]
        return int(pages) * int(size)

    def release_step(self) -> None:
        """Remove some unused pages from the file, which ends sooner once the WAL is emptied."""
        with self._db.transaction():
            self._db.read(f"PRAGMA incremental_vacuum({_RELEASED_PAGES})")

    @contextlib.contextmanager
    def _no_waiting(self) -> Iterator[None]:
        """Fail at once if a reader needs the WAL: otherwise delivery would wait, too."""
        self._db.read("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self._db.read("PRAGMA busy_timeout = 5000")

    def _truncate(self) -> bool:
        self._db.remove_marker()  # until it is set again, an empty journal is no loss
        try:
            return self._checkpoint("TRUNCATE")
        finally:
            self._db.mark_running()

    def _checkpoint(self, mode: str) -> bool:
        """Move the WAL into the file; False: a reader needs it."""
        return not self._db.read(f"PRAGMA wal_checkpoint({mode})")[0][0]
