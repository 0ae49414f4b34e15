"""A store with bad days."""

from collections.abc import Sequence
from pathlib import Path

from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.store.base import Mark, Moved, NewMessage, Outcome
from qscpd.store.sqlite import SqliteStore

__all__ = ["FickleStore"]


class FickleStore(SqliteStore):
    """A real store that refuses to append when told to.

    Attributes:
        full: Whether the disk is full.
        busy: Whether somebody else holds the store.
        broken: Whether appending ends with an error of unknown outcome: it was done, but who knows.
        appended: How many messages each transaction had.
    """

    def __init__(self, path: Path) -> None:
        self.full = self.busy = self.broken = False
        self.appended: list[int] = []
        super().__init__(path)

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark] = ()
    ) -> tuple[Sequence[Outcome], Sequence[Moved | None]]:
        """Append, or not."""
        if self.full:
            raise StoreFullError("no room on the disk")
        if self.busy:
            raise StoreBusyError("locked by another program")
        result = super().append(messages, marks)
        if self.broken:
            raise StoreError("disk I/O error")
        self.appended.append(len(messages))
        return result
