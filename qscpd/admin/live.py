"""Perform admin requests in the running daemon."""

import asyncio
import os
import time
from functools import partial
from typing import Final

from qscp import __version__
from qscp.errors import ErrorCode
from qscpd.admin import (
    AccountInfo,
    ArchiveRoom,
    CreateRoom,
    DaemonStatus,
    DeleteRoom,
    Done,
    Erased,
    EraseUser,
    Failed,
    Reply,
    Request,
    RoomAction,
    RoomRequest,
    Status,
    begin_erasing,
    change_room,
    perform,
    room_reply,
)
from qscpd.chat.router import Router
from qscpd.domain.model import Account, AccountState, RoomResult
from qscpd.domain.rooms import NO_MEMBERSHIP
from qscpd.sessions.session import Session
from qscpd.store.base import Store
from qscpd.store.writer import StoreWriter

_ERASING_S: Final = 1.0
"""How long one request erases: the operator sees progress, and a stopping daemon waits no longer."""

_PAUSE_S: Final = 0.005
"""Pause between two steps of erasing, so that it takes at most half of the store's time."""


class LiveAdmin:
    """Performs requests on the store's thread and applies them to the live sessions."""

    def __init__(self, router: Router, writer: StoreWriter[Session]) -> None:
        self._router = router
        self._writer = writer
        self._started = time.monotonic()

    async def handle(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            StoreError: The store can't do it.
        """
        if isinstance(request, Status):
            return self._status()
        if isinstance(request, EraseUser):
            return await self._erase(request)
        if isinstance(request, CreateRoom | ArchiveRoom | DeleteRoom):
            return await self._change_room(request)
        reply = await self._writer.call(lambda store: perform(request, store))
        if isinstance(reply, Done):
            self._apply(reply.account)
            await self._refresh_rooms(reply.account.id)
        return reply

    async def _change_room(self, request: RoomRequest) -> Reply:
        """Change a room; its members are notified before anything that is committed later."""
        return room_reply(await self._writer.call(partial(change_room, request), self._apply_to_room))

    def _apply_to_room(self, done: RoomAction | Failed) -> None:
        if not isinstance(done, Failed):
            self._router.rooms.apply(done.result, done.change)

    async def _refresh_rooms(self, account: int) -> None:
        """Apply to the rooms of a deleted account that it left, and that others may own them now."""
        if self._router.directory.by_id(account) is not None:
            return
        rooms = self._router.rooms
        for conversation in rooms.known_to(account):
            await self._writer.call(partial(_read_room, conversation, account), rooms.apply)

    async def _erase(self, request: EraseUser) -> Reply:
        """Delete the account, then erase for a while, a small step at a time."""
        reply = await self._writer.call(lambda store: begin_erasing(request, store))
        if not isinstance(reply, Done):
            return reply
        self._apply(reply.account)
        await self._refresh_rooms(reply.account.id)
        # What its sessions sent before they ended is committed first, and erased with the rest.
        self._router.submissions.barrier()
        account = reply.account.id
        deadline = time.monotonic() + _ERASING_S
        while await self._writer.call(lambda store: store.housekeeping.erase_step(account)):
            if time.monotonic() >= deadline:
                return Erased(reply.account, done=False)
            await asyncio.sleep(_PAUSE_S)
        due = await self._writer.call(lambda store: store.housekeeping.compaction_due())
        return Erased(reply.account, done=True, compaction_due=due)

    def _status(self) -> DaemonStatus:
        return DaemonStatus(
            version=__version__,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started, 3),
            connections=len(self._router),
            sessions=self._router.logged_in_count,
            users_online=len(self._router.presence),
        )

    def _apply(self, info: AccountInfo) -> None:
        account = Account(info.id, info.name, AccountState(info.state), info.created_ms)
        self._router.directory.update(account)
        if account.state is AccountState.LOCKED:
            self._router.close_account(account.id, ErrorCode.LOCKED)
        elif account.state is AccountState.DELETED:
            self._router.close_account(account.id, ErrorCode.DELETED)


def _read_room(conversation: int, account: int, store: Store) -> RoomResult:
    return RoomResult(store.room(conversation), {account: NO_MEMBERSHIP, **store.memberships(conversation)})
