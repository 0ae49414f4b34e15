"""Removing messages: pruning what is older than kept, and erasing what an account wrote.

Both go in small steps, each a transaction of its own, between the commits of messages.
Pruning removes a prefix of a conversation and raises its `first_seq`; erasing leaves each message's
place, so that seqs stay dense. Ids are kept in `sent_ids`, so that a late retry stays harmless. Both are
about chunks: what has to be removed from the tail is folded first.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from qscpd.domain.messages import erased
from qscpd.domain.model import Keep, MessageRow
from qscpd.domain.retention import first_kept, oldest_kept_ms, outlived
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite.chunk_reader import Chunk, ChunkReader
from qscpd.store.sqlite.chunk_table import ChunkWriter
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.fold import Fold
from qscpd.store.sqlite.old_texts import OldTexts
from qscpd.store.sqlite.rooms import ModerationLog
from qscpd.store.sqlite.search_index import SearchIndex

_STEP_CHUNKS: Final = 50
"""Chunks that one step reads."""

_STEP_MESSAGES: Final = 200
"""Messages that one step removes or erases: some 5 ms, most of it for the search index."""

_STEP_TEXT: Final = 32 * 1024
"""Characters of their texts after which it takes no more: 7 ms of the search index if no word comes twice."""

_STEP_READ: Final = 1024 * 1024
"""Characters after which erasing reads no more chunks; those of earlier versions have up to a million."""

_STEP_DAMAGED: Final = 1000
"""Damaged chunks in a row that a step looks behind for a message whose age is known."""


class _Budget:
    """Messages that a step still removes or erases: at least one."""

    def __init__(self) -> None:
        self._messages = _STEP_MESSAGES
        self._text = _STEP_TEXT

    @property
    def is_spent(self) -> bool:
        """Whether the step takes no more."""
        return self._messages <= 0 or self._text <= 0

    def take(self, rows: Iterable[MessageRow]) -> list[MessageRow]:
        """Return the first of some messages, as many as the step takes."""
        taken: list[MessageRow] = []
        for row in rows:
            if self.is_spent:
                break
            taken.append(row)
            self._messages -= 1
            self._text -= _text_of([row])
        return taken


def _text_of(rows: Iterable[MessageRow]) -> int:
    """Return the number of characters of messages."""
    return sum(len(row.body or "") for row in rows)


class _Cut(NamedTuple):
    """A chunk whose first messages are removed, or all of it."""

    chunk: Chunk
    first: int
    """The first seq that stays."""


class _Cuts(NamedTuple):
    """What one step prunes of a conversation."""

    cuts: list[_Cut]
    first_seq: int
    """Of the conversation, afterwards."""
    raised: bool
    """Whether it is another one now."""


class Pruner:
    """Prunes conversations. A damaged chunk goes with the next readable message."""

    def __init__(
        self, db: Database, reader: ChunkReader, writer: ChunkWriter, fold: Fold, old_texts: OldTexts
    ) -> None:
        self._db = db
        self._reader = reader
        self._writer = writer
        self._fold = fold
        self._old_texts = old_texts
        self._next = 0
        """The conversation that the next step begins at."""

    def deleted_room_step(self) -> bool:
        """Remove a few messages of a deleted room; return whether there were any."""
        sql = """SELECT c.id, c.last_seq FROM rooms r JOIN conversations c ON c.id = r.conversation
                 WHERE r.state = 'deleted' AND c.first_seq <= c.last_seq LIMIT 1"""
        return any(self._prune(conversation, folded + 1, 0) for conversation, folded in self._db.read(sql))

    def step(self, keep: Keep) -> bool:
        """Prune one conversation a little; return whether there is more. Begins anew after the last."""
        rows = self._db.read("SELECT id FROM conversations WHERE id >= ? ORDER BY id LIMIT 1", self._next)
        if not rows:
            self._next = 0
            return False
        conversation = rows[0][0]
        scope = self._reader.scope(conversation)
        first = first_kept(keep, scope.first_seq, scope.last_seq)
        if first > scope.folded + 1:
            self._fold.request(makes_space=True)
        try:
            more = self._prune(
                conversation,
                min(first, scope.folded + 1),
                oldest_kept_ms(keep, self._db.now.removal_ms),
            )
        except StoreDamagedError:
            self._next = conversation + 1  # The others must not wait for it.
            raise
        self._next = conversation if more else conversation + 1
        return True

    def _prune(self, conversation: int, first_seq: int, oldest_ms: int) -> bool:
        """Remove messages before a seq or a time from the next chunks; return whether there were any."""
        cuts, first, raised = self._cuts(conversation, first_seq, oldest_ms)
        if not raised:
            return False
        self._old_texts.note()
        try:
            with self._db.transaction():
                for cut in cuts:
                    self._writer.cut(conversation, cut.chunk, cut.first)
                self._raise_first(conversation, first)
        except StoreDamagedError:
            for cut in cuts:
                self._cut_alone(conversation, cut)
            self._raise_first(conversation, first)
        return True

    def _raise_first(self, conversation: int, first: int) -> None:
        with self._db.transaction() as db:
            db.execute("UPDATE conversations SET first_seq = ? WHERE id = ?", (first, conversation))

    def _cut_alone(self, conversation: int, cut: _Cut) -> None:
        """Cut a chunk as far as the pages behind it are not damaged; what remains is out of sight."""
        with contextlib.suppress(StoreDamagedError):
            self._writer.cut(conversation, cut.chunk, cut.first)
            return
        if cut.first > cut.chunk.last_seq:
            with contextlib.suppress(StoreDamagedError):
                self._writer.delete(conversation, cut.chunk)

    def _cuts(self, conversation: int, first_seq: int, oldest_ms: int) -> _Cuts:
        """Return the oldest chunks with messages before a seq or a time, as many as a step takes."""
        cuts: list[_Cut] = []
        damaged: list[_Cut] = []
        budget = _Budget()
        scope = self._reader.scope(conversation)
        first = scope.first_seq
        with contextlib.closing(self._reader.chunks_after(scope, 0)) as found:
            for number, chunk in enumerate(found, 1):
                rows = chunk.rows
                if not rows:
                    damaged.append(_Cut(chunk, chunk.last_seq + 1))
                    if chunk.last_seq < first_seq:
                        cuts, damaged, first = cuts + damaged, [], chunk.last_seq + 1
                    if len(damaged) < _STEP_DAMAGED and len(cuts) < _STEP_CHUNKS:
                        continue
                    break
                count = len(budget.take(outlived(rows, first_seq, oldest_ms)))
                if count:
                    first = rows[count - 1].seq + 1
                    if count == len(rows):  # and damaged ones behind them
                        first = max(first, min(first_seq, chunk.last_seq + 1))
                    cuts += [*damaged, _Cut(chunk, first)]
                    damaged = []
                if count < len(rows) or budget.is_spent or number >= _STEP_CHUNKS:
                    first = max(first, min(first_seq, rows[0].seq))
                    break
            else:
                first = max(first, first_seq)  # also over what is missing at the end
        return _Cuts(cuts, first, first > scope.first_seq)


@dataclass(slots=True)
class _Progress:
    """Progress of erasing an account's messages."""

    row: int
    """The last row of the journal when erasing began: all up to it has to be folded first."""
    conversation: int = 0
    """Everything in conversations before this one is done."""
    seq: int = 0
    """And in this one, everything up to here."""
    merging: bool = False
    """Whether the search index is being rewritten."""
    compacted: bool = False
    """Whether the file was rewritten, or will be when it is opened again."""
    damaged: int = 0
    """Chunks that could not be looked into."""


