"""Perform admin requests in the running daemon."""

import asyncio
import time
from typing import Final

import structlog

from qscp.errors import ErrorCode
from qscpd.admin import (
    Accounts,
    ConfirmClock,
    Done,
    Erased,
    EraseUser,
    ListUsers,
    LockUser,
    Reply,
    Request,
    Status,
    UnlockUser,
    account_info,
    begin_erasing,
    perform,
)
from qscpd.admin.status import StatusReport
from qscpd.chat.router import Router
from qscpd.errors import StoreBusyError, StoreFullError
from qscpd.sessions.session import Session
from qscpd.store.writer import StoreWriter

_log = structlog.stdlib.get_logger("qscpd.admin")

_ERASING_S: Final = 1.0
"""How long one request erases: the operator sees progress, and a stopping daemon waits no longer."""

_PAUSE_S: Final = 0.005
"""Pause between two steps of erasing, so that it takes at most half of the store's time."""


class LiveAdmin:
    """Performs requests on the store's thread; the bus has their events before the answer."""

    def __init__(self, router: Router, writer: StoreWriter[Session], status: StatusReport) -> None:
        self._router = router
        self._writer = writer
        self._status = status

    async def handle(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            StoreError: The store can't do it.
        """
        if isinstance(request, Status):
            return await self._status.make()
        if isinstance(request, EraseUser):
            return await self._erase(request)
        if isinstance(request, ListUsers):
            accounts = self._router.directory.accounts
            return Accounts([account_info(accounts[name]) for name in sorted(accounts)])
        if isinstance(request, LockUser):
            return await self._lock(request)
        if isinstance(request, UnlockUser):
            account = self._router.directory.by_name(request.name)
            if account is not None:
                self._router.directory.drop_unstored_lock(account)
        reply = await self._writer.perform(lambda store: perform(request, store))
        if isinstance(request, ConfirmClock):
            await self._status.check_clock()
        return reply

    async def _lock(self, request: LockUser) -> Reply:
        """Lock an account; if the store can't be changed, at least until the daemon ends."""
        try:
            return await self._writer.perform(lambda store: perform(request, store))
        except (StoreFullError, StoreBusyError) as error:
            account = self._router.directory.by_name(request.name)
            if account is None:
                raise
            self._router.directory.lock_unstored(account)
            self._router.close_account(account.id, ErrorCode.LOCKED)
            _log.error("admin.lock_not_stored", account=account.name, reason=str(error))
            raise type(error)(
                f"{error}. {account.name} is locked only until qscpd ends, because that could not be stored: "
                f"run `qscpd lock {account.name}` again"
            ) from error

    async def _erase(self, request: EraseUser) -> Reply:
        """Delete the account, then erase for a while, a small step at a time."""
        reply = await self._writer.perform(lambda store: begin_erasing(request, store))
        if not isinstance(reply, Done):
            return reply
        # What its sessions sent before they ended is committed first, and erased with the rest.
        self._router.submissions.barrier()
        account = reply.account.id
        deadline = time.monotonic() + _ERASING_S
        while await self._writer.perform(lambda store: store.housekeeping.erase_step(account)):
            if time.monotonic() >= deadline:
                return Erased(reply.account, done=False)
            await asyncio.sleep(_PAUSE_S)
        due = await self._writer.perform(lambda store: store.housekeeping.compaction_due())
        damaged = await self._writer.perform(lambda store: store.housekeeping.erase_damaged(account))
        if damaged:
            _log.error("erase.damaged", account=f"a{account}", places=damaged)
        return Erased(reply.account, done=True, compaction_due=due, damaged=damaged)
