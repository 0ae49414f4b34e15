"""Removing messages: pruning what is older than kept, and erasing what an account wrote.

Both go in small steps, each a transaction of its own, between the commits of messages.
Pruning removes a prefix of a conversation and raises its `first_seq`; erasing leaves each message's
place, so that seqs stay dense. Ids stay in `sent_ids`, so that a late retry stays harmless.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from qscpd.domain.messages import erased
from qscpd.domain.model import Keep, MessageRow
from qscpd.domain.retention import first_kept, oldest_kept_ms, outlived
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.chunk_table import ChunkWriter
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.message_ids import MessageIds
from qscpd.store.sqlite.rooms import ModerationLog
from qscpd.store.sqlite.search_index import SearchIndex

_STEP_CHUNKS: Final = 50
"""Chunks that one step reads."""

_STEP_MESSAGES: Final = 200
"""Messages that one step removes or erases: some 5 ms, most of it for the search index."""


class _Cut(NamedTuple):
    """A chunk whose first messages are removed."""

    chunk: int
    rows: list[MessageRow]
    removed: int
    """How many of the rows are removed."""


class Pruner:
    """Prunes conversations."""

    def __init__(self, db: Database, writer: ChunkWriter) -> None:
        self._db = db
        self._writer = writer
        self._next = 0
        """The conversation that the next step begins at."""

    def deleted_room_step(self) -> bool:
        """Remove a few messages of a deleted room; return whether there were any."""
        sql = """SELECT c.id, c.last_seq FROM rooms r JOIN conversations c ON c.id = r.conversation
                 WHERE r.state = 'deleted' AND c.first_seq <= c.last_seq LIMIT 1"""
        return any(self._prune(conversation, last + 1, 0) for conversation, last in self._db.read(sql))

    def step(self, keep: Keep) -> bool:
        """Prune one conversation a little; return whether there is more. Begins anew after the last."""
        rows = self._db.read(
            "SELECT id, first_seq, last_seq FROM conversations WHERE id >= ? ORDER BY id LIMIT 1", self._next
        )
        if not rows:
            self._next = 0
            return False
        conversation, first_seq, last_seq = rows[0]
        first = first_kept(keep, first_seq, last_seq)
        if not self._prune(conversation, first, oldest_kept_ms(keep, self._db.now.removal_ms)):
            self._next = conversation + 1
        return True

    def _prune(self, conversation: int, first_seq: int, oldest_ms: int) -> bool:
        """Remove messages before a seq or a time from the next chunks; return whether there were any."""
        cuts = self._cuts(conversation, first_seq, oldest_ms)
        if not cuts:
            return False
        with self._db.transaction() as db:
            for cut in cuts:
                self._writer.cut(conversation, cut.chunk, cut.rows, cut.removed)
            first = cuts[-1].rows[cuts[-1].removed - 1].seq + 1
            db.execute("UPDATE conversations SET first_seq = ? WHERE id = ?", (first, conversation))
        return True

    def _cuts(self, conversation: int, first_seq: int, oldest_ms: int) -> list[_Cut]:
        """Return the oldest chunks with messages before a seq or a time, as many as a step takes."""
        cuts: list[_Cut] = []
        left = _STEP_MESSAGES
        sql = "SELECT id, last_seq, messages FROM chunks WHERE conversation = ? ORDER BY last_seq LIMIT ?"
        for chunk, last_seq, blob in self._db.iterate(sql, conversation, _STEP_CHUNKS):
            rows = chunks.rows(last_seq, blob)
            count = sum(1 for _ in islice(outlived(rows, first_seq, oldest_ms), left))
            if count:
                cuts.append(_Cut(chunk, rows, count))
            left -= count
            if count < len(rows) or not left:
                break
        return cuts


@dataclass(slots=True)
class _Progress:
    """Progress of erasing an account's messages."""

    conversation: int = 0
    """Everything in conversations before this one is done."""
    seq: int = 0
    """And in this one, everything up to here."""
    merging: bool = False
    """Whether the search index is being rewritten."""
    compacted: bool = False
    """Whether the file was rewritten, or will be when it is opened again."""


class Eraser:
    """Erases what an account wrote."""

    def __init__(
        self,
        db: Database,
        writer: ChunkWriter,
        ids: MessageIds,
        index: SearchIndex,
        log: ModerationLog,
        compaction: Compaction,
    ) -> None:
        self._db = db
        self._writer = writer
        self._ids = ids
        self._index = index
        self._log = log
        self._compaction = compaction
        self._progress: dict[int, _Progress] = {}

    def step(self, account: int) -> bool:
        """See `Housekeeping.erase_step`."""
        progress = self._progress.setdefault(account, _Progress())
        if not progress.merging and self._erase_next(account, progress):
            return True
        if not progress.compacted and self._index.merge_step(begin=not progress.merging):
            progress.merging = True
            return True
        if not progress.compacted:
            self._compaction.request()
            progress.compacted = True
            return True
        if not self._compaction.empty_journal():
            return True
        del self._progress[account]
        return False

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
        sql = (
            "SELECT id, last_seq, messages FROM chunks WHERE conversation = ? AND last_seq > ? "
            "ORDER BY last_seq LIMIT ?"
        )
        found = self._db.read(sql, conversation, progress.seq, _STEP_CHUNKS)
        if not found:
            progress.conversation += 1
            progress.seq = 0
        elif not self._ids.has_indexed(found[-1][0]):
            self._ids.index_step()
        else:
            self._erase_from(account, progress, found)
        return True

    def _erase_from(self, account: int, progress: _Progress, found: list[tuple[int, int, bytes]]) -> None:
        """Erase an account's messages in some chunks, as many as a step takes."""
        left = _STEP_MESSAGES
        done = progress.seq
        with self._db.transaction():
            for chunk, last_seq, blob in found:
                rows = chunks.rows(last_seq, blob)
                replaced = [new for row in rows if (new := erased(row, account))][:left]
                if replaced:
                    self._writer.replace(progress.conversation, chunk, rows, replaced)
                    left -= len(replaced)
                if not left:
                    done = replaced[-1].seq
                    break
                done = last_seq
        progress.seq = done
