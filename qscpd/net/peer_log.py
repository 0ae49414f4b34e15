"""Lines of the daemon's own log that a peer can cause, as many as its budget allows."""

import logging
import time
from collections.abc import Callable

import structlog

from qscpd.net.address_policy import shown_address
from qscpd.net.address_share import source_of
from qscpd.net.line_budget import OTHERS, LineBudget

_log = structlog.stdlib.get_logger("qscpd.net.peer_log")


class PeerLog:
    """Writer of events that peers cause: ten lines a minute and source, then one with the count.

    The source is the address before the login, and the account after it.

    Args:
        addresses: `log.addresses` of the configuration.
        per_minute: `log.lines_per_minute` of the configuration.
        clock: Seconds that never go back.

    Attributes:
        addresses: The same; a change is in force at once.
        budget: Counts the lines.
    """

    def __init__(self, addresses: str, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.addresses = addresses
        self.budget = LineBudget(clock, per_minute)

    def write(
        self,
        log: structlog.stdlib.BoundLogger,
        event: str,
        remote: str,
        account: int | None = None,
        *,
        level: int = logging.INFO,
        **fields: object,
    ) -> None:
        """Write a line, or count it.

        Args:
            log: Where to write it.
            event: What happened; a constant of the code.
            remote: Address of the peer's socket.
            account: Id of its account; None before the login.
            level: Level of the line.
            fields: Further fields; `remote` is added before the login.
        """
        source = source_of(remote, account)
        shown = self._shown(remote) if account is None else None
        if self.budget.spend(event, source, (log, level, shown, account)):
            where = {"remote": shown} if account is None else {"account": source}
            log.log(level, event, **where, **fields)

    def tick(self) -> None:
        """Write the summaries of a minute that is over; called once a second."""
        self._write_repeats(now=False)

    def close(self) -> None:
        """Write the summaries of the last minute."""
        self._write_repeats(now=True)

    def _write_repeats(self, *, now: bool) -> None:
        for kind, source, count, last in self.budget.collect(now=now):
            if source == OTHERS or not isinstance(last, tuple):
                _log.warning(kind, remote=None, others=True, count=count)
                continue
            log, level, shown, account = last
            where = {"remote": shown} if account is None else {"account": source}
            log.log(level, kind, **where, count=count)

    def _shown(self, remote: str) -> str | None:
        return shown_address(remote, self.addresses, failure=True)
