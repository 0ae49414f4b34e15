"""Damaged places of a store: logged once each, and counted."""

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

_PLACES: Final = 10_000
"""Places that are remembered: about 2 MiB. Others are neither logged nor counted."""

_log = structlog.stdlib.get_logger("qscpd.store")


class DamagedPlace(NamedTuple):
    """A place of the store that can't be read."""

    problem: str
    conversation: int = 0
    """0: not in a conversation."""
    first: int = 0
    """The first seq."""
    last: int = 0
    chunk: int | None = None
    """Number of the row in the store; None: it is missing."""

    def __str__(self) -> str:
        """Return place and problem, for the operator."""
        if not self.conversation:
            return self.problem
        return f"messages {self.first} to {self.last} of c{self.conversation}: {self.problem}"


OnDamage = Callable[[DamagedPlace], None]
"""Called with each damaged place, on any thread, and again whenever it is read."""


class DamageLog:
    """Logs each damaged place once; it is called on any thread.

    Args:
        write: Writes a place that was not seen before; None: to the log.
    """

    def __init__(self, write: OnDamage | None = None) -> None:
        self._write = write or _write_to_log
        self._lock = threading.Lock()
        self._seen: set[tuple[object, ...]] = set()

    def __call__(self, place: DamagedPlace) -> None:
        """Log a place, unless it was logged before."""
        key = (place.conversation, place.last) if place.conversation else (place.problem,)
        with self._lock:
            if key in self._seen or len(self._seen) >= _PLACES:
                return
            self._seen.add(key)
        self._write(place)

    @property
    def count(self) -> int:
        """Number of places, at most 10,000."""
        return len(self._seen)


def _write_to_log(place: DamagedPlace) -> None:
    if not place.conversation:
        _log.error("store.damaged", problem=place.problem)
        return
    _log.error(
        "store.damaged",
        conversation=f"c{place.conversation}",
        first=place.first,
        last=place.last,
        chunk=place.chunk,
        problem=place.problem,
    )
