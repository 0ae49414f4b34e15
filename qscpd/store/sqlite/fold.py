"""Folding: what the journal has is moved into chunks, the index of ids and the search index, behind delivery.

A *fold* takes the rows of the journal up to one. Each of its steps is a transaction of a few milliseconds:

1. `MESSAGES`: some conversations' messages are joined by bytes and appended to their last chunks, or become new
   ones; their words are indexed, and `conversations.last_seq` says how far the conversation is folded.
2. `IDS`: runs of ids are written.
3. `JOURNAL`: the rows are deleted, and the messages leave the tail.
4. `WORDS`: the search index is merged.
5. `AMENDMENTS`: what amendments have made of messages is written into their chunks, a chunk a step.
6. `OLD_TEXTS`: if texts were replaced or removed, SQLite's own journal is emptied, which still has them.

A crash between two steps loses nothing: the rows are there until everything of them is folded, and what is
folded already is known by `last_seq`.
"""

import enum
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.chunk_reader import ChunkReader, Scope
from qscpd.store.sqlite.chunk_table import ChunkWriter
from qscpd.store.sqlite.chunks import SEQ_BITS, Change, place_of
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.ids import MessageIds
from qscpd.store.sqlite.journal import Part, write_row
from qscpd.store.sqlite.search_index import SearchIndex
from qscpd.store.sqlite.tail import Piece, Tail

DUE_MESSAGES: Final = 10_000
"""Messages in the tail from which on a fold is due."""

DUE_BYTES: Final = 1536 * 1024
"""Bytes of the tail in memory from which on it is due. The readers have a tail of their own."""

DUE_MS: Final = 30_000
"""Age of the oldest message from which on it is due, in milliseconds."""

OVERDUE: Final = 5 / 3
"""How much more than what is due a commit waits for: the three tails have 8 MiB at most."""

_STEP_MESSAGES: Final = 1500
"""Messages that a step folds at most, unless one commit has more for a conversation."""

_STEP_TEXT: Final = 80 * 1024
"""Bytes of texts that it folds at most: 18 ms for the search index if each word is another one."""

_ENTRY: Final = 48
"""Bytes of a message besides its text."""

_STEP_CONVERSATIONS: Final = 64
"""Conversations that it folds at most."""

_STEP_JOURNAL: Final = 1024 * 1024
"""Bytes of the journal that a step deletes at most."""

_MERGED_AT_ONCE: Final = 64 * 1024 * 1024
"""Files up to this many bytes have their search index merged in each fold that removes a text."""

_MERGE_EVERY_MS: Final = 6 * 3600 * 1000
"""How often that of a larger file is, in milliseconds: it costs a second for 500,000 messages."""

_RETRY_MS: Final = 5_000
"""How long emptying SQLite's journal waits for a reader, in milliseconds."""

_REMAINING: Final = "SELECT min(place) FROM amendments WHERE place >= ?"


class Phase(enum.Enum):
    """What the next step of a fold does."""

    IDLE = "idle"
    MESSAGES = "messages"
    IDS = "ids"
    JOURNAL = "journal"
    WORDS = "words"
    AMENDMENTS = "amendments"
    OLD_TEXTS = "old texts"


_PHASES: Final = list(Phase)


