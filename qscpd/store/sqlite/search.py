"""Searching one's own conversations; `qscpd.store.sqlite.search_index` has the index."""

from collections.abc import Sequence

from qscpd.domain.model import ConversationRow, Found
from qscpd.store.sqlite.messages import Messages
from qscpd.store.sqlite.search_index import SEQ_BITS

__all__ = ["Words"]


class Words(Messages):
    """Looking into the index of words."""

    def search(
        self,
        account: int,
        words: Sequence[str],
        *,
        conversation: int | None,
        before: tuple[int, int, int],
        limit: int,
    ) -> tuple[Sequence[Found], bool]:
        """See `Store.search`."""
        # Each word in quotes is a plain string to FTS5, whatever is in it.
        query = " ".join('"' + word.replace('"', '""') + '"' for word in words)
        found: list[Found] = []
        for row in self.conversations(account):
            if conversation in (None, row.id):
                found += self._search_one(row, query, before, limit)
        found.sort(key=_place, reverse=True)
        return found[:limit], not self._words_wait()

    def _search_one(
        self, row: ConversationRow, query: str, before: tuple[int, int, int], limit: int
    ) -> list[Found]:
        base = row.id << SEQ_BITS
        sql = "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC"
        find = self._finder(row.id)
        found: list[Found] = []
        for (rowid,) in self._iterate(sql, query, base + row.first_seq, base + (1 << SEQ_BITS) - 1):
            message = find(rowid - base)
            if message is None or message.body is None:
                continue
            each = Found(row.id, message)
            if _place(each) < before:
                found.append(each)
            if len(found) >= limit:
                break
        return found


def _place(found: Found) -> tuple[int, int, int]:
    return found.message.time_ms, found.conversation, found.message.seq
