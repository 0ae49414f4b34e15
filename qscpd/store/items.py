"""Items on their way to the store, and the batches that are committed together."""

from collections import deque
from typing import Final, Generic, TypeVar

import msgspec

from qscpd.domain.model import Mark, NewMessage
from qscpd.store.order import Order

_BATCH_ROWS: Final = 1000
"""Messages in a transaction at most: more would only add latency (147,000 rows a second at 100 already)."""

_BATCH_BYTES: Final = 1024 * 1024
"""Characters of bodies in a transaction at most, so that 64 large messages don't hold up the small ones."""

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


class Batch(Generic[S]):
    """Items of one transaction, and the chats that are refused instead."""

    __slots__ = ("chats", "late", "marks", "messages")

    def __init__(self) -> None:
        self.chats: list[PendingChat[S]] = []
        self.messages: list[NewMessage] = []
        """Of the chats, in the same order."""
        self.marks: list[Mark] = []
        self.late: list[PendingChat[S]] = []
        """Chats that would overtake a refused one."""

    def __bool__(self) -> bool:
        return bool(self.chats or self.marks or self.late)


def take(pending: deque[Item[S]], order: Order[S]) -> Batch[S]:
    """Take the items of the next transaction, in order.

    Args:
        pending: All items; those that are taken are removed.
        order: Which messages have to wait for a refused one; skips end that.
    """
    batch: Batch[S] = Batch()
    size = 0
    for _ in range(min(len(pending), _BATCH_ROWS)):
        item = pending.popleft()
        if type(item) is PendingChat:
            if not order.blocked or order.admits(item.session, item.message):
                batch.chats.append(item)
                batch.messages.append(item.message)
            else:
                batch.late.append(item)
            size += len(item.message.body)
            if size >= _BATCH_BYTES:
                break
        elif type(item) is Mark:
            batch.marks.append(item)
        elif type(item) is PendingSkip:
            order.skip(item.session, item.id)
    return batch
