"""Search index: which words are in which message, with SQLite's FTS5.

Folding fills it (`fold.py`), in the transaction that puts messages into chunks; what is not folded is
searched in memory. The index has no text of its own, so a text that is removed or replaced has to be removed
here, too.

It is merged by steps of its own: FTS5's automatic merging can make a step take ten times as long as usual.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from qscpd.domain.model import MessageRow
from qscpd.store.sqlite.chunks import place_of
from qscpd.store.sqlite.database import Database

TOKENIZER: Final = "unicode61 remove_diacritics 2"
"""The index's tokenizer, as its schema has it."""

_MERGED_PAGES: Final = 32
"""Pages of the index that one step of merging rewrites: 6 ms at most."""


_ADD: Final = "INSERT INTO words (rowid, body) VALUES (?, ?)"

_REMOVE: Final = "INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)"


class SearchIndex:
    """Keeps the index in step with the messages that are in chunks."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, texts: Sequence[tuple[int, str]]) -> None:
        """Add texts of messages that are no amendments, each with its place."""
        self._run(_ADD, texts)

    def remove(self, conversation: int, messages: Iterable[MessageRow]) -> None:
        """Remove messages; their texts must be those that were added."""
        self._run(_REMOVE, _texts(conversation, messages))

    def exchange(self, conversation: int, before: Iterable[MessageRow], after: Iterable[MessageRow]) -> None:
        """Replace the texts of messages."""
        self.remove(conversation, before)
        self.add(_texts(conversation, after))

    def _run(self, sql: str, texts: Sequence[tuple[int, str]]) -> None:
        if texts:
            with self._db.transaction() as db:
                db.executemany(sql, texts)

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


def _texts(conversation: int, messages: Iterable[MessageRow]) -> Sequence[tuple[int, str]]:
    """Return the texts of messages that are no amendments, each with its place."""
    return [
        (place_of(conversation, message.seq), message.body)
        for message in messages
        if message.body is not None and not message.meta.kind
    ]
