"""Perform admin requests in the running daemon."""

import asyncio
import os
import time
from typing import Final

import structlog

from qscp import __version__
from qscpd.admin import (
    Accounts,
    DaemonStatus,
    Done,
    Erased,
    EraseUser,
    ListUsers,
    Reply,
    Request,
    Status,
    account_info,
    begin_erasing,
    perform,
)
from qscpd.chat.router import Router
from qscpd.sessions.session import Session
from qscpd.store.damage import DamageLog
from qscpd.store.writer import StoreWriter

_log = structlog.stdlib.get_logger("qscpd.admin")

_ERASING_S: Final = 1.0
"""How long one request erases: the operator sees progress, and a stopping daemon waits no longer."""

_PAUSE_S: Final = 0.005
"""Pause between two steps of erasing, so that it takes at most half of the store's time."""


class LiveAdmin:
    """Performs requests on the store's thread; the bus has their events before the answer."""

    def __init__(self, router: Router, writer: StoreWriter[Session], damage: DamageLog) -> None:
        self._router = router
        self._writer = writer
        self._damage = damage
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
        if isinstance(request, ListUsers):
            accounts = self._router.directory.accounts
            return Accounts([account_info(accounts[name]) for name in sorted(accounts)])
        return await self._writer.perform(lambda store: perform(request, store))

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

    def _status(self) -> DaemonStatus:
        return DaemonStatus(
            version=__version__,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started, 3),
            connections=len(self._router),
            sessions=self._router.logged_in_count,
            users_online=len(self._router.presence),
            damaged=self._damage.count,
        )
