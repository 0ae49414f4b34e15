"""Folding: what the journal has is moved into chunks, the index of ids and the search index, behind delivery.

A *fold* takes the rows of the journal up to one. Each of its steps is a transaction of a few milliseconds:

1. `MESSAGES`: some conversations' messages are joined by bytes and appended to their last chunks, or become
   new ones; their words are indexed, and `conversations.last_seq` says how far the conversation is folded.
2. `IDS`: runs of ids are written.
3. `JOURNAL`: the rows are deleted, and the messages leave the tail.
4. `WORDS`: the search index is merged.
5. `AMENDMENTS`: what amendments have made of messages is written into their chunks, a chunk a step.
6. `OLD_TEXTS`: if texts were replaced or removed, SQLite's own journal is emptied, which still has them.

A crash between two steps loses nothing: the rows are there until everything of them is folded, and what is
folded already is known by `last_seq`. On a full disk a fold takes fewer rows, so that their space is free
again before the next ones need some.
"""

import contextlib
import enum
import time
from collections.abc import Callable, Sequence
from typing import Final

from qscpd.errors import StoreDamagedError, StoreFullError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite.chunk_reader import ChunkReader
from qscpd.store.sqlite.chunk_table import ChunkWriter
from qscpd.store.sqlite.chunks import SEQ_BITS, place_of
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.ids import MessageIds
from qscpd.store.sqlite.journal import write_row
from qscpd.store.sqlite.old_texts import OldTexts
from qscpd.store.sqlite.piece_queue import PieceQueue
from qscpd.store.sqlite.tail import Tail

DUE_MESSAGES: Final = 10_000
"""Messages in the tail from which on a fold is due."""

DUE_BYTES: Final = 1536 * 1024
"""Bytes of the tail in memory from which on it is due. The readers have a tail of their own."""

DUE_MS: Final = 30_000
"""Age of the oldest message from which on it is due, in milliseconds."""

OVERDUE: Final = 5 / 3
"""How much more than what is due a commit waits for: the three tails have 8 MiB at most."""

_STEP_JOURNAL: Final = 1024 * 1024
"""Bytes of the journal that a step deletes at most."""

_FOLDED: Final = "UPDATE meta SET value = CAST(max(CAST(value AS INTEGER), ?) AS TEXT) WHERE key = 'folded'"

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

_FREEING: Final = frozenset({Phase.IDS, Phase.JOURNAL})
"""What is left of a fold whose messages are in chunks: ids take little, and then the journal's rows go."""


