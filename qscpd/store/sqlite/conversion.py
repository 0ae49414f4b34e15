"""Content of a store of schema 1 to 5 in the newest form: its tables, chunks, message ids and search index.

Small chunks of one conversation are joined, and large ones divided. All chunks pass once, in the order of
their seqs, so that memory is bounded by the largest of them.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from qscpd.domain.messages import id_hash
from qscpd.domain.model import Damage
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.legacy_chunks import LegacyChunk, LegacyReader, LegacyScope, read_rows, scopes
from qscpd.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS, prepare_file

_CONVERTED: Final = frozenset({"chunks", "sent_ids"})
"""Tables that are not copied row by row."""

_OF_THE_FILE: Final = ("compact", "running")
"""Keys of `meta` that are about the old file: that it has traces of erased texts, and a journal."""

_HEADER: Final = 5
"""Bytes of the header of joined messages at most."""

_STEP: Final = 10_000
"""Messages that are added to the search index in one transaction, unless a chunk has more. Nobody waits for
it; steps of 1,000 take an eighth longer."""

_STEP_BYTES: Final = 2 * 1024 * 1024
"""Bytes of their chunks at most."""

_MERGED_PAGES: Final = 32
"""Pages of the search index that are merged in one step."""

_MERGING: Final = 2
"""Changes of a step that merged something (https://sqlite.org/fts5.html#the_merge_command)."""

_IDS: Final = """
    SELECT account, id, hash, conversation, seq, time_ms FROM sent_ids ORDER BY account {0}, id {0}
"""

_ADD_ID: Final = "INSERT OR IGNORE INTO sent_ids VALUES (?, ?, ?, ?, ?, ?)"


class Conversion:
    """Fills an empty database with the content of a store of an old schema.

    Args:
        source: The old store, in a transaction.
        db: The empty database.
        schema: Schema of the old store.
        on_damage: Called with each place that can't be read and is left out.

    Attributes:
        done: Messages that were converted so far, also those that are left out.
        total: All messages; 0 before the tables are copied.
        damaged: Ranges of messages that were left out.
    """

    def __init__(
        self, source: sqlite3.Connection, db: sqlite3.Connection, schema: int, on_damage: OnDamage
    ) -> None:
        self._source = source
        self._db = db
        self._schema = schema
        self._on_damage = on_damage
        self._reader = LegacyReader(source, schema, on_damage)
        self._words: list[tuple[int, str]] = []
        self._pending = self._pending_bytes = 0
        """Messages since the last commit, and bytes of their chunks."""
        self.done = self.total = self.damaged = 0

    def run(self, *, keep_marker: bool) -> None:
        """Convert everything.

        Args:
            keep_marker: Whether the new store has the marker of a run that lost its journal.

        Raises:
            StoreDamagedError: A row refers to one that does not exist.
            sqlite3.Error: A table can't be read, or the new file not written.
        """
        self._copy_tables(keep_marker=keep_marker)
        ids_indexed = self._ids_indexed()
        self._db.execute("BEGIN")
        self._db.executemany(_ADD_ID, self._ids())
        done = 0
        for scope in scopes(self._db):
            self._convert(scope, ids_indexed)
            done += scope.last_seq - scope.first_seq + 1
            self.done = done
        self._commit()
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    # --- tables

    def _copy_tables(self, *, keep_marker: bool) -> None:
        """Copy all rows but those of messages, and bring their tables to the newest schema."""
        db = self._db
        db.execute("PRAGMA foreign_keys = OFF")  # a table that is made anew is dropped first
        prepare_file(db)
        db.executescript("".join(MIGRATIONS[: self._schema]))
        db.execute("BEGIN")
        for name in self._tables():
            self._copy(name)
        if self._schema > 1 and not keep_marker:
            db.executemany("DELETE FROM meta WHERE key = ?", [(key,) for key in _OF_THE_FILE])
        db.execute("COMMIT")
        db.executescript("".join(MIGRATIONS[self._schema :]))
        self._check_references()
        self.total = db.execute(
            "SELECT coalesce(sum(last_seq - first_seq + 1), 0) FROM conversations"
        ).fetchone()[0]

    def _tables(self) -> list[str]:
        """Return the tables that are copied as they are; the one of AUTOINCREMENT comes last."""
        rows = self._db.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
        names = sorted(name for (name,) in rows)
        return [
            *(name for name in names if name not in _CONVERTED and not name.startswith("sqlite_")),
            "sqlite_sequence",
        ]

    def _copy(self, table: str) -> None:
        rows = self._source.execute(f"SELECT * FROM {table}")  # noqa: S608 - ours
        values = ", ".join("?" * len(rows.description))
        # What the steps have put there is that of an empty store.
        self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
        self._db.executemany(f"INSERT INTO {table} VALUES ({values})", rows)  # noqa: S608 - ours

    def _check_references(self) -> None:
        found = self._db.execute("PRAGMA foreign_key_check").fetchmany(1)
        # The index of the places of chunks can be damaged; then their conversations are not known.
        with contextlib.suppress(StoreDamagedError):
            orphans = "SELECT 1 FROM chunks WHERE conversation NOT IN (SELECT id FROM conversations) LIMIT 1"
            found += read_rows(self._source, orphans)
        if found:
            raise StoreDamagedError("foreign key check failed; restore it from a backup")

    def _ids_indexed(self) -> int:
        """Return the highest chunk whose message ids are in the index."""
        if self._schema == 1:
            return 0
        found = self._source.execute("SELECT value FROM meta WHERE key = 'ids_indexed'").fetchone()
        return int(found[0]) if found else 0

    def _ids(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the index of message ids; of a damaged one those before and behind the damage."""
        if self._schema == 1:
            return
        try:
            yield from read_rows(self._source, _IDS.format("ASC"))
        except StoreDamagedError as error:
            self._on_damage(DamagedPlace(f"some message ids are lost: {error}"))
            with contextlib.suppress(StoreDamagedError):
                yield from read_rows(self._source, _IDS.format("DESC"))

    # --- messages

    def _convert(self, scope: LegacyScope, ids_indexed: int) -> None:
        """Convert the messages of a conversation."""
        before = self.done
        joined: list[bytes] = []
        first = following = size = 0
        for item in self._reader.items(scope):
            if isinstance(item, Damage):
                self.damaged += 1
                continue
            for seq, count, packed in _parts(item):
                if joined and (seq != following or size + len(packed) > chunks.BOUND):
                    self._write(scope, first, joined)
                    joined = []
                if not joined:
                    first, size = seq, _HEADER
                joined.append(packed)
                following, size = seq + count, size + len(packed)
            if item.id > ids_indexed:
                self._db.executemany(_ADD_ID, _id_rows(scope, item))
            self._index(scope, item)
            self.done = before + item.rows[-1].seq - scope.first_seq + 1
        if joined:
            self._write(scope, first, joined)

    def _write(self, scope: LegacyScope, first_seq: int, joined: list[bytes]) -> None:
        place = chunks.place_of(scope.conversation, first_seq)
        blob = chunks.seal(place, chunks.join(joined))
        self._db.execute("INSERT INTO chunks VALUES (?, ?)", (place, blob))

    def _index(self, scope: LegacyScope, chunk: LegacyChunk) -> None:
        """Add the messages of a chunk to the search index."""
        base = chunks.place_of(scope.conversation, 0)
        self._words += [
            (base + row.seq, row.body) for row in chunk.rows if row.body is not None and not row.meta.kind
        ]
        self._pending += len(chunk.rows)
        self._pending_bytes += chunk.size
        if self._pending >= _STEP or self._pending_bytes >= _STEP_BYTES:
            self._commit()
            self._db.execute("BEGIN")

    def _commit(self) -> None:
        self._db.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", self._words)
        self._db.execute("COMMIT")
        self._words.clear()
        self._pending = self._pending_bytes = 0
        while self._merge():
            pass

    def _merge(self) -> bool:
        """Merge some pages of the search index; return whether there were any."""
        before = self._db.total_changes
        self._db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (_MERGED_PAGES,))
        return self._db.total_changes - before >= _MERGING


def _parts(chunk: LegacyChunk) -> Iterator[tuple[int, int, bytes]]:
    """Yield a chunk within the bound: of each part its first seq, its number of messages, and the bytes."""
    seq = chunk.rows[0].seq
    if chunk.packed is not None and len(chunk.packed) <= chunks.BOUND:
        yield seq, len(chunk.rows), chunk.packed
        return
    for count, packed in chunks.divide([chunks.entry(row) for row in chunk.rows]):
        yield seq, count, packed
        seq += count


def _id_rows(scope: LegacyScope, chunk: LegacyChunk) -> Iterator[tuple[int, bytes, bytes, int, int, int]]:
    """Yield the rows of the index of message ids for a chunk that it did not have yet."""
    for row in chunk.rows:
        recipient = -scope.conversation
        if scope.low is not None and scope.high is not None:
            recipient = scope.high if row.sender == scope.low else scope.low
        key = id_hash(recipient, row.body or "", row.meta)
        yield row.sender, bytes.fromhex(row.id), key, scope.conversation, row.seq, row.time_ms
