"""Fair queues: who is next while many wait. Pure.

- `CostQueue` for work of accounts: cheap work first, and each account in turn.
- `ShareQueue` for connections and passwords before a login: nested shares, such as network and address,
  in turn. `Lanes` puts those first who are known.

`ShareSizes` has the largest share at hand, for a caller that has to drop an item.
"""

import enum
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

_CROWD: Final = 64
"""Shares that wait from which the newest one comes first: about two seconds' worth of passwords."""

_OTHER_TURN: Final = 4
"""One of so many turns of a lane belongs to the next one."""

_PASSES: Final = 8
"""Items of lower costs that can pass a cost that waits, before one item of that cost is served."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class ShareSizes(Generic[K]):
    """Number of items by key; every operation takes constant time.

    It is as large as the number of keys with items.
    """

    __slots__ = ("_keys", "_largest", "_sizes")

    def __init__(self) -> None:
        self._sizes: dict[K, int] = {}
        self._keys: dict[int, OrderedDict[K, None]] = {}
        """Keys by their size, the last changed one at the end."""
        self._largest = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, key: K) -> int:
        return self._sizes.get(key, 0)

    def grow(self, key: K) -> None:
        """Add an item to a share."""
        self._move(key, 1)

    def shrink(self, key: K) -> None:
        """Remove an item from a share that has one."""
        self._move(key, -1)

    def largest(self, *, newest: bool = True) -> K:
        """Return the key with most items; among equals the one that changed last, or first.

        Raises:
            KeyError: There are no items.
        """
        return next(reversed(self._keys[self._largest]) if newest else iter(self._keys[self._largest]))

    def _move(self, key: K, change: int) -> None:
        before = self._sizes.pop(key, 0)
        if before:
            same = self._keys[before]
            del same[key]
            if not same:
                del self._keys[before]
        size = before + change
        if size:
            self._sizes[key] = size
            self._keys.setdefault(size, OrderedDict())[key] = None
        # One item came or went, so the largest size changes by one at most.
        if size > self._largest:
            self._largest = size
        elif self._largest not in self._keys:
            self._largest -= 1


class ShareQueue(Generic[T]):
    """Queue of items in nested shares, such as network, address and account.

    `pop` serves the shares of each level in turn, and the items of one share in their order. So
    one with a thousand items waits, not the one with a single item. The caller bounds it.

    Args:
        newest_first_above: With more shares than that at the top, the newest one has the next turn: a
            crowd that came together waits for itself, and who comes now does not wait behind it.
            None keeps the order in which they came.
    """

    def __init__(self, newest_first_above: int | None = None) -> None:
        self._root: _Share[T] = _Share()
        self._newest_first_above = newest_first_above

    def __len__(self) -> int:
        return self._root.size

    def size(self, *path: Hashable) -> int:
        """Return the number of items in a share."""
        share = self._root
        for key in path:
            if key not in share.shares:
                return 0
            share = share.shares[key]
        return share.size

    def turns(self) -> int:
        """Return the number of shares at the top that have items."""
        return len(self._root.shares)

    def push(self, item: T, *path: Hashable) -> None:
        """Append an item to a share.

        Args:
            item: The item.
            path: Its share, from the outermost level; all items of a queue have the same depth.
        """
        self._root.push(item, path)

    def discard(self, item: T, *path: Hashable) -> None:
        """Remove an item from its share, if it is there."""
        self._root.discard(item, path)

    def pop(self) -> T:
        """Remove and return the next item, fair between the shares.

        Raises:
            IndexError: The queue is empty.
        """
        above = self._newest_first_above
        return self._root.pop(newest=above is not None and len(self._root.shares) > above)

    def drop(self) -> T:
        """Remove and return the newest item of the longest share, level by level.

        Raises:
            IndexError: The queue is empty.
        """
        return self._root.drop()


class Cost(enum.IntEnum):
    """What an item of work costs; cheaper ones go first."""

    LOW = 0
    """A look-up, an answer from memory, or one change."""
    PAGE = 1
    """A page of messages or conversations."""
    SEARCH = 2


class CostQueue(Generic[T]):
    """Queue of work: cheap items first, and among those of one cost each account in turn.

    No cost is passed more than a few times in a row. So short work does not wait for long work, and
    long work still goes on. An account with many items waits for itself only. The caller bounds it.
    """

    def __init__(self) -> None:
        self._accounts: list[OrderedDict[int, deque[T]]] = [OrderedDict() for _ in Cost]
        """By cost: the items of each account, in the order of their turns."""
        self._passed = [0 for _ in Cost]
        self._len = 0

    def __len__(self) -> int:
        return self._len

    def push(self, cost: Cost, account: int, item: T) -> None:
        """Add an item behind those of its cost and account."""
        self._accounts[cost].setdefault(account, deque()).append(item)
        self._len += 1

    def pop(self, allowed: Callable[[Cost, int], bool] | None = None) -> T | None:
        """Remove and return the next item; None if there is none.

        Args:
            allowed: Whether an item of a cost and account can be served now; None: all can.
        """
        late = [cost for cost in Cost if self._passed[cost] >= _PASSES]
        for cost in (*late, *Cost):
            account = self._next_account(cost, allowed)
            if account is not None:
                return self._take(cost, account)
        return None

    def _next_account(self, cost: Cost, allowed: Callable[[Cost, int], bool] | None) -> int | None:
        return next((each for each in self._accounts[cost] if allowed is None or allowed(cost, each)), None)

    def _take(self, cost: Cost, account: int) -> T:
        accounts = self._accounts[cost]
        items = accounts[account]
        item = items.popleft()
        if items:
            accounts.move_to_end(account)
        else:
            del accounts[account]
        self._len -= 1
        self._passed[cost] = 0
        for higher in range(cost + 1, len(Cost)):
            self._passed[higher] += bool(self._accounts[higher])
        return item


class Lane(enum.IntEnum):
    """Who comes before whom while many wait."""

    KNOWN = 0
    """Who logged in from there before."""
    CLEAN = 1
    """Addresses without a failure of late."""
    FAILED = 2
    """Addresses with failures."""
    LAST = 3
    """Only if nobody else waits."""


class Lanes(Generic[T]):
    """Fair queues with priorities: each lane leaves one of four turns to the next one.

    So a lane that never gets empty delays the others, and stops none of them.
    """

    def __init__(self) -> None:
        self._lanes: list[ShareQueue[T]] = [
            ShareQueue(_CROWD if lane is Lane.CLEAN else None) for lane in Lane
        ]
        self._turns = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def __getitem__(self, lane: Lane) -> ShareQueue[T]:
        return self._lanes[lane]

    def pop(self) -> T:
        """Remove and return the item whose turn it is.

        Raises:
            IndexError: Nothing waits.
        """
        self._turns += 1
        first = Lane.KNOWN
        if self._turns % _OTHER_TURN == 0:
            first = Lane.FAILED if self._turns % (_OTHER_TURN * _OTHER_TURN) == 0 else Lane.CLEAN
        for lane in (*range(first, Lane.LAST), *range(first), Lane.LAST):
            if self._lanes[lane]:
                item: T = self._lanes[lane].pop()
                return item
        raise IndexError("nothing waits")

    def drop(self) -> T:
        """Remove and return the newest item of the longest share in the lane that comes last.

        Raises:
            IndexError: Nothing waits.
        """
        return next((lane for lane in reversed(self._lanes) if lane), self._lanes[0]).drop()


class _Share(Generic[T]):
    """One share: either items, or shares of the next level in the order of their turns."""

    __slots__ = ("items", "shares", "size", "sizes")

    def __init__(self) -> None:
        self.items: deque[T] = deque()
        self.shares: OrderedDict[Hashable, _Share[T]] = OrderedDict()
        self.sizes: ShareSizes[Hashable] = ShareSizes()
        self.size = 0

    def push(self, item: T, path: tuple[Hashable, ...]) -> None:
        self.size += 1
        if not path:
            self.items.append(item)
            return
        key = path[0]
        if key not in self.shares:
            self.shares[key] = _Share()
        self.shares[key].push(item, path[1:])
        self.sizes.grow(key)

    def discard(self, item: T, path: tuple[Hashable, ...]) -> bool:
        if not path:
            if item not in self.items:
                return False
            self.items.remove(item)
        else:
            key = path[0]
            if key not in self.shares or not self.shares[key].discard(item, path[1:]):
                return False
            self._shrink(key)
        self.size -= 1
        return True

    def pop(self, *, newest: bool = False) -> T:
        if not self.shares:
            item = self.items.popleft()
        else:
            key = next(reversed(self.shares) if newest else iter(self.shares))
            item = self.shares[key].pop()
            self._shrink(key)
            if key in self.shares:  # its next turn is the last one of all
                self.shares.move_to_end(key, last=not newest)
        self.size -= 1
        return item

    def drop(self) -> T:
        if not self.shares:
            item = self.items.pop()
        else:
            key = self.sizes.largest()
            item = self.shares[key].drop()
            self._shrink(key)
        self.size -= 1
        return item

    def _shrink(self, key: Hashable) -> None:
        self.sizes.shrink(key)
        if not self.shares[key].size:
            del self.shares[key]
