"""Queue that serves short work first, and is fair between accounts. Pure."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

_PASSES: Final = 8
"""Items of higher lanes that can pass a lane that waits, before one of that lane is served."""

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items in lanes: lane 0 first, and within a lane each account in turn.

    A lane is never passed more than a few times in a row. So short work does not wait for long work, and
    long work still goes on. An account with many items waits for itself only.

    Args:
        lanes: Number of lanes.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes: list[OrderedDict[int, deque[T]]] = [OrderedDict() for _ in range(lanes)]
        self._passed = [0] * lanes
        self._len = 0

    def __len__(self) -> int:
        return self._len

    def push(self, lane: int, account: int, item: T) -> None:
        """Add an item behind those of its lane and account."""
        self._lanes[lane].setdefault(account, deque()).append(item)
        self._len += 1

    def pop(self, allowed: Callable[[int, int], bool] | None = None) -> T | None:
        """Remove and return the next item; None if there is none.

        Args:
            allowed: Whether an item of a lane and account can be served now; None: all can.
        """
        late = [lane for lane, passed in enumerate(self._passed) if passed >= _PASSES]
        for lane in (*late, *range(len(self._lanes))):
            account = self._next_account(lane, allowed)
            if account is not None:
                return self._take(lane, account)
        return None

    def _next_account(self, lane: int, allowed: Callable[[int, int], bool] | None) -> int | None:
        return next((each for each in self._lanes[lane] if allowed is None or allowed(lane, each)), None)

    def _take(self, lane: int, account: int) -> T:
        accounts = self._lanes[lane]
        items = accounts[account]
        item = items.popleft()
        if items:
            accounts.move_to_end(account)
        else:
            del accounts[account]
        self._len -= 1
        self._passed[lane] = 0
        for lower in range(lane + 1, len(self._lanes)):
            self._passed[lower] += bool(self._lanes[lower])
        return item
