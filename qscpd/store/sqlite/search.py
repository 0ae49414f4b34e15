"""Searching an account's own conversations, in steps; `qscpd.store.sqlite.search_index` keeps the index."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from qscpd.domain.model import Damage, Found, FoundPage, MessageRow
from qscpd.domain.search import Place, Scan, Search
from qscpd.store.sqlite.chunk_reader import ChunkReader, Scope
from qscpd.store.sqlite.chunks import place_of
from qscpd.store.sqlite.database import DatabaseReader
from qscpd.store.sqlite.history import HistoryReader
from qscpd.store.sqlite.query_words import QueryWords, WordSplitter

_NEVER: Final = 2**63
"""A time after that of every message."""

_POSTING: Final = 8
"""What reading an entry of the index counts, in bytes read: about 50 ns."""

_TAIL_MESSAGE: Final = 128
"""What looking at a message of the tail counts, in such bytes: about 2 µs."""

_TERM: Final = "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?"


class _Conversation(NamedTuple):
    """A conversation of matches."""

    name: str
    first_seq: int
    find: Callable[[int], MessageRow | None]


class SearchReader:
    """Reads the search index."""

    def __init__(self, db: DatabaseReader, history: HistoryReader, reader: ChunkReader) -> None:
        self._db = db
        self._history = history
        self._reader = reader
        self._splitter: WordSplitter | None = None

    def close(self) -> None:
        """Close what it needs besides the store."""
        if self._splitter is not None:
            self._splitter.close()

    def search(self, search: Search) -> FoundPage | None:
        """See `StoreReader.search`."""
        if self._splitter is None:
            self._splitter = WordSplitter()
        words = QueryWords(self._splitter, search.query.words)
        with self._db.snapshot():
            if not search.begun:
                query = search.query
                found = self._history.newest(query.account, query.conversation) if words.terms else ()
                search.begin(Place(*each) for each in found)
            while (scan := search.next_scan()) is not None:
                self._scan(search, scan, words)
                if self._db.is_over:
                    if not search.step_over():
                        return None
                    break
            return self._page(search)

    # --- scanning

    def _scan(self, search: Search, scan: Scan, words: QueryWords) -> None:
        """Scan the next window of a conversation, or a part of it."""
        newest = scan.newest
        visible = self._history.visible(search.query.account, newest.conversation)
        if visible is None:
            search.drop()
            return
        first, last, scope = visible
        last = min(last, newest.seq)
        if not scan.sought:
            last = self._last_before(scope, newest.time_ms, first, last)
        if last < first:
            search.drop()
            return
        window = max(scan.window // len(words.terms), 1)
        lowest = max(last - window + 1, first)
        if last > scope.folded:
            self._scan_tail(search, scope, words, max(lowest, scope.folded + 1), last, first)
        else:
            self._scan_chunks(search, scope, words, lowest, last, first)

    def _scan_chunks(
        self, search: Search, scope: Scope, words: QueryWords, lowest: int, last: int, first: int
    ) -> None:
        """Scan a range of messages that are in chunks, by the index.

        Args:
            search: The search.
            scope: The conversation.
            words: The words.
            lowest: The first message of the range; the rest of its chunk is scanned as well.
            last: The last message.
            first: The first message that the account sees.
        """
        start, time_ms = self._start(scope, lowest)
        count = 0
        find = self._reader.finder(scope)
        for seq in self._matching(scope, words, start + 1, last):
            message = find(seq)
            if message is not None and message.body is not None and words.fit(message.body):
                search.add(Place(message.time_ms, scope.conversation, seq))
                count += 1
                if count >= search.query.limit or self._db.is_over:
                    search.move(seq - 1, message.time_ms)
                    return
        if start < first:
            search.drop()
        else:
            search.move(start, time_ms, grow=True)

    def _scan_tail(
        self, search: Search, scope: Scope, words: QueryWords, lowest: int, last: int, first: int
    ) -> None:
        """Scan a range of messages that are in the tail; arguments as of `_scan_chunks`."""
        time_ms = _NEVER
        found: list[tuple[int, int, str]] = []
        for item in self._reader.before(scope, last + 1, lowest):
            if isinstance(item, Damage):
                continue
            time_ms = item.time_ms
            if item.body is not None and not item.meta.kind:
                found.append((item.seq, item.time_ms, item.body))
        self._db.spend(_TAIL_MESSAGE * (last - lowest + 1))
        fitting = words.fitting((seq, body) for seq, _, body in found)
        for seq, sent_ms, _ in found:
            if seq in fitting:
                search.add(Place(sent_ms, scope.conversation, seq))
        if lowest <= first:
            search.drop()
        else:
            search.move(lowest - 1, time_ms, grow=True)

    def _matching(self, scope: Scope, words: QueryWords, first: int, last: int) -> Iterator[int]:
        """Yield the messages of a range that have all terms, by seq, falling."""
        base = place_of(scope.conversation, 0)
        sql = " INTERSECT ".join([_TERM] * len(words.terms))
        values = [value for term in words.terms for value in (term, base + first, base + last)]
        self._db.spend(_POSTING * len(words.terms) * (last - first + 1))
        for (rowid,) in self._db.iterate(f"{sql} ORDER BY 1 DESC", *values):
            yield rowid - base

    def _start(self, scope: Scope, seq: int) -> tuple[int, int]:
        """Return the last seq before the chunk with a message, and a time that none up to there exceeds."""
        chunk = self._reader.chunk_at(scope, seq)
        if chunk is None or chunk.last_seq < seq:
            return seq - 1, _NEVER
        return chunk.first_seq - 1, chunk.time_ms or _NEVER

    def _last_before(self, scope: Scope, time_ms: int, first: int, last: int) -> int:
        """Return a seq from `first - 1` to `last`, and not below any message of up to a time."""
        low, high = first - 1, last
        while low < high:
            middle = (low + high + 1) // 2
            chunk = self._reader.chunk_at(scope, middle)
            if chunk is None:
                break
            if chunk.time_ms is not None and chunk.time_ms > time_ms:
                high = max(chunk.first_seq - 1, low)
            else:
                low = min(max(chunk.last_seq, middle), high)
        return high

    # --- the page

    def _page(self, search: Search) -> FoundPage:
        """Read the matches as they are now: since its step, one can have been erased, or its room left."""
        self._db.begin_share()
        found: list[Found] = []
        cursor = search.cursor
        conversations: dict[int, _Conversation | None] = {}
        for place in search.places:
            number = place.conversation
            if number not in conversations:
                conversations[number] = self._conversation(search.query.account, number)
            conversation = conversations[number]
            if conversation is None or place.seq < conversation.first_seq:
                continue
            message = conversation.find(place.seq)
            if message is not None and message.body is not None:
                found.append(Found(number, message, conversation.name))
            if self._db.is_over:
                cursor = place
                break
        return FoundPage(found, True, cursor)

    def _conversation(self, account: int, number: int) -> _Conversation | None:
        found = self._history.conversation(account, number)
        if found is None:
            return None
        row, scope = found
        return _Conversation(row.name, row.first_seq, self._reader.finder(scope))
