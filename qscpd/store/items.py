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


class Batch(msgspec.Struct, Generic[S], eq=False):
    """Items of one transaction, and the chats that are refused instead."""

    chats: list[PendingChat[S]] = []
    messages: list[NewMessage] = []
    """Of the chats, in the same order."""
    marks: list[Mark] = []
    late: list[PendingChat[S]] = []
    """Chats that would overtake a refused one."""

    def halves(self) -> "tuple[Batch[S], Batch[S]]":
        """Return two batches with its chats and marks, in order; chats come before marks."""
        items: list[PendingChat[S] | Mark] = [*self.chats, *self.marks]
        middle = len(items) // 2
        return _batch(items[:middle]), _batch(items[middle:])


def _batch(items: "Sequence[PendingChat[S] | Mark]") -> Batch[S]:
    chats = [each for each in items if isinstance(each, PendingChat)]
    marks = [each for each in items if isinstance(each, Mark)]
    return Batch(chats, [each.message for each in chats], marks)
