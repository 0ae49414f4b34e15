"""Frames about rooms: `join`, `leave`, `room`, `rooms`.

Whether something may be done is decided by `qscpd.domain.rooms`, in the store; what is only asked for
is answered from memory.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from qscp import frames
from qscp.errors import ErrorCode, InvalidNameError, InvalidTextError
from qscp.rooms import PERMISSIONS, RANKS, ROOM_FIELDS, check_topic, normalize_room
from qscpd.accounts.directory import Directory
from qscpd.chat.presence import Presence
from qscpd.chat.rooms import LiveRoom, Rooms
from qscpd.chat.submission import SubmissionQueue
from qscpd.domain.model import LogRow
from qscpd.domain.rooms import FOREVER_MS, NO_MEMBERSHIP, DeniedError, RoomChange
from qscpd.errors import StoreBusyError, StoreFullError
from qscpd.sessions.requests import Asking, refusal
from qscpd.sessions.session import Session
from qscpd.store.writer import StoreWriter

__all__ = ["RoomRequests"]

_PAGE: Final = 50
"""Rooms in a page: with the longest names and topics some 45 KiB."""

_MEMBERS: Final = 200
"""Members in a page: with the longest names some 30 KiB."""

_LOG: Final = 40
"""Entries of a log in a page: with the longest texts some 40 KiB."""

_FIELDS: Final = ("user", "role", "text", "seconds", "kind", "history", "cursor")


class RoomRequests:
    """Answers them.

    Args:
        submissions: What sessions send to the store; a change of a room comes after all of it.
    """

    def __init__(
        self,
        rooms: Rooms,
        directory: Directory,
        presence: Presence,
        writer: StoreWriter[Session],
        asking: Asking,
        submissions: SubmissionQueue,
    ) -> None:
        self._rooms = rooms
        self._directory = directory
        self._presence = presence
        self._writer = writer
        self._asking = asking
        self._submissions = submissions

    def join(self, session: Session, frame: frames.Join) -> None:
        """Answer `join`."""
        self._asking.ask(session, frame, self._come_or_go)

    def leave(self, session: Session, frame: frames.Leave) -> None:
        """Answer `leave`."""
        self._asking.ask(session, frame, self._come_or_go)

    def room(self, session: Session, frame: frames.RoomRequest) -> None:
        """Answer `room`."""
        self._asking.ask(session, frame, self._answer)

    def list_rooms(self, session: Session, frame: frames.RoomsRequest) -> None:
        """Answer `rooms`."""
        self._asking.ask(session, frame, self._list_rooms)

    # --- changing

    async def _come_or_go(self, account: int, frame: frames.Join | frames.Leave) -> frames.ServerFrame:
        try:
            name = normalize_room(frame.room)
        except InvalidNameError:
            return refusal(frame, ErrorCode.BAD_ROOM_NAME)
        return await self._change(frame, RoomChange(action=frame.type, room=name, actor=account))

    async def _answer(self, account: int, frame: frames.RoomRequest) -> frames.ServerFrame:
        try:
            name = normalize_room(frame.room)
            check_topic(frame.text or "")
        except InvalidNameError:
            return refusal(frame, ErrorCode.BAD_ROOM_NAME)
        except InvalidTextError as error:
            return refusal(frame, error.code)
        given = {field for field in _FIELDS if getattr(frame, field) is not None}
        needed, allowed = ROOM_FIELDS[frame.action]
        if not needed <= given <= needed | allowed:
            return refusal(frame, ErrorCode.BAD_FIELD)
        look = self._looking.get(frame.action)
        if look is not None:
            return await self._look(account, frame, name, look)
        target = self._directory.by_name(frame.user) if frame.user is not None else None
        if frame.user is not None and target is None:
            return refusal(frame, ErrorCode.UNKNOWN_USER)
        change = RoomChange(
            action=frame.action,
            room=name,
            actor=account,
            target=target.id if target else None,
            role=frame.role,
            text=frame.text or "",
            seconds=frame.seconds,
            kind=frame.kind,
            history=frame.history,
        )
        return await self._change(frame, change)

    async def _change(
        self, frame: frames.Join | frames.Leave | frames.RoomRequest, change: RoomChange
    ) -> frames.ServerFrame:
        room = self._rooms.by_name(change.room)
        if room is not None:  # What its session wrote before comes before.
            self._submissions.barrier(room.row.id)
        try:
            await self._writer.change_room(change, lambda result: self._rooms.apply(result, change))
        except DeniedError as error:
            return refusal(frame, error.code)
        except StoreFullError:
            return refusal(frame, ErrorCode.STORAGE_FULL)
        except StoreBusyError:
            return refusal(frame, ErrorCode.STORAGE_FAILED)
        action = frame.action if isinstance(frame, frames.RoomRequest) else ""
        return frames.RoomAck(frame.type, change.room, action)

    # --- looking

    @property
    def _looking(
        self,
    ) -> dict[str, Callable[[LiveRoom, frames.RoomRequest], Awaitable[frames.ServerFrame]]]:
        return {"members": self._members, "log": self._log}

    async def _look(
        self,
        account: int,
        frame: frames.RoomRequest,
        name: str,
        look: Callable[[LiveRoom, frames.RoomRequest], Awaitable[frames.ServerFrame]],
    ) -> frames.ServerFrame:
        room = self._rooms.by_name(name)
        membership = room.memberships.get(account, NO_MEMBERSHIP) if room is not None else NO_MEMBERSHIP
        if room is None or not room.visible_to(account):
            return refusal(frame, ErrorCode.UNKNOWN_ROOM)
        if membership.role is None:
            return refusal(frame, ErrorCode.NOT_A_MEMBER)
        if RANKS[membership.role] < RANKS[PERMISSIONS[frame.action]]:
            return refusal(frame, ErrorCode.NOT_ALLOWED)
        return await look(room, frame)

    async def _members(self, room: LiveRoom, frame: frames.RoomRequest) -> frames.ServerFrame:
        cursor = frame.cursor or ""
        names = self._directory.names
        people = sorted(
            (names.get(account, ""), membership)
            for account, membership in room.memberships.items()
            if membership.role is not None and names.get(account, "") > cursor
        )
        page = [
            frames.Member(name, membership.role, self._presence.of(name).status, membership.muted_until_ms)
            for name, membership in people[:_MEMBERS]
            if membership.role is not None
        ]
        return frames.RoomMembers(room.row.name, page, page[-1].user if len(people) > _MEMBERS else None)

    async def _log(self, room: LiveRoom, frame: frames.RoomRequest) -> frames.ServerFrame:
        cursor = frame.cursor or ""
        before = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 16 else None  # noqa: PLR2004
        rows = await self._writer.call(lambda store: store.room_log(room.row.id, before, _LOG))
        entries = [self._entry(row) for row in rows]
        return frames.RoomLog(room.row.name, entries, str(rows[-1].id) if len(rows) == _LOG else None)

    def _entry(self, row: LogRow) -> frames.LogEntry:
        names = self._directory.names
        return frames.LogEntry(
            time=row.time_ms,
            by=names.get(row.actor or 0, ""),
            action=row.action,
            user=names.get(row.target or 0, ""),
            seq=row.seq,
            until=None if row.until_ms == FOREVER_MS else row.until_ms,
            text=row.text,
        )

    async def _list_rooms(self, account: int, frame: frames.RoomsRequest) -> frames.ServerFrame:
        page: list[frames.Room] = []
        names: Sequence[str] = self._rooms.names_after(frame.cursor)
        for name in names:
            room = self._rooms.by_name(name)
            if room is None or not room.visible_to(account):
                continue
            if len(page) == _PAGE:
                return frames.Rooms(page, page[-1].name)
            page.append(room.described(account))
        return frames.Rooms(page)
