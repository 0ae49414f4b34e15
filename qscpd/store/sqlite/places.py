"""Rows around damaged pages. Such a page can end a query in the middle; the rest is then read row by row."""

import contextlib
from collections.abc import Iterator
from typing import Final

from qscpd.errors import StoreDamagedError
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.database import DatabaseReader

AFTER: Final = """
    SELECT place, messages, (SELECT min(n.place) FROM chunks n WHERE n.place > chunks.place) FROM chunks
    WHERE place >= coalesce((SELECT max(place) FROM chunks WHERE place BETWEEN ? AND ?), ?) AND place <= ?
    ORDER BY place
"""

BEFORE: Final = "SELECT place, messages, NULL FROM chunks WHERE place BETWEEN ? AND ? ORDER BY place DESC"

_CHUNKS: Final = ("chunks", "place")


def next_key(db: DatabaseReader, table: str, key: str, low: int, high: int, *, falling: bool) -> int | None:
    """Return the first key of a table in a range, or the last one if falling; None if there is none.

    Only the pages of the table's own tree are read, and of these one at a time. If one is damaged, the search
    goes on behind it: in ever larger steps until a key can be read, and then back to the first such key.

    Args:
        db: The connection.
        table: The table.
        key: Its column that is the rowid.
        low: The lowest key of the range.
        high: The highest one.
        falling: Whether the last one is wanted.
    """

    def look(near: int) -> int | None:
        """Return the key that is nearest to one in the range."""
        nearest, values = ("max", (low, near)) if falling else ("min", (near, high))
        sql = f"SELECT {nearest}({key}) FROM {table} WHERE {key} BETWEEN ? AND ?"  # noqa: S608 - ours
        found = db.read(sql, *values)[0][0]
        return None if found is None else int(found)

    sign = -1 if falling else 1
    begin = high if falling else low
    damaged, step = 0, 1
    """Distances from the beginning: the last one that is damaged."""
    if low > high:
        return None
    try:
        return look(begin)
    except StoreDamagedError:
        pass
    good = None
    while damaged < high - low:
        step = min(step, high - low)
        try:
            good = look(begin + sign * step)
            break
        except StoreDamagedError:
            damaged, step = step, step * 2
    else:
        return None
    while step - damaged > 1:
        middle = (step + damaged) // 2
        try:
            good = look(begin + sign * middle)
            step = middle
        except StoreDamagedError:
            damaged = middle
    return good


def stored_chunks(
    db: DatabaseReader, sql: str, values: tuple[int, ...], *, falling: bool
) -> Iterator[tuple[int, bytes | None, int | None]]:
    """Yield the rows of a query of chunks, by place; around what SQLite can't read.

    Args:
        db: The connection.
        sql: A query of place, blob, and anything else that can be None.
        values: Its values: the lowest place; if it is not falling the place to begin at; and the highest one.
        falling: Whether the places fall.
    """
    done: int | None = None
    try:
        for row in db.iterate(sql, *values):
            yield row
            done = row[0]
    except StoreDamagedError:
        pass
    else:
        return
    low, high = values[0], values[-1]
    if falling:
        high = high if done is None else done - 1
    else:
        low = values[1] if done is None else done + 1
        if done is None and (start := next_key(db, *_CHUNKS, values[0], low, falling=True)) is not None:
            low = start
    while (found := next_key(db, *_CHUNKS, low, high, falling=falling)) is not None:
        yield found, _blob(db, found), None
        low, high = (low, found - 1) if falling else (found + 1, high)


def _blob(db: DatabaseReader, place: int) -> bytes | None:
    """Return the blob of a chunk; None if it can't be read."""
    try:
        found = db.read("SELECT messages FROM chunks WHERE place = ?", place)
    except StoreDamagedError:
        return None
    return found[0][0] if found else None


def undamaged_before(db: DatabaseReader, place: int) -> Iterator[tuple[int, bytes]]:
    """Yield place and messages of a conversation's last undamaged chunk before a place, if there is one."""
    base = place >> chunks.SEQ_BITS << chunks.SEQ_BITS
    for other, blob, _ in stored_chunks(db, BEFORE, (base, place - 1), falling=True):
        with contextlib.suppress(StoreDamagedError):
            yield other, chunks.unseal(other, blob or b"")
            return


def end_of_overlapped(db: DatabaseReader, place: int, last: int) -> int:
    """Return the last seq of a chunk that can reach into the next one: if that is undamaged, it is newer.

    Args:
        db: The connection.
        place: The place of the chunk.
        last: Its last seq by its own content.
    """
    base = place >> chunks.SEQ_BITS << chunks.SEQ_BITS
    for other, blob, _ in stored_chunks(db, AFTER, (base, place, place, base | last), falling=False):
        if other > place:
            with contextlib.suppress(StoreDamagedError):
                chunks.unseal(other, blob or b"")
                return (other & ((1 << chunks.SEQ_BITS) - 1)) - 1
    return last
