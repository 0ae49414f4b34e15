"""Searching an account's own conversations; `qscpd.store.sqlite.search_index` keeps the index."""

from collections.abc import Sequence

from qscpd.domain.model import ConversationRow, Found, FoundPage
from qscpd.store.sqlite.chunk_reader import ChunkReader, Scope
from qscpd.store.sqlite.database import DatabaseReader
from qscpd.store.sqlite.history import HistoryReader
from qscpd.store.sqlite.search_index import SEQ_BITS


class SearchReader:
    """Reads the search index."""

    def __init__(self, db: DatabaseReader, history: HistoryReader, reader: ChunkReader) -> None:
        self._db = db
        self._history = history
        self._reader = reader

    def search(
        self,
        account: int,
        words: Sequence[str],
        *,
        conversation: int | None,
        before: tuple[int, int, int],
        limit: int,
    ) -> FoundPage:
        """See `StoreReader.search`."""
        # Each word in quotes is a plain string to FTS5, whatever is in it.
        query = " ".join('"' + word.replace('"', '""') + '"' for word in words)
        found: list[Found] = []
        with self._db.snapshot():
            for row, last_ms, scope in self._history.newest_first(account):
                if found and len(found) == limit and last_ms < found[-1].message.time_ms:
                    break  # what is in the others is older than all that was found
                if conversation in (None, row.id):
                    found += self._search_one(row, scope, query, before, limit)
                    found = sorted(found, key=_place, reverse=True)[:limit]
            return FoundPage(found, self._is_complete())

    def _search_one(
        self, row: ConversationRow, scope: Scope, query: str, before: tuple[int, int, int], limit: int
    ) -> list[Found]:
        base = row.id << SEQ_BITS
        sql = "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC"
        find = self._reader.finder(scope)
        found: list[Found] = []
        for (rowid,) in self._db.iterate(sql, query, base + row.first_seq, base + (1 << SEQ_BITS) - 1):
            message = find(rowid - base)
            if message is None or message.body is None:
                continue
            each = Found(row.id, message, row.name)
            if _place(each) < before:
                found.append(each)
            if len(found) >= limit:
                break
        return found

    def _is_complete(self) -> bool:
        sql = "SELECT EXISTS (SELECT 1 FROM chunks WHERE id > ?)"
        return not self._db.read(sql, int(self._db.meta("words_indexed")))[0][0]


def _place(found: Found) -> tuple[int, int, int]:
    return found.message.time_ms, found.conversation, found.message.seq
