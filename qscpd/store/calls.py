"""Calls that wait for their turn on the store's thread, between two transactions of messages."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from qscpd.bus.base import Bus, Commit
from qscpd.domain.events import Event
from qscpd.domain.rooms import RoomChange
from qscpd.store.base import Store

_CHANGES: Final = 32
"""Room changes in a transaction at most: some 5 ms."""

S = TypeVar("S")


class Call(NamedTuple):
    """A call to run on the store's thread."""

    after: int
    """How many items were queued before it."""
    work: Callable[[Store], Any] | RoomChange
    """A room change is committed together with those that wait behind it."""
    future: asyncio.Future[Any]


class CallQueue(deque[Call]):
    """Calls in the order in which they were made."""

    def take(self, done: int) -> Sequence[Call]:
        """Take the next call, or several room changes.

        Args:
            done: How many items are committed; calls that came after more of them wait.
        """
        calls: list[Call] = []
        while self and self[0].after <= done and len(calls) < _CHANGES:
            is_change = isinstance(self[0].work, RoomChange)
            if calls and not is_change:
                break
            calls.append(self.popleft())
            if not is_change:
                break
        return calls

    def put_back(self, calls: Sequence[Call]) -> None:
        """Put calls that a transaction has left in front again."""
        self.extendleft(reversed(calls))


def settle(
    bus: Bus[S], commits: Sequence[Sequence[Event]], calls: Sequence[Call], results: Sequence[object]
) -> None:
    """Publish what calls have committed, and give them their results, on the loop.

    Args:
        bus: Where commits are published.
        commits: The events of each transaction.
        calls: The calls.
        results: Of each; an exception is raised where the call is awaited.
    """
    try:
        for events in commits:  # also if a caller was cancelled: it happened
            bus.publish(Commit(events))
    finally:  # A bug of a subscriber must not let callers wait for ever.
        for call, result in zip(calls, results, strict=True):
            if call.future.cancelled():
                continue
            if isinstance(result, Exception):
                call.future.set_exception(result)
            else:
                call.future.set_result(result)
