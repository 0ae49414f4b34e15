"""Taking what one transaction commits from the writer's queue, and putting back what it left."""

from collections import deque
from collections.abc import Sequence
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


def put_back(pending: deque[Queued[S]], left: Sequence[Queued[S]]) -> None:
    """Put what a transaction has left in front of a queue again, behind messages of other accounts.

    So who sends what takes long waits for it, and others do not. What one account sends keeps its order.

    Args:
        pending: The queue.
        left: As of `Batch.undone`.
    """
    slow = {item.message.sender for item in left if type(item) is PendingChat}
    skipping: set[S] = set()
    first: list[Queued[S]] = []
    rest: list[Queued[S]] = []
    for _ in range(min(len(pending), _ROWS)):
        item = pending.popleft()
        if type(item) is PendingChat and item.message.sender not in slow and item.session not in skipping:
            first.append(item)
            rest.append(None)  # a call that came after it still finds it before itself
        else:
            rest.append(item)
            if type(item) is PendingSkip:
                skipping.add(item.session)
    pending.extendleft(reversed([*first, *left, *rest]))


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
