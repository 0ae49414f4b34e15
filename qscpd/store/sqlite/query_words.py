"""The words of a search, as the search index splits them.

A word of the query can be several words of the index, as in `e-mail`; these must then follow each other. FTS5
could look for such a phrase, and for several words, in one query. But where they are never in the same
message, it then goes through every message that has one of them, in all conversations. So the index is asked
for each word alone, over a range of messages, and a phrase is looked for in the texts.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from qscpd.store.sqlite.opening import open_in_memory
from qscpd.store.sqlite.search_index import TOKENIZER

_TABLES: Final = f"""
    CREATE VIRTUAL TABLE texts USING fts5 (body, tokenize = '{TOKENIZER}');
    CREATE VIRTUAL TABLE instances USING fts5vocab (texts, instance);
"""


class QueryWords:
    """Words of a query, split by FTS5 itself in a database in memory.

    Args:
        splitter: Splits them.
        words: The words of the query.

    Attributes:
        terms: Each word of the index that a message must have, once, as a query of FTS5.
        phrases: Those that must follow each other in its text, as queries of FTS5.
    """

    def __init__(self, splitter: "WordSplitter", words: Sequence[str]) -> None:
        self._splitter = splitter
        split = {quote(word): splitter.split(word) for word in words}
        self._words = tuple({term: None for terms in split.values() for term in terms})
        self.terms = tuple(map(quote, self._words))
        self.phrases = tuple(word for word, terms in split.items() if len(terms) > 1)

    def fit(self, body: str) -> bool:
        """Return whether a text that has all terms has the phrases, too."""
        return all(self._splitter.contains(body, each) for each in self.phrases)

    def fitting(self, texts: Iterable[tuple[int, str]]) -> set[int]:
        """Return the numbers of the texts that have all terms and phrases, without the index.

        Args:
            texts: Numbers and texts.
        """
        likely = [(number, text) for number, text in texts if self._can_fit(text)]
        return self._splitter.matching(likely, " ".join((*self.terms, *self.phrases))) if likely else set()

    def _can_fit(self, text: str) -> bool:
        """Return whether a text can have all terms; of one that is ASCII, nearly for sure."""
        if not text.isascii():
            return True
        lower = text.lower()
        return all(word in lower for word in self._words)


class WordSplitter:
    """Splits texts into words as the search index does; belongs to one thread."""

    def __init__(self) -> None:
        self._db = open_in_memory(_TABLES)

    def close(self) -> None:
        """Close its database."""
        self._db.close()

    def split(self, text: str) -> list[str]:
        """Return the words of a text."""
        with self._holding([(1, text)]):
            return [term for (term,) in self._db.execute("SELECT term FROM instances ORDER BY offset")]

    def contains(self, text: str, phrase: str) -> bool:
        """Return whether a text matches a query of FTS5."""
        return bool(self.matching([(1, text)], phrase))

    def matching(self, texts: Sequence[tuple[int, str]], query: str) -> set[int]:
        """Return the numbers of the texts that match a query of FTS5."""
        with self._holding(texts):
            return {
                row for (row,) in self._db.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (query,))
            }

    @contextlib.contextmanager
    def _holding(self, texts: Sequence[tuple[int, str]]) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            self._db.executemany("INSERT INTO texts (rowid, body) VALUES (?, ?)", texts)
            yield
        finally:
            self._db.execute("ROLLBACK")


def quote(word: str) -> str:
    """Return a query of FTS5 that takes a word as it is, whatever is in it."""
    return '"' + word.replace('"', '""') + '"'
