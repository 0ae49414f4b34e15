"""Old texts: what is left in the files of texts that were replaced or removed, and when it goes.

Their chunks are rewritten by folding and by retention. What is left is in the search index, which keeps words
until it is merged, and in SQLite's journal, which keeps pages until it is emptied.
"""

from typing import Final

from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.search_index import SearchIndex

_MERGED_AT_ONCE: Final = 64 * 1024 * 1024
"""Files up to this many bytes have their search index merged in each fold that removes a text."""

_MERGE_EVERY_MS: Final = 6 * 3600 * 1000
"""How often that of a larger file is, in milliseconds: it costs a second for 500,000 messages."""

_RETRY_MS: Final = 5_000
"""How long emptying SQLite's journal waits for a reader, in milliseconds."""


class OldTexts:
    """Removes what is left of old texts.

    Args:
        db: The database.
        index: The search index.
        compaction: Empties SQLite's journal.
        on_damage: Called if the index can't be merged.
    """

    def __init__(self, db: Database, index: SearchIndex, compaction: Compaction, on_damage: OnDamage) -> None:
        self._db = db
        self._index = index
        self._compaction = compaction
        self._on_damage = on_damage
        self._texts = _has_messages(db)
        """Whether texts were replaced or removed since the last fold began; in an earlier run, too."""
        self._words = self._texts
        """Whether the search index can have words of them."""
        self._emptying = False
        """Whether SQLite's journal has to be emptied, because it can have such texts."""
        self._merging = False
        """Whether the whole search index is being merged."""
        self._merged_ms = db.now.boot_ms
        """When that began the last time, in milliseconds since the boot."""
        self._retry_ms = 0
        """When emptying is tried again."""

    def note(self) -> None:
        """Note that a text was replaced or removed: nothing of it is to stay in the files."""
        self._texts = self._words = True

    @property
    def is_due(self) -> bool:
        """Whether there is something to remove with the next fold."""
        return self._texts or self._may_merge_all()

    @property
    def can_go_on(self) -> bool:
        """Whether SQLite's journal can be emptied now, after a reader kept it."""
        return self._emptying and self._db.now.boot_ms >= self._retry_ms

    def begin_fold(self) -> None:
        """Note that a fold begins, which rewrites the chunks of old texts."""
        self._emptying |= self._texts
        self._texts = False

    def merge_step(self) -> bool:
        """Merge a part of the search index; return whether there is more."""
        begin = not self._merging and self._may_merge_all()
        if begin:
            self._words, self._emptying = False, True
            self._merged_ms = self._db.now.boot_ms
        try:
            more = self._index.merge_step(begin=begin)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"the search index can't be merged: {error}"))
            more = False
        self._merging = more and (begin or self._merging)
        return more

    def empty_step(self) -> None:
        """Empty SQLite's journal if it can have old texts; unless a reader needs it."""
        if self._emptying:
            self._retry_ms = self._db.now.boot_ms + _RETRY_MS
            self._emptying = not self._compaction.empty_journal()

    def _may_merge_all(self) -> bool:
        """Return whether the whole search index is to be merged, because it can have words of old texts."""
        if not self._words:
            return False
        is_small = self._db.path.stat().st_size <= _MERGED_AT_ONCE
        return is_small or self._db.now.boot_ms - self._merged_ms >= _MERGE_EVERY_MS


def _has_messages(db: Database) -> bool:
    """Return whether there are messages: an earlier run can have left old texts."""
    try:
        return bool(db.read("SELECT EXISTS (SELECT 1 FROM chunks) OR EXISTS (SELECT 1 FROM journal)")[0][0])
    except StoreDamagedError:
        return True
