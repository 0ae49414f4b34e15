"""Slow mode: when the members of a room wrote last."""

from collections import OrderedDict
from typing import Final

from qscpd.domain.rooms import RoomRow
from qscpd.store.sqlite.database import Database

_ROOMS: Final = 50_000
"""Rooms whose writers are remembered; as many as there are cached conversations."""

_WRITERS: Final = 10_000
"""Members of a room whose last message is remembered."""


class SlowMode:
    """Times of the last messages in rooms with slow mode, in milliseconds since the boot.

    A jump of the wall clock does not change them. A restart forgets them: it takes longer than most waits,
    and otherwise a member can write once too early. Beyond the bounds, the oldest times are forgotten.

    Attributes:
        added: Times of the running transaction, by room and account; a rollback forgets them.
    """

    def __init__(self, db: Database) -> None:
        self._rooms: OrderedDict[int, OrderedDict[int, int]] = OrderedDict()
        """Of committed messages, by room and account; what was written last comes last."""
        self.added: dict[tuple[int, int], int] = {}
        db.on_rollback(self.added.clear)

    def waited(self, room: RoomRow, account: int, now_ms: int) -> int | None:
        """Return the milliseconds since a member wrote last; None if not known, or without slow mode."""
        if not room.slow_s:
            return None
        wrote_ms = self.added.get((room.id, account))
        if wrote_ms is None and room.id in self._rooms:
            wrote_ms = self._rooms[room.id].get(account)
        return None if wrote_ms is None else now_ms - wrote_ms

    def wrote(self, room: RoomRow, account: int, now_ms: int) -> None:
        """Note that the running transaction stores a message of a member, if the room has slow mode."""
        if room.slow_s:
            self.added[room.id, account] = now_ms

    def apply(self) -> None:
        """Remember the times of the transaction, now that it is committed."""
        for (room, account), wrote_ms in self.added.items():
            writers = self._rooms.setdefault(room, OrderedDict())
            self._rooms.move_to_end(room)
            writers[account] = wrote_ms
            writers.move_to_end(account)
            if len(writers) > _WRITERS:
                writers.popitem(last=False)
            if len(self._rooms) > _ROOMS:
                self._rooms.popitem(last=False)
        self.added.clear()
