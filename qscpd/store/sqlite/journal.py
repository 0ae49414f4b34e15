"""The journal: what each commit has stored of messages, as one row.

A commit writes one row, however many conversations it has messages for: SQLite's cost is per row and page,
not per byte. Behind delivery, `fold.py` moves the messages into chunks, and deletes the rows. A row is never
changed. The ids of rows rise, and rows are deleted from the oldest on.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.database import Database, DatabaseReader
from qscpd.store.sqlite.places import next_key

_NOWHERE: Final = 0
"""Place of a row's checksum: a row's id is not known before it is written."""

_INSERT: Final = "INSERT INTO journal (batch) VALUES (?)"

_NUMBER: Final = re.compile("[0-9]{1,19}")

_RANGE: Final = """
    SELECT (SELECT value FROM meta WHERE key = 'folded'),
      (SELECT seq FROM sqlite_sequence WHERE name = 'journal')
"""

_Conversation = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]

_Seq = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]

_Time = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class Part(NamedTuple):
    """Messages of one conversation in a row."""

    conversation: _Conversation
    first_seq: _Seq
    last_seq: _Seq
    last_ms: _Time
    """Time of the last one."""
    packed: bytes


_decoder: Final = msgspec.msgpack.Decoder(list[Part])


def write_row(db: DatabaseReader, parts: Iterable[Part]) -> int:
    """Write a row in the running transaction; return its id."""
    blob = chunks.seal(_NOWHERE, chunks.pack(list(parts)))
    row = db.connection.execute(_INSERT, (blob,)).lastrowid
    return row or 0


def read_rows(db: DatabaseReader, after: int, on_damage: OnDamage) -> Iterator[tuple[int, Sequence[Part]]]:
    """Yield id and parts of the rows behind one, by id; a damaged one has no parts."""
    done = after
    try:
        for row, blob in db.iterate("SELECT id, batch FROM journal WHERE id > ? ORDER BY id", after):
            yield row, _parts(row, blob, on_damage)
            done = row
    except StoreDamagedError:
        pass
    else:
        return
    _, highest = row_range(db)
    while (found := next_key(db, "journal", "id", done + 1, highest, falling=False)) is not None:
        yield found, _read_row(db, found, on_damage)
        done = found


def _read_row(db: DatabaseReader, row: int, on_damage: OnDamage) -> Sequence[Part]:
    try:
        found = db.read("SELECT batch FROM journal WHERE id = ?", row)
    except StoreDamagedError as error:
        on_damage(_damaged(row, error))
        return ()
    return _parts(row, found[0][0], on_damage) if found else ()


def _parts(row: int, blob: bytes, on_damage: OnDamage) -> Sequence[Part]:
    try:
        return _decoder.decode(chunks.unseal(_NOWHERE, blob))
    except (StoreDamagedError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        on_damage(_damaged(row, error))
        return ()


def _damaged(row: int, error: Exception) -> DamagedPlace:
    return DamagedPlace(f"a row of the journal (id {row}) can't be read: {error}")


def row_range(db: DatabaseReader) -> tuple[int, int]:
    """Return the id of the last row that is folded, and of the newest one that there was.

    The first is 0 if what the store has of it can't be true: then all rows that exist count as not folded.
    """
    stored, newest = _stored_range(db)
    return _believable(stored, newest) or 0, newest


def repair_range(db: Database) -> DamagedPlace | None:
    """Set the last folded row to 0 if what the store has of it can't be true; return what was wrong.

    Otherwise, new rows could have ids that count as folded, and would be skipped.
    """
    stored, newest = _stored_range(db)
    if _believable(stored, newest) is not None:
        return None
    with db.transaction() as connection:
        connection.execute("REPLACE INTO meta VALUES ('folded', '0')")
    return DamagedPlace(f"the journal's last folded row can't be {stored!r}: the newest one was {newest}")


def _stored_range(db: DatabaseReader) -> tuple[str | None, int]:
    stored, newest = db.read(_RANGE)[0]
    return stored, newest if isinstance(newest, int) else 0


def _believable(stored: str | None, newest: int) -> int | None:
    """Return the last folded row as stored; None if that is no number, or above the newest row."""
    if stored is None or not _NUMBER.fullmatch(stored) or int(stored) > newest:
        return None
    return int(stored)
