"""Stored rooms for tests that need one."""

from typing import Final

from qscp.rooms import HistoryFrom, RoomKind
from qscpd.domain.rooms import RoomRow, RoomState

__all__ = ["ROOM"]

ROOM: Final = RoomRow(
    id=7,
    name="#dev",
    kind=RoomKind.OPEN,
    history=HistoryFrom.JOINING,
    topic="",
    slow_s=0,
    state=RoomState.ACTIVE,
    created_ms=0,
    first_seq=1,
    last_seq=40,
    members=1,
    owners=1,
)
"""An open room with forty messages; `_replace` makes others of it."""
