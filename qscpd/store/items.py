"""Items on their way to the store, and the batches that are committed together."""

from collections import Counter, deque
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


class Precedence(Generic[S]):
    """Who goes first of what waits when a transaction ends before it is done: who did not cause that.

    An account is *slow* from the moment when a transaction ends at a message of its own, until nothing of
    it waits.
    """

    def __init__(self) -> None:
        self._slow: set[int] = set()

    def put_back(self, pending: deque[Queued[S]], left: Sequence[Queued[S]], most: int) -> None:
        """Put what a transaction has left in front of a queue again, behind messages of other accounts.

        So who sends what takes long waits for it, and others do not: neither those that come later, nor
        those that the same transaction has left. What one account sends keeps its order.

        Args:
            pending: The queue.
            left: As of `Batch.undone`.
            most: Items of the queue that are looked at.
        """
        waiting = [*left, *(pending.popleft() for _ in range(min(len(pending), most)))]
        last = self._last(waiting)
        skipping: set[S] = set()
        first: list[Queued[S]] = []
        rest: list[Queued[S]] = []
        for item in waiting:
            if type(item) is PendingChat and item.message.sender not in last and item.session not in skipping:
                first.append(item)
                if rest:
                    rest.append(None)  # a call that came after it still finds it before itself
            else:
                rest.append(item)
                if type(item) is PendingSkip:
                    skipping.add(item.session)
        pending.extendleft(reversed([*first, *rest]))

    def _last(self, waiting: Sequence[Queued[S]]) -> set[int]:
        """Return who waits for all others: of the slow accounts, those with most messages.

        So a slow one with few messages does not wait for one with many.
        """
        senders = [item.message.sender for item in waiting if type(item) is PendingChat]
        counts = Counter(senders)
        self._slow.add(senders[0])
        self._slow.intersection_update(counts)
        longest = max(counts[each] for each in self._slow)
        return {each for each in self._slow if counts[each] == longest}
