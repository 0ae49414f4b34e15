"""Budget of log lines that peers can cause: the first few a minute are written, the rest are counted."""

from collections.abc import Callable
from typing import Final, NamedTuple

_MINUTE_S: Final = 60.0

_SOURCES: Final = 1024
"""Addresses or accounts of one kind of line that are counted one by one in a minute; others share a count."""

_ALL_SOURCES: Final = 65_536
"""The same for lines of which each source has its own; some 30 MiB."""

_TOTAL: Final = 1000
"""Lines of one kind in a minute, whatever their number of sources."""

OTHERS: Final = ""
"""Source of what the sources beyond `_SOURCES` have caused."""


class Repeats(NamedTuple):
    """Lines that were counted instead of written, for the summary of a minute."""

    kind: str
    source: str
    lines: int
    last: object
    """What `spend` was given with the last one; None for `OTHERS`."""


class _Entry:
    __slots__ = ("count", "last", "written")

    def __init__(self) -> None:
        self.written = self.count = 0
        self.last: object = None


class LineBudget:
    """Counts lines by kind and source, and says which of them to write.

    Args:
        clock: Seconds that never go back.
        sources: Most sources of one kind that are counted one by one in a minute.
        total: Lines of one kind in a minute, whatever their number of sources.

    Attributes:
        per_minute: Lines of one kind that one source can cause in a minute.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        per_minute: int,
        *,
        sources: int = _SOURCES,
        total: int = _TOTAL,
    ) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._sources = sources
        self._total = total
        self._ends = clock() + _MINUTE_S
        self._entries: dict[str, dict[str, _Entry]] = {}
        self._written: dict[str, int] = {}

    def spend(self, kind: str, source: str, last: object = None, *, all_sources: bool = True) -> bool:
        """Return whether to write a line; if not, it is counted.

        Args:
            kind: What the line says; a constant of the code.
            source: The address or account that caused it.
            last: What the summary shows of the last one.
            all_sources: Whether lines of all sources together are limited, too. If not, something else has
                to limit them, because nearly each source is counted by itself.
        """
        entries = self._entries.setdefault(kind, {})
        entry = entries.get(source)
        if entry is None:
            if len(entries) >= (self._sources if all_sources else _ALL_SOURCES):
                source, last = OTHERS, None
            entry = entries.setdefault(source, _Entry())
        written = self._written.get(kind, 0)
        if entry.written < self.per_minute and (
            written < max(self._total, self.per_minute) or not all_sources
        ):
            entry.written += 1
            self._written[kind] = written + 1
            return True
        entry.count += 1
        entry.last = last
        return False

    def collect(self, *, now: bool = False) -> list[Repeats]:
        """Return what was only counted, and begin another minute, if the minute is over.

        Args:
            now: Do so before the minute is over: nothing more comes.
        """
        if not now and self._clock() < self._ends:
            return []
        self._ends = self._clock() + _MINUTE_S
        entries, self._entries, self._written = self._entries, {}, {}
        return [
            Repeats(kind, source, entry.count, entry.last)
            for kind, of_kind in entries.items()
            for source, entry in of_kind.items()
            if entry.count
        ]
