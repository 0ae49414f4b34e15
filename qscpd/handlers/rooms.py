"""Handlers of `join`, `leave`, `room` and `rooms`.

`qscpd.domain.rooms` decides, in the store, whether a change is allowed. Members and the list of rooms
are answered from memory, the moderation log from the store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from qscp import frames
from qscp.errors import ErrorCode, InvalidNameError, InvalidTextError
from qscp.rooms import ROOM_FIELDS, check_topic, normalize_room
from qscpd.chat.live_room import LiveRoom
from qscpd.chat.router import Router
from qscpd.domain.ids import parse_conversation
from qscpd.domain.model import LogRow
from qscpd.domain.rooms import FOREVER_MS, DeniedError, RoomChange, action_refusal
from qscpd.errors import StoreBusyError, StoreDamagedError, StoreFullError
from qscpd.handlers.room_limiter import RoomLimiter
from qscpd.sessions.answers import refusal
from qscpd.sessions.identity import Identity
from qscpd.sessions.requests import RequestRunner
from qscpd.sessions.session import Session
from qscpd.store.reads import StoreReads
from qscpd.store.writer import StoreWriter

_PAGE: Final = 50
"""Rooms in a page: with the longest names and topics some 45 KiB."""

_MEMBERS: Final = 200
"""Members in a page: with the longest names some 30 KiB."""

_LOG: Final = 40
"""Entries of a log in a page: with the longest texts some 40 KiB."""

_LOOKED_AT: Final = 500
"""Rooms looked at in one turn of the loop: some 0.5 ms, where most are closed to the user."""

_FIELDS: Final = ("user", "role", "text", "seconds", "kind", "history", "cursor")


class RoomHandlers:
    """Handlers of joining, leaving, changing and listing rooms."""

    def __init__(
        self, router: Router, writer: StoreWriter[Session], reads: StoreReads, requests: RequestRunner
    ) -> None:
        self._rooms = router.rooms
        self._directory = router.directory
        self._visibility = router.visibility
        self._submissions = router.submissions
        self._limiter = RoomLimiter(router)
        self._writer = writer
        self._reads = reads
        self._requests = requests

    def join(self, session: Session, identity: Identity, frame: frames.Join) -> None:
        """Answer `join`."""
        self._requests.answer(session, identity, frame, self._join_or_leave)

    def leave(self, session: Session, identity: Identity, frame: frames.Leave) -> None:
        """Answer `leave`."""
        self._requests.answer(session, identity, frame, self._join_or_leave)

    def room(self, session: Session, identity: Identity, frame: frames.RoomRequest) -> None:
        """Answer `room`."""
        self._requests.answer(session, identity, frame, self._room)

    def rooms(self, session: Session, identity: Identity, frame: frames.RoomsRequest) -> None:
        """Answer `rooms`."""
        self._requests.answer(session, identity, frame, self._list_rooms)

    # --- changing

    async def _join_or_leave(self, account: int, frame: frames.Join | frames.Leave) -> frames.ServerFrame:
        try:
            name = normalize_room(frame.room)
        except InvalidNameError:
            return refusal(frame, ErrorCode.BAD_ROOM_NAME)
        return await self._change(account, frame, RoomChange(action=frame.type, room=name, actor=account))

    async def _room(self, account: int, frame: frames.RoomRequest) -> frames.ServerFrame:
        try:
            name = normalize_room(frame.room)
            check_topic(frame.text or "")
        except InvalidNameError:
            return refusal(frame, ErrorCode.BAD_ROOM_NAME)
        except InvalidTextError as error:
            return refusal(frame, error.code, message=str(error))
        given = {field for field in _FIELDS if getattr(frame, field) is not None}
        needed, allowed = ROOM_FIELDS[frame.action]
        if not needed <= given <= needed | allowed:
            return refusal(frame, ErrorCode.BAD_FIELD)
        read = {"members": self._members, "log": self._log}.get(frame.action)
        if read is not None:
            return await self._read(account, frame, name, read)
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
            most_owned=self._limiter.most_owned if frame.action == "create" else None,
        )
        return await self._change(account, frame, change)

    async def _change(
        self, account: int, frame: frames.Join | frames.Leave | frames.RoomRequest, change: RoomChange
    ) -> frames.ServerFrame:
        room = None if change.actor is None else self._rooms.visible(change.room, change.actor)
        if room is not None:  # What was sent before the change is committed before it.
            await self._submissions.passed(room=room.row.id)
        try:
            with self._limiter.counted(account, change):
                await self._writer.change_room(change)
        except DeniedError as error:
            return refusal(frame, error.code, message=str(error), retry_after_s=error.retry_after_s)
        except StoreFullError:
            return refusal(frame, ErrorCode.STORAGE_FULL)
        except (StoreBusyError, StoreDamagedError):
            return refusal(frame, ErrorCode.STORAGE_FAILED)
        action = frame.action if isinstance(frame, frames.RoomRequest) else ""
        return frames.RoomAck(frame.type, change.room, action)

    # --- reading

    async def _read(
        self,
        account: int,
        frame: frames.RoomRequest,
        name: str,
        read: Callable[[int, LiveRoom, frames.RoomRequest], Awaitable[frames.ServerFrame]],
    ) -> frames.ServerFrame:
        room = self._rooms.visible(name, account)
        if room is None:
            return refusal(frame, ErrorCode.UNKNOWN_ROOM)
        membership = room.membership(account)
        if (code := action_refusal(room.row, membership, frame.action)) is not None:
            return refusal(frame, code)
        return await read(account, room, frame)

    async def _members(self, viewer: int, room: LiveRoom, frame: frames.RoomRequest) -> frames.ServerFrame:
        cursor = frame.cursor or ""
        names = self._directory.names
        members = sorted(
            (names.get(account, ""), account, membership)
            for account, membership in room.memberships.items()
            if membership.role is not None and names.get(account, "") > cursor
        )
        page = [
            frames.Member(name, membership.role, self._status(viewer, each), membership.muted_until_ms)
            for name, each, membership in members[:_MEMBERS]
            if membership.role is not None
        ]
        return frames.RoomMembers(room.row.name, page, page[-1].user if len(members) > _MEMBERS else None)

    def _status(self, viewer: int, member: int) -> frames.Status:
        account = self._directory.by_id(member)
        return self._visibility.of(viewer, account).status if account is not None else "offline"

    async def _log(self, _viewer: int, room: LiveRoom, frame: frames.RoomRequest) -> frames.ServerFrame:
        cursor = frame.cursor or ""
        before = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 16 else None  # noqa: PLR2004
        await self._writer.drained()  # The log has what the session did before.
        rows = await self._reads.room_log(room.row.id, before, _LOG)
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
        for number, name in enumerate(names, 1):
            if number % _LOOKED_AT == 0:
                await asyncio.sleep(0)
            room = self._rooms.described(name, account)
            if room is None:
                continue
            if len(page) == _PAGE:
                return frames.Rooms(await self._explained(account, page), page[-1].name)
            page.append(room)
        return frames.Rooms(await self._explained(account, page))

    async def _explained(self, account: int, page: list[frames.Room]) -> list[frames.Room]:
        """Add to the rooms of a page who muted the account, and why; only the log has that."""
        for room in page:
            number = parse_conversation(room.conversation)
            if room.role is None or not room.muted or number is None:
                continue
            self._rooms.explain_mute(room, await self._reads.last_mute(number, account))
        return page