class Fold:
    """Folds the journal.

    Args:
        db: The database.
        tail: The writer's tail.
        reader: Reads chunks.
        writer: Writes them.
        ids: The index of message ids.
        queue: Folds the messages of a fold.
        old_texts: Removes what is left of texts that were replaced.
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
        queue: PieceQueue,
        old_texts: OldTexts,
        on_damage: OnDamage,
    ) -> None:
        self._db = db
        self._tail = tail
        self._reader = reader
        self._writer = writer
        self._ids = ids
        self._queue = queue
        self._old_texts = old_texts
        self._on_damage = on_damage
        self.folded_row = 0
        self.phase = Phase.IDLE
        self._row = 0
        """The last row that this fold takes."""
        self._stuck_count = self._stuck_size = 0
        """Messages in the tail that the last fold could not fold, and their bytes: they make no fold due."""
        self._runs_written = 0
        self._amended = 0
        """Amendments before this place are done."""
        self._requested = False
        self._awaited = False
        """Whether something waits for this fold, or for the next one, that makes space on the disk."""
        self._since_ms = db.now.boot_ms
        """When the last fold began, or the tail was empty, in milliseconds since the boot."""
        self._steps: dict[Phase, Callable[[], bool]] = {
            Phase.MESSAGES: self._queue.step,
            Phase.IDS: self._ids_step,
            Phase.JOURNAL: self._journal_step,
            Phase.WORDS: old_texts.merge_step,
            Phase.AMENDMENTS: self._amendments_step,
            Phase.OLD_TEXTS: self._old_texts_step,
        }

    @property
    def newest_row(self) -> int:
        """The newest row of the journal."""
        return self._tail.last_row

    def catch_up(self, deadline_s: float) -> bool:
        """Do steps until a commit need not wait any more; return whether it still has to at the deadline."""
        while self._has(DUE_MESSAGES * OVERDUE, DUE_BYTES * OVERDUE) and self.step():
            if time.monotonic() >= deadline_s:
                return True
        return False

    def _has(self, messages: float, size: float) -> bool:
        """Return whether so many messages, or so many bytes of them, wait for a fold."""
        tail = self._tail
        return tail.count - self._stuck_count >= messages or tail.size - self._stuck_size >= size

    def request(self, *, makes_space: bool = False) -> None:
        """Make a fold due, of everything that is committed until it begins.

        Args:
            makes_space: Whether something waits for it that makes space on the disk.
        """
        self._requested = True
        self._awaited |= makes_space

    @property
    def makes_space(self) -> bool:
        """Whether the next step makes space on the disk, or something waits for it that does.

        A fold as a whole takes space: for some time messages are in the journal and in chunks.
        """
        return self._awaited or self.phase in _FREEING

    def step(self) -> bool:
        """Do a step of the fold, or begin one that is due; return whether anything was done.

        Raises:
            StoreFullError: No room; the next call tries it again, with less if the fold has several rows.
        """
        if self.phase is Phase.IDLE and not self._begin():
            return False
        try:
            more = self._steps[self.phase]()
        except StoreFullError:
            if self.phase is Phase.MESSAGES:
                self._shorten()
            raise
        if not more:
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
        # A crash can have come between the fold of a redaction and the rewriting of the old text's chunk.
        if tail.count <= self._stuck_count and not self._old_texts.is_due:
            self._since_ms = now
        due = self._has(DUE_MESSAGES, DUE_BYTES) or now - self._since_ms >= DUE_MS
        if not due and not self._requested:
            # Emptying SQLite's journal may have had to wait for a reader.
            if self._old_texts.can_go_on:
                self.phase = Phase.OLD_TEXTS
                return True
            return False
        self._requested = False
        self._old_texts.begin_fold()
        self._since_ms = now
        self._row = tail.last_row
        self._queue.begin(tail.pieces())
        self._ids.unfolded.begin_fold()
        self._runs_written = self._amended = 0
        self.phase = Phase.MESSAGES
        return True

    def _shorten(self) -> None:
        """Leave the newer half of the rows to the next fold: the older half makes space for it."""
        middle = (self._tail.first_row + self._row) // 2
        if self._tail.first_row <= middle < self._row and self._queue.cut(middle):
            self._row = middle
            self._requested |= self._awaited

    # --- steps: each returns whether the next one has the same phase

    def _ids_step(self) -> bool:
        before = self._runs_written
        try:
            self._runs_written = self._ids.write_runs(before)
        except StoreDamagedError:
            self._runs_written = self._run_alone(before)
        return self._runs_written > before

    def _run_alone(self, written: int) -> int:
        """Write the next run, unless its place is damaged; return how many are done."""
        try:
            return self._ids.write_runs(written, limit=1)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"ids can't be indexed: {error}"))
            return written + 1

    def _journal_step(self) -> bool:
        """Delete the next rows of the journal; the last step writes what is stuck into a new one."""
        rows: list[int] = []
        size = 0
        for row, added in self._tail.rows_up_to(self._row):
            if size and size + added > _STEP_JOURNAL and not self._queue.stuck:
                break
            rows.append(row)
            size += added
        last = rows[-1] if rows else 0
        done = last in (0, self._row)
        try:
            stuck_row = self._delete(rows, last, done=done)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"rows of the journal can't be deleted: {error}"))
            for row in rows:
                with contextlib.suppress(StoreDamagedError):
                    self._delete([row], 0, done=False)
            stuck_row = self._delete([], last, done=done)
        self._tail.drop(last)
        if not done:
            return True
        count, size = self._tail.count, self._tail.size
        if stuck_row:
            self._tail.add(stuck_row, self._queue.stuck)
        self._stuck_count, self._stuck_size = self._tail.count - count, self._tail.size - size
        self._ids.unfolded.end_fold()
        self.folded_row = self._row
        self._awaited &= self._requested
        return False

    def _delete(self, rows: Sequence[int], folded: int, *, done: bool) -> int:
        """Delete some rows of the journal; after the last ones write what is stuck, and return its row.

        Args:
            rows: The rows.
            folded: The last row that readers drop.
            done: Whether they are the last ones.
        """
        stuck_row = 0
        with self._db.transaction() as db:
            if rows:
                db.execute("DELETE FROM journal WHERE id BETWEEN ? AND ?", (rows[0], rows[-1]))
            if done:
                stuck_row = write_row(self._db, self._queue.stuck) if self._queue.stuck else 0
            # So SQLite's journal has the page with the epoch, by which `recovery.py` knows it.
            db.execute(_FOLDED, (folded,))
        return stuck_row

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
                    self._writer.rewrite(conversation, chunk)
                    self._amended = place_of(conversation, chunk.last_seq) + 1
                break
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"amendments can't be written into a chunk: {error}"))
            return bool(self._amended)
        return True

    def _old_texts_step(self) -> bool:
        self._old_texts.empty_step()
        return False
