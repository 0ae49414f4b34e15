"""Pace of a reading thread: how much one read does, and how often it lets other threads run.

Python runs one thread at a time. The event loop takes Python's lock many times in a turn, and each time a
reader that computes can make it wait. So a reader rests after each short stretch of work, as long as that
took: then the loop finds the lock free at least half of the time, and waits for a stretch at most.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from qscpd.store.sqlite.database import DatabaseReader, Row

_SHARE: Final = 512 * 1024
"""Bytes that one read takes from the store: 5 to 10 ms of work."""

_STATEMENT: Final = 1024
"""What a statement without a row counts, in such bytes: about 10 µs."""

_ROW: Final = 64
"""What a row counts besides the bytes in it."""

_STRETCH_S: Final = 0.0005
"""CPU time of a stretch of work: a tenth of Python's switch interval."""


class Pace:
    """Pace of one reading thread.

    Args:
        share: Bytes that one read takes from the store at most, but for what it can't do without.
        clock: CPU time of the thread, in seconds.
        rest: Lets other threads run for that many seconds.
    """

    def __init__(
        self,
        share: int = _SHARE,
        *,
        clock: Callable[[], float] = time.thread_time,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share = share
        self._clock = clock
        self._rest = rest
        self._since = clock()
        self._left = 0

    @property
    def is_over(self) -> bool:
        """Whether the read has had its share, and should end with what it has."""
        return self._left <= 0

    def begin(self) -> None:
        """Begin a read: it gets a new share."""
        self._left = self._share
        self._since = self._clock()

    def spend(self, size: int) -> None:
        """Count bytes that were read; rest if it is time to."""
        self._left -= size
        worked = self._clock() - self._since
        if worked >= _STRETCH_S:
            self._rest(worked)
            self._since = self._clock()


class PacedDatabaseReader(DatabaseReader):
    """Reading connection whose reads are paced; for a thread beside the event loop.

    Args:
        path: The file; another process may be writing to it.
        pace: The pace of its thread.
    """

    def __init__(self, path: Path, pace: Pace | None = None) -> None:
        super().__init__(path)
        self._pace = pace or Pace()

    @property
    def is_over(self) -> bool:
        """See `DatabaseReader.is_over`."""
        return self._pace.is_over

    def begin_share(self) -> None:
        """See `DatabaseReader.begin_share`."""
        self._pace.begin()

    def spend(self, size: int) -> None:
        """See `DatabaseReader.spend`."""
        self._pace.spend(size)

    def read(self, sql: str, *values: object) -> list[Row]:
        """Return all rows of a query, and count them."""
        rows = super().read(sql, *values)
        self._pace.spend(_STATEMENT + sum(map(_size, rows)))
        return rows

    def iterate(self, sql: str, *values: object) -> Iterator[Row]:
        """Yield the rows of a query, and count each."""
        self._pace.spend(_STATEMENT)
        for row in super().iterate(sql, *values):
            yield row
            self._pace.spend(_size(row))


def _size(row: Row) -> int:
    return _ROW + sum(len(each) for each in row if isinstance(each, bytes))
