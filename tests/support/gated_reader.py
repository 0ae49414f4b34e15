"""A reader that a test can stop before or inside its snapshot."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from qscpd.store.sqlite.database import DatabaseReader, Row
from qscpd.store.sqlite.reader import SqliteReads
from tests.support.waiting import PATIENCE_S, until

__all__ = ["BEFORE", "INSIDE", "GatedReader", "ReadGate"]

BEFORE: Final = "before"
"""Before the snapshot of a read begins."""

INSIDE: Final = "inside"
"""In the snapshot of a read, after its first query."""

_METHODS: Final = ("conversations", "conversation_list", "history_page", "replay_page", "search")

P = ParamSpec("P")
T = TypeVar("T")


class ReadGate:
    """Gate that can stop reads; it is open at first.

    Attributes:
        waiting: Number of reads that wait now.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._closed_for = ("", "")
        self._changed = threading.Condition()

    def close(self, point: str, method: str) -> None:
        """Stop the reads of a method of `StoreReader` at a point, until the gate is opened."""
        with self._changed:
            self._closed_for = point, method

    def open(self) -> None:
        """Open the gate, and release waiting reads."""
        with self._changed:
            self._closed_for = ("", "")
            self.waiting = 0
            self._changed.notify_all()

    async def stopped(self) -> None:
        """Wait until a read waits at the gate."""
        await until(lambda: self.waiting)

    def pass_through(self, point: str, method: str) -> None:
        """Wait while the gate is closed for a method at a point; called by readers."""
        place = point, method
        with self._changed:
            if self._closed_for == place:
                self.waiting += 1
                assert self._changed.wait_for(lambda: self._closed_for != place, PATIENCE_S)


class _GatedDatabase(DatabaseReader):
    """A reading connection that passes the gate after each query, and each row of a long one.

    Attributes:
        method: The method that reads.
    """

    method = ""

    def __init__(self, path: Path, gate: ReadGate) -> None:
        super().__init__(path)
        self._gate = gate

    def read(self, sql: str, *values: object) -> list[Row]:
        """Read, then wait."""
        rows = super().read(sql, *values)
        self._gate.pass_through(INSIDE, self.method)
        return rows

    def iterate(self, sql: str, *values: object) -> Iterator[Row]:
        """Read; wait after each row."""
        for row in super().iterate(sql, *values):
            self._gate.pass_through(INSIDE, self.method)
            yield row


class GatedReader(SqliteReads):
    """A real reader whose longer reads pass a gate.

    Args:
        path: The store.
        gate: The gate.
    """

    def __init__(self, path: Path, gate: ReadGate) -> None:
        self._gated_db = _GatedDatabase(path, gate)
        self._gate = gate
        super().__init__(self._gated_db)
        for method in _METHODS:
            setattr(self, method, self._gated(method, getattr(self, method)))

    def _gated(self, method: str, read: Callable[P, T]) -> Callable[P, T]:
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            self._gate.pass_through(BEFORE, method)
            self._gated_db.method = method
            try:
                return read(*args, **kwargs)
            finally:
                self._gated_db.method = ""

        return run
