"""Search index: which words are in which message, with SQLite's FTS5.

It is filled behind delivery, a few messages at a time (`SearchIndex.step`): that costs more
than storing a message, and nobody searches for what they just read. The index has no text of
its own, so a text that is removed or replaced has to be removed here, too.
"""

import contextlib
from collections.abc import Iterable
from typing import Final

from qscpd.domain.model import MessageRow
from qscpd.store.sqlite.chunk_scan import ChunkScan
from qscpd.store.sqlite.database import Database

SEQ_BITS: Final = 32
"""A row's number is its conversation << SEQ_BITS | seq."""

TOKENIZER: Final = "unicode61 remove_diacritics 2"
"""The index's tokenizer, as its schema has it."""

_STEP: Final = 100
"""Messages that one step indexes at most, unless a chunk is larger: about a millisecond."""

_STEP_BYTES: Final = 32 * 1024
"""Bytes of chunks that it indexes at most: 7 ms if each word is another one."""

_MERGED_PAGES: Final = 50
"""Pages of the index that one step of merging rewrites."""


class SearchIndex:
    """Keeps the index in step with the messages."""

    def __init__(self, db: Database, scan: ChunkScan) -> None:
        self._db = db
        self._scan = scan

    def step(self) -> bool:
        """Index the next chunks; return whether there were any."""
        done = self._indexed_up_to()
        entries: list[tuple[int, str]] = []
        count = size = 0
        # After a damaged page was read in a transaction, FTS5 takes nothing in it.
        with self._db.snapshot(), contextlib.closing(self._scan.after(done)) as scan:
            for chunk in scan:
                entries += _entries(chunk.conversation, chunk.rows)
                count += max(len(chunk.rows), 1)
                size += chunk.size
                done = chunk.id
                if count >= _STEP or size >= _STEP_BYTES:
                    break
        if not count:
            return False
        with self._db.transaction() as db:
            self._insert(entries)
            db.execute("UPDATE meta SET value = ? WHERE key = 'words_indexed'", (str(done),))
        return True

    def remove(self, chunk: int, conversation: int, messages: Iterable[MessageRow]) -> None:
        """Remove messages of a chunk, if it was indexed already."""
        if self.has_indexed(chunk):
            with self._db.transaction() as db:
                db.executemany(
                    "INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)",
                    _entries(conversation, messages),
                )

    def add(self, chunk: int, conversation: int, messages: Iterable[MessageRow]) -> None:
        """Add messages of a chunk, if it was indexed already."""
        if self.has_indexed(chunk):
            self._insert(_entries(conversation, messages))

    def has_indexed(self, chunk: int) -> bool:
        """Return whether the messages of a chunk are indexed."""
        return chunk <= self._indexed_up_to()

    def merge_step(self, *, begin: bool) -> bool:
        """Rewrite a part of the index, so that removed words are in no page any more.

        Returns:
            Whether more is left.
        """
        # A negative number of pages begins to merge everything, as `optimize` would do in one go;
        # positive ones go on (https://sqlite.org/fts5.html#the_merge_command).
        pages = -_MERGED_PAGES if begin else _MERGED_PAGES
        with self._db.transaction() as db:
            before = db.total_changes
            db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
            # Fewer than 2 changes: nothing was left to do, as that page says.
            return db.total_changes - before >= 2  # noqa: PLR2004

    def _insert(self, entries: list[tuple[int, str]]) -> None:
        with self._db.transaction() as db:
            db.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", entries)

    def _indexed_up_to(self) -> int:
        return int(self._db.meta("words_indexed"))


def _entries(conversation: int, messages: Iterable[MessageRow]) -> list[tuple[int, str]]:
    base = conversation << SEQ_BITS
    return [
        (base | message.seq, message.body)
        for message in messages
        if message.body is not None and not message.meta.kind
    ]
