"""What the running daemon does with a request on its admin socket."""

import os
import time

from qscp import __version__
from qscp.errors import ErrorCode
from qscpd.admin import AccountInfo, DaemonStatus, Done, Reply, Request, Status, perform
from qscpd.router import Router
from qscpd.session import Session
from qscpd.store.base import Account, AccountState
from qscpd.store.writer import StoreWriter

__all__ = ["LiveAdmin"]


class LiveAdmin:
    """Performs requests on the store's thread and lets them take effect on the live sessions."""

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
        reply = await self._writer.call(lambda store: perform(request, store))
        if isinstance(reply, Done):
            self._apply(reply.account)
        return reply

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
            self._router.end_account(account.id, ErrorCode.LOCKED)
        elif account.state is AccountState.DELETED:
            self._router.end_account(account.id, ErrorCode.DELETED)
