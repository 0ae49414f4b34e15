"""Taking what one transaction commits from the writer's queue: at most so many rows and bytes."""

from collections import deque
from typing import Final, TypeVar

from qscpd.domain.model import Mark
from qscpd.store.items import Batch, PendingChat, PendingSkip, Queued
from qscpd.store.order import Order

_ROWS: Final = 1000
"""Items in a transaction at most: more would only add latency (147,000 rows a second at 100 already)."""

_BYTES: Final = 1024 * 1024
"""Bytes of bodies in a transaction at most, so that 64 large messages don't hold up the small ones."""

_UTF8_BYTES: Final = 4
"""Bytes of a character at most; counting those of a text would cost more than a batch that is too small."""

S = TypeVar("S")


def take_batch(pending: deque[Queued[S]], order: Order[S]) -> Batch[S]:
    """Take the items of the next transaction from a queue, in order.

    Args:
        pending: The queue.
        order: Decides which messages are late; skips end its blocks.
    """
    batch: Batch[S] = Batch()
    size = 0
    for _ in range(min(len(pending), _ROWS)):
        item = pending.popleft()
        if type(item) is PendingChat:
            if not order.blocked or order.admits(item.session, item.message):
                batch.chats.append(item)
                batch.messages.append(item.message)
            else:
                batch.late.append(item)
                batch.others.append(len(batch.chats))
            body = item.message.body
            size += len(body) if body.isascii() else _UTF8_BYTES * len(body)
            if size >= _BYTES:
                break
            continue
        if type(item) is Mark:
            batch.marks.append(item)
        elif type(item) is PendingSkip:
            order.skip(item.session, item.id)
        batch.others.append(len(batch.chats))
    return batch
