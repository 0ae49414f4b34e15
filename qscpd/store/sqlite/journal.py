"""The journal: what each commit has stored of messages, as one row.

A commit writes one row, however many conversations it has messages for: SQLite's cost is per row and page,
not per byte. Behind delivery, `fold.py` moves the messages into chunks, and deletes the rows. A row is never
changed. The ids of rows rise, and rows are deleted from the oldest on.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.database import DatabaseReader

_NOWHERE: Final = 0
"""Place of a row's checksum: a row's id is not known before it is written."""

_INSERT: Final = "INSERT INTO journal (batch) VALUES (?)"


_Conversation = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]

_Seq = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]

_Time = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class Part(NamedTuple):
    """Messages of one conversation in a row."""

    conversation: _Conversation
    first_seq: _Seq
    last_ms: _Time
    """Time of the last one."""
    packed: bytes

    @property
    def last_seq(self) -> int:
        """Seq of the last one."""
        return self.first_seq + chunks.claimed(self.packed) - 1


_decoder: Final = msgspec.msgpack.Decoder(list[Part])


def write_row(db: DatabaseReader, parts: Iterable[Part]) -> int:
    """Write a row in the running transaction; return its id."""
    blob = chunks.seal(_NOWHERE, chunks.pack(list(parts)))
    row = db.connection.execute(_INSERT, (blob,)).lastrowid
    return row or 0


def read_rows(db: DatabaseReader, after: int, on_damage: OnDamage) -> Iterator[tuple[int, Sequence[Part]]]:
    """Yield id and parts of the rows behind one, by id; a damaged one has no parts."""
    for row, blob in db.iterate("SELECT id, batch FROM journal WHERE id > ? ORDER BY id", after):
        parts: Sequence[Part] = ()
        try:
            parts = _decoder.decode(chunks.unseal(_NOWHERE, blob))
        except (StoreDamagedError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            on_damage(DamagedPlace(f"a row of the journal (id {row}) can't be read: {error}"))
        yield row, parts


def row_range(db: DatabaseReader) -> tuple[int, int]:
    """Return the lowest and the highest id of a row; (0, 0) if there is none."""
    (lowest, highest) = db.read("SELECT min(id), max(id) FROM journal")[0]
    return lowest or 0, highest or 0
