"""A store with bad days, and rooms in a store."""

from collections.abc import Sequence
from pathlib import Path

from qscp.rooms import HistoryFrom
from qscpd.domain.model import Mark, Moved, NewMessage, Outcome, RoomResult
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.store.base import Store
from qscpd.store.sqlite.store import SqliteStore

__all__ = ["FickleStore", "add_room"]


def add_room(store: Store, name: str, owner: str, *members: str, history: HistoryFrom) -> None:
    """Make a room with people in it."""
    ids = {account.name: account.id for account in store.accounts()}
    store.change_room(RoomChange(action="create", room=name, actor=ids[owner], history=history))
    for member in members:
        store.change_room(RoomChange(action="join", room=name, actor=ids[member]))


class FickleStore(SqliteStore):
    """A real store that refuses to write when told to.

    Attributes:
        full: Whether the disk is full.
        busy: Whether somebody else holds the store.
        broken: Whether appending ends with an error of unknown outcome: it was done, but who knows.
        appended: How many messages each transaction had.
    """

    def __init__(self, path: Path) -> None:
        self.full = self.busy = self.broken = False
        self.appended: list[int] = []
        super().__init__(path, edit_within_ms=3_600_000)

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

    def change_rooms(self, changes: Sequence[RoomChange]) -> Sequence[RoomResult | DeniedError]:
        """Change rooms, or not."""
        if self.full:
            raise StoreFullError("no room on the disk")
        return super().change_rooms(changes)