class Eraser:
    """Erases what an account wrote."""

    def __init__(
        self,
        db: Database,
        reader: ChunkReader,
        writer: ChunkWriter,
        fold: Fold,
        index: SearchIndex,
        log: ModerationLog,
        compaction: Compaction,
        on_damage: OnDamage,
    ) -> None:
        self._db = db
        self._reader = reader
        self._writer = writer
        self._fold = fold
        self._index = index
        self._log = log
        self._compaction = compaction
        self._on_damage = on_damage
        self._progress: dict[int, _Progress] = {}
        self._damaged: dict[int, int] = {}

    def step(self, account: int) -> bool:
        """See `Housekeeping.erase_step`."""
        progress = self._progress.get(account)
        if progress is None:
            progress = self._progress[account] = _Progress(self._fold.newest_row)
        if self._fold.folded_row < progress.row:
            self._fold.request(makes_space=True)
            self._fold.step()
            return True
        if not progress.merging and self._erase_next(account, progress):
            return True
        if not progress.compacted and self._merge(progress):
            return True
        if not progress.compacted:
            self._compaction.request()
            progress.compacted = True
            return True
        if not self._compaction.empty_journal():
            return True
        self._damaged[account] = self._progress.pop(account).damaged
        return False

    def _merge(self, progress: _Progress) -> bool:
        """Rewrite a part of the search index; return whether there is more."""
        try:
            more = self._index.merge_step(begin=not progress.merging)
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"the search index can't be rewritten: {error}"))
            progress.damaged += 1
            return False
        progress.merging |= more
        return more

    def damaged(self, account: int) -> int:
        """See `Housekeeping.erase_damaged`."""
        return self._damaged.pop(account, 0)

    def _erase_next(self, account: int, progress: _Progress) -> bool:
        """Erase the next messages; return False after the last."""
        conversation = self._db.read(
            "SELECT min(conversation) FROM positions WHERE account = ? AND conversation >= ?",
            account,
            progress.conversation,
        )[0][0]
        if conversation is None:
            self._log.erase_texts(account)
            return False
        if conversation != progress.conversation:
            progress.conversation, progress.seq = conversation, 0
        scope = self._reader.scope(conversation)
        with contextlib.closing(self._reader.chunks_after(scope, progress.seq)) as chunks:
            found: list[Chunk] = []
            read = 0
            while len(found) < _STEP_CHUNKS and read < _STEP_READ and (chunk := next(chunks, None)):
                found.append(chunk)
                read += _text_of(chunk.rows)
        if not found:
            progress.conversation += 1
            progress.seq = 0
        else:
            self._erase_from(account, progress, found)
        return True

    def _erase_from(self, account: int, progress: _Progress, found: list[Chunk]) -> None:
        """Erase an account's messages in some chunks, as many as a step takes."""
        budget = _Budget()
        done, damaged = progress.seq, 0
        try:
            with self._db.transaction():
                for chunk in found:
                    taken = budget.take(row for row in chunk.rows if erased(row, account))
                    replaced = [new for row in taken if (new := erased(row, account))]
                    if replaced:
                        self._writer.replace(progress.conversation, chunk, replaced)
                    elif chunk.is_amended:
                        self._writer.rewrite(progress.conversation, chunk)
                    if budget.is_spent:
                        done = replaced[-1].seq
                        break
                    done = chunk.last_seq
                    damaged += bool(chunk.damaged) or not chunk.rows
        except StoreDamagedError as error:
            if len(found) > 1:
                self._erase_from(account, progress, found[:1])
                return
            chunk = found[0]
            self._on_damage(DamagedPlace(str(error), progress.conversation, chunk.first_seq, chunk.last_seq))
            done, damaged = chunk.last_seq, 1
        progress.seq = done
        progress.damaged += damaged
