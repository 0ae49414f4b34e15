"""A search in progress: which conversation to look through next, and when the newest matches are found. Pure.

A search can take long: words can be in few of a million messages, or never in the same one. So it is done in
steps, and this is what one step leaves to the next. Each conversation is scanned from its newest message to
its oldest. The one whose unscanned messages can be the newest of all is scanned next. So whatever was found
above all unscanned messages is final, and a search can end after any step: its cursor continues it.
"""

import heapq
from bisect import insort
from collections.abc import Iterable
from typing import Final, NamedTuple

_STEPS: Final = 40
"""Steps after which a search ends with what it has: a session waits for its answer with all that it sent
meanwhile. With the steps of the SQLite driver that is some 0.3 s of work, and a million messages."""

_WINDOW: Final = 512
"""Messages of a conversation that are scanned at first; each further window of it is twice as large."""

_LARGEST_WINDOW: Final = 16 * 1024
"""Messages in a window at most: about 1 ms with two words."""


class Place(NamedTuple):
    """Place of a message among those of all conversations, in the order of search results."""

    time_ms: int
    conversation: int
    seq: int


class SearchQuery(NamedTuple):
    """What is searched for."""

    account: int
    """The account whose conversations are searched."""
    words: tuple[str, ...]
    """A message must have all of them."""
    conversation: int | None
    """Only this one; None: all."""
    before: Place
    """Only messages before this place."""
    limit: int
    """Matches at most."""


class Scan:
    """Scan of one conversation.

    Attributes:
        newest: No unscanned message of it has a later place.
        window: Messages to scan next.
        sought: Whether `newest` was found in the store; at first it is only known to be late enough.
    """

    __slots__ = ("newest", "sought", "window")

    def __init__(self, newest: Place) -> None:
        self.newest = newest
        self.window = _WINDOW
        self.sought = False

    def __lt__(self, other: "Scan") -> bool:
        return self.newest > other.newest


class Search:
    """A search, and what its steps have found so far.

    Args:
        query: What is searched for.

    Attributes:
        query: What is searched for.
        begun: Whether its conversations are known.
    """

    def __init__(self, query: SearchQuery) -> None:
        self.query = query
        self.begun = False
        self._steps = 0
        self._scans: list[Scan] = []
        self._found: list[Place] = []
        """The newest ones, the oldest first; at most the limit."""
        self._has_older = False
        """Whether older matches were found, and are left to the next page."""

    def begin(self, newest: Iterable[Place]) -> None:
        """Set the conversations, each by the place of its newest message."""
        self.begun = True
        before = self.query.before
        self._scans = [Scan(_earlier(each, before)) for each in newest]
        heapq.heapify(self._scans)

    def next_scan(self) -> Scan | None:
        """Return the scan that has to go on; None if the page is complete."""
        if not self._scans or (self._is_full and self._found[0] > self._scans[0].newest):
            return None
        return self._scans[0]

    def add(self, place: Place) -> None:
        """Add a match of the scan that goes on, if it is before the place of the query."""
        if place < self.query.before:
            insort(self._found, place)
            if len(self._found) > self.query.limit:
                del self._found[0]
                self._has_older = True

    def move(self, seq: int, time_ms: int, *, grow: bool = False) -> None:
        """Note how far the scan that goes on has come.

        Args:
            seq: The newest message of its conversation that is not scanned.
            time_ms: A time that it does not exceed.
            grow: Whether its window was scanned to the end.
        """
        scan = self._scans[0]
        scan.newest = Place(min(scan.newest.time_ms, time_ms), scan.newest.conversation, seq)
        scan.sought = True
        if grow:
            scan.window = min(2 * scan.window, _LARGEST_WINDOW)
        heapq.heapreplace(self._scans, scan)

    def drop(self) -> None:
        """Note that the scan that goes on has nothing more to find."""
        heapq.heappop(self._scans)

    def step_over(self) -> bool:
        """Count a step; return whether the search has to end with what it has."""
        self._steps += 1
        # A first page without any progress would have the cursor of the request, for ever.
        return self._steps >= _STEPS and bool(self._scans) and self._rest < self.query.before

    @property
    def places(self) -> list[Place]:
        """The matches that are final, the newest first."""
        rest = self._scans[0].newest if self._scans else None
        return [each for each in reversed(self._found) if rest is None or each > rest]

    @property
    def cursor(self) -> Place | None:
        """The place before which the search continues after `places`; None if nothing is left."""
        if not self._scans and not self._has_older:
            return None
        return self._found[0] if self.next_scan() is None else self._rest

    @property
    def _is_full(self) -> bool:
        return len(self._found) == self.query.limit

    @property
    def _rest(self) -> Place:
        """The place before which all unscanned messages are."""
        newest = self._scans[0].newest
        return newest._replace(seq=newest.seq + 1)


def _earlier(newest: Place, before: Place) -> Place:
    """Return the latest place that a message of a conversation before a place can have."""
    return newest if newest.time_ms < before.time_ms else newest._replace(time_ms=before.time_ms)
