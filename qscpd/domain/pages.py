"""Pages: how many messages an answer has, and where the next page begins. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from qscpd.domain.model import MessageRow

_AMENDMENTS: Final = 2000
"""Amendments that one page of history skips at most: about 10 ms."""


class Page(NamedTuple):
    """A page of history, by seq."""

    messages: list[MessageRow]
    cursor: int | None
    """The seq to go on from; None if there is no more."""


def take(rows: Iterable[MessageRow], limit: int, max_bytes: int) -> list[MessageRow]:
    """Return the first rows, at least one if there is any.

    Args:
        rows: The rows; no more are read than are needed.
        limit: Rows at most.
        max_bytes: Bytes on the wire at most, but for the first row.
    """
    taken: list[MessageRow] = []
    size = 0
    for row in rows:
        size += wire_size(row)
        if taken and (len(taken) >= limit or size > max_bytes):
            break
        taken.append(row)
    return taken


def take_messages(rows: Iterable[MessageRow], limit: int, max_bytes: int) -> Page:
    """Return a page of messages in the order of the rows; amendments are skipped.

    Args:
        rows: Stored rows; no more are read than are needed.
        limit: Messages at most.
        max_bytes: Bytes on the wire at most, but for the first message.
    """
    taken: list[MessageRow] = []
    size = skipped = 0
    cursor: int | None = None
    for row in rows:
        if row.meta.kind:
            skipped += 1
            if skipped > _AMENDMENTS:
                return Page(taken, cursor)
        else:
            size += wire_size(row)
            if taken and (len(taken) >= limit or size > max_bytes):
                return Page(taken, cursor)
            taken.append(row)
        cursor = row.seq
    return Page(taken, None)


def wire_size(row: MessageRow) -> int:
    """Return the bytes that a row takes on the wire at most, with every character escaped."""
    size = 200 + 2 * len((row.body or "").encode()) + 100 * len(row.meta.reactions)
    return size + 40 * len(row.meta.mentions)
