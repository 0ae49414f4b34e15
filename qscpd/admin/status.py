"""Status of the running daemon, as `qscpd status` shows it."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Final

from qscp import __version__
from qscpd.admin import DaemonStatus
from qscpd.build import commit
from qscpd.certificates.watch import CertificateWatch
from qscpd.chat.router import Router
from qscpd.domain.clock import ClockDoubt
from qscpd.errors import StoreError
from qscpd.net.bound_addresses import BoundAddresses
from qscpd.sessions.session import Session
from qscpd.store.damage import DamageLog
from qscpd.store.writer import StoreWriter

_CLOCK_PATIENCE_S: Final = 1.0
"""How long a status waits for the store's thread; then it has the last check, of a minute ago at most."""


class StatusReport:
    """Collector of what the parts of the daemon say of themselves.

    Args:
        router: The sessions.
        writer: The store, whose wall clock is checked.
        damage: Damaged places of the store.
        bound: Addresses that the daemon listens on.
        certificate: The certificate's dates.
        dropped_lines: Returns the number of lines that are missing in the log.
        schema: Schema of the store.
    """

    def __init__(
        self,
        router: Router,
        writer: StoreWriter[Session],
        damage: DamageLog,
        bound: BoundAddresses,
        certificate: CertificateWatch,
        dropped_lines: Callable[[], int],
        *,
        schema: int,
    ) -> None:
        self._router = router
        self._writer = writer
        self._damage = damage
        self._bound = bound
        self._certificate = certificate
        self._dropped_lines = dropped_lines
        self._schema = schema
        self._commit = commit()
        self._started = time.monotonic()

    async def make(self) -> DaemonStatus:
        """Return the status of this moment."""
        doubt = self._writer.clock.doubt
        # A store that hangs or has failed must not keep the operator from the rest.
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(_CLOCK_PATIENCE_S):
                doubt = await self.check_clock()
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
            commit=self._commit,
            schema=self._schema,
            log_dropped=self._dropped_lines(),
            listen=self._bound.addresses,
            listen_missing=self._bound.missing,
            listen_skipped=self._bound.skipped,
            certificate_ends=f"{self._certificate.ends:%Y-%m-%dT%H:%M:%SZ}",
            certificate_problem=self._certificate.problem(),
        )

    def attention(self) -> list[str]:
        """Return what needs the operator's attention, a few words each; the unit's status line has it."""
        found = []
        if self._writer.clock.doubt:
            found.append("the wall clock is not confirmed")
        if self._bound.missing:
            found.append(f"this machine lacks {', '.join(self._bound.missing)}")
        if self._certificate.problem():
            found.append("the certificate needs attention")
        return [*found, "see `qscpd status`"] if found else []

    async def check_clock(self) -> ClockDoubt | None:
        """Check the wall clock now; log what changed."""
        return await self._writer.perform(lambda store: self._writer.clock.check(store.housekeeping))