class Fold:
    """Folds the journal.

    Args:
        db: The database.
        tail: The writer's tail.
        reader: Reads chunks.
        writer: Writes them.
        ids: The index of message ids.
        index: The search index.
        compaction: Empties SQLite's journal.
        on_damage: Called with each place that can't be folded.

    Attributes:
        folded_row: All rows of the journal up to this one are folded.
        phase: What the next step does.
    """

    def __init__(
        self,
        db: Database,
        tail: Tail,
        reader: ChunkReader,
        writer: ChunkWriter,
        ids: MessageIds,
        index: SearchIndex,
        compaction: Compaction,
        on_damage: OnDamage,
    ) -> None:
        self._db = db
        self._tail = tail
        self._reader = reader
        self._writer = writer
        self._ids = ids
        self._index = index
        self._compaction = compaction
        self._on_damage = on_damage
        self.folded_row = 0
        self.phase = Phase.IDLE
        self._row = 0
        """The last row that this fold takes."""
        self._pieces: deque[Piece] = deque()
        """What is left of it, by conversation and seq."""
        self._stuck: list[Part] = []
        """What of it can't be folded, because the file is damaged."""
        self._runs_written = 0
        self._amended = 0
        """Amendments before this place are done."""
        self._requested = False
        self._since_ms = db.now.boot_ms
        """When the last fold began, or the tail was empty, in milliseconds since the boot."""
        self._old_texts = True
        """Whether SQLite's journal can have texts that were replaced or removed; of an earlier run, too."""
        self._merging = False
        """Whether the whole search index is being merged."""
        self._merged_ms = db.now.boot_ms
        """When that began the last time."""
        self._retry_ms = 0
        self._steps: dict[Phase, Callable[[], bool]] = {
            Phase.MESSAGES: self._messages_step,
            Phase.IDS: self._ids_step,
            Phase.JOURNAL: self._journal_step,
            Phase.WORDS: self._words_step,
            Phase.AMENDMENTS: self._amendments_step,
            Phase.OLD_TEXTS: self._old_texts_step,
        }

    @property
    def is_overdue(self) -> bool:
        """Whether a commit has to wait for a step."""
        tail = self._tail
        return tail.count >= DUE_MESSAGES * OVERDUE or tail.size >= DUE_BYTES * OVERDUE

    def text_replaced(self) -> None:
        """Note that a text was replaced or removed: nothing of it is to stay in the files."""
        self._old_texts = True

    def request(self) -> None:
        """Make a fold due, of everything that is committed until it begins."""
        self._requested = True

    def step(self) -> bool:
        """Do a step of the fold, or begin one that is due; return whether anything was done.

        Raises:
            StoreFullError: No room; the step is done again by the next call.
        """
        if self.phase is Phase.IDLE and not self._begin():
            return False
        if not self._steps[self.phase]():
            self.phase = _PHASES[(_PHASES.index(self.phase) + 1) % len(_PHASES)]
        return True

    def fold_messages(self) -> None:
        """Fold what is committed, in as many steps as it takes."""
        row = self._tail.last_row
        while self.folded_row < row:
            self.request()
            self.step()

    def _begin(self) -> bool:
        """Begin a fold if one is due."""
        tail, now = self._tail, self._db.now.boot_ms
        if not tail.count:
            self._since_ms = now
        due = tail.count >= DUE_MESSAGES or tail.size >= DUE_BYTES or now - self._since_ms >= DUE_MS
        if not due and not self._requested:
            # Emptying SQLite's journal may have had to wait for a reader.
            if self._old_texts and self._retry_ms and now >= self._retry_ms:
                self.phase = Phase.OLD_TEXTS
                return True
            return False
        self._requested = False
        self._since_ms = now
        self._row = tail.last_row
        self._pieces = deque(sorted(tail.pieces(), key=attrgetter("conversation", "first_seq")))
        self._stuck = []
        self._ids.unfolded.begin_fold()
        self._runs_written = self._amended = 0
        self.phase = Phase.MESSAGES
        return True

    # --- steps: each returns whether the next one has the same phase

    def _messages_step(self) -> bool:
        taken = self._take()
        groups = [(each, list(found)) for each, found in groupby(taken, attrgetter("conversation"))]
        try:
            with self._db.transaction():
                for conversation, pieces in groups:
                    self._fold(conversation, pieces)
        except StoreDamagedError:
            for conversation, pieces in groups:
                self._fold_alone(conversation, pieces)
        for _ in taken:
            self._pieces.popleft()
        return bool(self._pieces)

    def _ids_step(self) -> bool:
        before = self._runs_written
        try:
            self._runs_written = self._ids.write_runs(before)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"ids can't be indexed: {error}"))
            return False
        return self._runs_written > before

    def _journal_step(self) -> bool:
        """Delete the next rows of the journal; the last step writes what is stuck into a new one."""
        last, size = 0, 0
        for row, added in self._tail.rows_up_to(self._row):
            if size and size + added > _STEP_JOURNAL and not self._stuck:
                break
            last, size = row, size + added
        done = last in (0, self._row)
        with self._db.transaction() as db:
            db.execute("DELETE FROM journal WHERE id <= ?", (last,))
            stuck_row = write_row(self._db, self._stuck) if self._stuck and done else 0
            if done:
                # So SQLite's journal has the page with the epoch, by which `recovery.py` knows it.
                db.execute("UPDATE meta SET value = ? WHERE key = 'folded'", (str(self._row),))
        self._tail.drop(last)
        if not done:
            return True
        if stuck_row:
            self._tail.add(stuck_row, self._stuck)
        self._ids.unfolded.end_fold()
        self.folded_row = self._row
        return False

    def _words_step(self) -> bool:
        begin = self._old_texts and not self._merging and self._may_merge_all()
        try:
            more = self._index.merge_step(begin=begin)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"the search index can't be merged: {error}"))
            more = False
        self._merging = more and (begin or self._merging)
        return more

    def _may_merge_all(self) -> bool:
        now = self._db.now.boot_ms
        if self._db.path.stat().st_size > _MERGED_AT_ONCE and now - self._merged_ms < _MERGE_EVERY_MS:
            return False
        self._merged_ms = now
        return True

    def _amendments_step(self) -> bool:
        """Write what amendments have made of its messages into the next chunk that has any."""
        try:
            place = self._db.read(_REMAINING, self._amended)[0][0]
            if place is None:
                return False
            self._amended = place + 1
            conversation, seq = place >> SEQ_BITS, place & ((1 << SEQ_BITS) - 1)
            scope = self._reader.scope(conversation)
            if seq > scope.folded:
                self._amended = place_of(conversation + 1, 0)  # the rest is in the tail
                return True
            for chunk in self._reader.chunks_after(scope, seq - 1):
                if chunk.rows and chunk.first_seq <= seq:
                    self._writer.rewrite(conversation, chunk.rows)
                    self._amended = place_of(conversation, chunk.last_seq) + 1
                break
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"amendments can't be written into a chunk: {error}"))
            return bool(self._amended)
        return True

    def _old_texts_step(self) -> bool:
        if self._old_texts:
            self._retry_ms = self._db.now.boot_ms + _RETRY_MS
            self._old_texts = not self._compaction.empty_journal()
        return False

    # --- messages

    def _take(self) -> Sequence[Piece]:
        """Return the pieces that the next step folds, at least one if there is any."""
        taken: list[Piece] = []
        conversations: set[int] = set()
        messages = size = 0
        for piece in self._pieces:
            count = piece.last_seq - piece.first_seq + 1
            messages += count
            size += max(len(piece.packed) - count * _ENTRY, 0)
            conversations.add(piece.conversation)
            if taken and (
                messages > _STEP_MESSAGES or size > _STEP_TEXT or len(conversations) > _STEP_CONVERSATIONS
            ):
                break
            taken.append(piece)
        return taken

    def _fold_alone(self, conversation: int, pieces: Sequence[Piece]) -> None:
        """Fold what the step takes of one conversation, around what is damaged."""
        problem = ""
        for has_words in (True, False):
            try:
                with self._db.transaction():
                    self._fold(conversation, pieces, has_words=has_words)
            except StoreDamagedError as error:
                problem = str(error)
            else:
                if not has_words:
                    self._on_damage(DamagedPlace(f"words can't be indexed: {problem}"))
                return
        first, last = pieces[0].first_seq, pieces[-1].last_seq
        self._on_damage(DamagedPlace(f"stays in the journal: {problem}", conversation, first, last))
        self._stuck += [Part(each.conversation, each.first_seq, each.last_ms, each.packed) for each in pieces]

    def _fold(self, conversation: int, pieces: Sequence[Piece], *, has_words: bool = True) -> None:
        """Fold pieces of a conversation in the running transaction."""
        scope = self._reader.scope(conversation)
        pieces = [piece for piece in pieces if piece.last_seq > scope.folded]
        if not pieces:
            return
        self._writer.put(conversation, self._grown(scope, self._packed(scope, pieces, has_words=has_words)))
        last = pieces[-1]
        with self._db.transaction() as db:
            db.execute(
                "UPDATE conversations SET last_seq = ?, last_ms = ? WHERE id = ?",
                (last.last_seq, last.last_ms, conversation),
            )

    def _packed(
        self, scope: Scope, pieces: Sequence[Piece], *, has_words: bool
    ) -> list[tuple[int, int, bytes]]:
        """Index the words of pieces, and return first seq, last seq and messages of each as they are now."""
        packed: list[tuple[int, int, bytes]] = []
        texts: list[tuple[int, str]] = []
        changes = self._reader.changes(scope, pieces[0].first_seq, pieces[-1].last_seq)
        for piece in pieces:
            for first_seq, part in _amended(piece, changes, scope):
                texts += chunks.texts(place_of(scope.conversation, first_seq), part)
                packed.append((first_seq, first_seq + chunks.claimed(part) - 1, part))
        if changes:
            self._writer.forget_amendments(scope.conversation, pieces[0].first_seq, pieces[-1].last_seq)
        if has_words:
            self._index.add(texts)
        return packed

    def _grown(self, scope: Scope, added: Iterable[tuple[int, int, bytes]]) -> Sequence[tuple[int, bytes]]:
        """Return the chunks that messages make together with the last one, if that can grow.

        Args:
            scope: Their conversation.
            added: As of `_packed`.
        """
        written: list[tuple[int, list[bytes]]] = []
        expected = size = 0
        if (growing := self._reader.growing(scope)) is not None:
            first_seq, packed = growing
            written.append((first_seq, [packed]))
            expected, size = first_seq + chunks.claimed(packed), len(packed)
        for first_seq, last_seq, packed in added:
            if first_seq != expected or size + len(packed) > chunks.BOUND:
                written.append((first_seq, []))
                size = 0
            written[-1][1].append(packed)
            size += len(packed)
            expected = last_seq + 1
        return [(first_seq, chunks.join(parts)) for first_seq, parts in written]


def _amended(piece: Piece, changes: Mapping[int, Change], scope: Scope) -> Sequence[tuple[int, bytes]]:
    """Return a piece with what amendments have made of its messages: first seq and messages of its parts."""
    if not changes or not any(seq in changes for seq in range(piece.first_seq, piece.last_seq + 1)):
        return [(piece.first_seq, piece.packed)]
    rows = chunks.rows(piece.first_seq, piece.packed, scope.writers)
    now = [changes[row.seq].apply(row) if row.seq in changes else row for row in rows]
    parts: list[tuple[int, bytes]] = []
    first_seq = piece.first_seq
    for count, part in chunks.divide([chunks.entry(row) for row in now]):
        parts.append((first_seq, part))
        first_seq += count
    return parts
