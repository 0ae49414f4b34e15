"""Pages: how many messages an answer has, and where the next page begins. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from qscpd.domain.model import Damage, MessageRow, StoredItem

_SKIPPED: Final = 2000
"""Amendments and damaged ranges that one page of history skips at most: about 10 ms."""


_DAMAGE_SIZE: Final = 100
"""Bytes that a damaged range takes on the wire at most, as a frame of its own."""


_JOINED: Final = 100
"""Damaged ranges that are joined to one at most: each can be a chunk that was read."""


class Page(NamedTuple):
    """A page of history, in the order of its items."""

    items: list[StoredItem]
    cursor: int | None
    """The seq to go on from; None if there is no more."""


def join_damage(items: Iterable[StoredItem]) -> Iterator[StoredItem]:
    """Yield items with damaged ranges joined where they touch.

    Args:
        items: Stored items by seq, rising or falling.
    """
    pending: Damage | None = None
    joined = 0
    for item in items:
        if pending is None:
            if isinstance(item, Damage):
                pending, joined = item, 1
            else:
                yield item
        elif isinstance(item, Damage) and joined < _JOINED:
            pending, joined = Damage(min(pending.first, item.first), max(pending.last, item.last)), joined + 1
        else:
            yield pending
            pending, joined = (item, 1) if isinstance(item, Damage) else (None, 0)
            if pending is None:
                yield item
    if pending is not None:
        yield pending


def _never() -> bool:
    return False


def take(
    items: Iterable[StoredItem], limit: int, max_bytes: int, is_over: Callable[[], bool] = _never
) -> list[StoredItem]:
    """Return the first items, at least one if there is any.

    Args:
        items: The items; no more are read than are needed.
        limit: Items at most.
        max_bytes: Bytes on the wire at most, but for the first item.
        is_over: Whether reading has cost enough, and the page should end.
    """
    taken: list[StoredItem] = []
    size = 0
    for item in items:
        size += _DAMAGE_SIZE if isinstance(item, Damage) else wire_size(item)
        if taken and (len(taken) >= limit or size > max_bytes or is_over()):
            break
        taken.append(item)
    return taken


def take_messages(
    items: Iterable[StoredItem], limit: int, max_bytes: int, is_over: Callable[[], bool] = _never
) -> Page:
    """Return a page of messages, and of damage among them, in the order of the items; amendments are skipped.

    Args:
        items: Stored items by seq, rising or falling; no more are read than are needed.
        limit: Messages at most.
        max_bytes: Bytes on the wire at most, but for the first message.
        is_over: Whether reading has cost enough, and the page should end.
    """
    taken: list[StoredItem] = []
    size = skipped = count = 0
    cursor: int | None = None
    for item in items:
        if cursor is not None and is_over():
            return Page(taken, cursor)
        if isinstance(item, Damage) or item.meta.kind:
            skipped += 1
            size += _DAMAGE_SIZE if isinstance(item, Damage) else 0
            if skipped > _SKIPPED or (taken and size > max_bytes):
                return Page(taken, cursor)
        else:
            size += wire_size(item)
            if count and (count >= limit or size > max_bytes):
                return Page(taken, cursor)
            count += 1
            taken.append(item)
        if isinstance(item, Damage):
            taken.append(item)
            cursor = item.first if cursor is not None and item.last < cursor else item.last
        else:
            cursor = item.seq
    return Page(taken, None)


def split(items: Sequence[StoredItem]) -> tuple[list[MessageRow], list[Damage]]:
    """Return the messages in their order, and the damage by seq, joined where it touches."""
    messages = [item for item in items if not isinstance(item, Damage)]
    if len(messages) == len(items):
        return messages, []
    damage = [item for item in items if isinstance(item, Damage)]
    ranges: list[Damage] = []
    for each in sorted(damage):
        if ranges and each.first <= ranges[-1].last + 1:
            ranges[-1] = Damage(ranges[-1].first, max(ranges[-1].last, each.last))
        else:
            ranges.append(each)
    return messages, ranges


def wire_size(row: MessageRow) -> int:
    """Return the bytes that a row takes on the wire at most, with every character escaped."""
    size = 200 + 2 * len((row.body or "").encode()) + 100 * len(row.meta.reactions)
    return size + 40 * len(row.meta.mentions)
