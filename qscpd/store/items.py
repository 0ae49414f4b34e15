"""Items on their way to the store, and the batches that are committed together."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from qscpd.domain.model import Mark, NewMessage

S = TypeVar("S")


class PendingChat(msgspec.Struct, Generic[S], frozen=True, eq=False, gc=False):
    """A message on its way to the store."""

    session: S
    message: NewMessage


class PendingSkip(msgspec.Struct, Generic[S], frozen=True, eq=False, gc=False):
    """A discarded message that was refused before; None: all of the session's, which has ended."""

    session: S
    id: str | None


Item = PendingChat[S] | Mark | PendingSkip[S]
"""A message, a position to move, or a skip."""

Queued = Item[S] | None
"""An item in the queue; None stands for one that is done although an earlier one is not."""


class Batch(msgspec.Struct, Generic[S], eq=False):
    """Items of one transaction, and the chats that are refused instead."""

    chats: list[PendingChat[S]] = []
    messages: list[NewMessage] = []
    """Of the chats, in the same order."""
    marks: list[Mark] = []
    late: list[PendingChat[S]] = []
    """Chats that would overtake a refused one."""
    others: list[int] = []
    """Of each item that is in none of `chats`, in order: how many of these were before it."""

    def halves(self) -> "tuple[Batch[S], Batch[S]]":
        """Return two batches with its chats and marks, in order; chats come before marks."""
        items: list[PendingChat[S] | Mark] = [*self.chats, *self.marks]
        middle = len(items) // 2
        return _batch(items[:middle]), _batch(items[middle:])

    def undone(self, left: "Sequence[PendingChat[S]]") -> "list[Queued[S]]":
        """Return the items from the first chat on that is not done, as they were in the queue.

        Args:
            left: The chats that are not done, at least one.
        """
        items: list[Queued[S]] = list(self.chats)
        for place in reversed(self.others):
            items.insert(place, None)
        waiting = set(map(id, left))
        first = next(number for number, item in enumerate(items) if id(item) in waiting)
        return [item if id(item) in waiting else None for item in items[first:]]


def _batch(items: "Sequence[PendingChat[S] | Mark]") -> Batch[S]:
    chats = [each for each in items if isinstance(each, PendingChat)]
    marks = [each for each in items if isinstance(each, Mark)]
    return Batch(chats, [each.message for each in chats], marks)
