"""Perform admin requests in the running daemon."""

import asyncio
import contextlib
import os
import time
from typing import Final

import structlog

from qscp import __version__
from qscp.errors import ErrorCode
from qscpd.admin import (
    Accounts,
    ConfirmClock,
    DaemonStatus,
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
from qscpd.chat.router import Router
from qscpd.domain.clock import ClockDoubt
from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.net.bound_addresses import BoundAddresses
from qscpd.sessions.session import Session
from qscpd.store.damage import DamageLog
from qscpd.store.writer import StoreWriter

_log = structlog.stdlib.get_logger("qscpd.admin")

_ERASING_S: Final = 1.0
"""How long one request erases: the operator sees progress, and a stopping daemon waits no longer."""

_CLOCK_PATIENCE_S: Final = 1.0
"""How long a status waits for the store's thread; then it has the last check, of a minute ago at most."""

_PAUSE_S: Final = 0.005
"""Pause between two steps of erasing, so that it takes at most half of the store's time."""

_log = structlog.stdlib.get_logger("qscpd.admin")


class LiveAdmin:
    """Performs requests on the store's thread; the bus has their events before the answer."""

    def __init__(
        self, router: Router, writer: StoreWriter[Session], damage: DamageLog, bound: BoundAddresses
    ) -> None:
        self._router = router
        self._writer = writer
        self._damage = damage
        self._bound = bound
        self._started = time.monotonic()

    async def handle(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            StoreError: The store can't do it.
        """
        if isinstance(request, Status):
            return await self._status()
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
            await self._check_clock()
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

    async def _check_clock(self) -> ClockDoubt | None:
        """Check the wall clock now; log what changed."""
        return await self._writer.perform(lambda store: self._writer.clock.check(store.housekeeping))

    async def _status(self) -> DaemonStatus:
        doubt = self._writer.clock.doubt
        # A store that hangs or has failed must not keep the operator from the rest.
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(_CLOCK_PATIENCE_S):
                doubt = await self._check_clock()
        await self._bound.check()
        return DaemonStatus(
            version=__version__,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started, 3),
            connections=len(self._router),
            sessions=self._router.logged_in_count,
            users_online=len(self._router.presence),
            clock_confirmed=doubt is None,
            clock_ahead_s=round((doubt.wall_ms - doubt.expected_ms) / 1000) if doubt is not None else None,
            clock_left_s=doubt.left_ms // 1000 if doubt is not None else None,
            damaged=self._damage.count,
            listen=self._bound.addresses,
            listen_missing=self._bound.missing,
            listen_skipped=self._bound.skipped,
        )
