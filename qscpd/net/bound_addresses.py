"""Addresses that the daemon listens on: their sockets, and which of them the machine has at this moment."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final

import structlog

from qscpd.config import Endpoint, IPAddress, ListenAddress
from qscpd.net.listen_plan import ListenPlan, missing_reason, skip_reason
from qscpd.net.local_addresses import AddressState, probe_address

_PROBES: Final = 32
"""Addresses that are looked at in one turn of the loop; one takes some 50 µs."""

_log = structlog.stdlib.get_logger("qscpd.net.listener")


class BoundAddresses:
    """Listening sockets, and the addresses of them that the machine lacks.

    Attributes:
        sockets: The sockets; the owner closes them by `close`.
        skipped: Addresses that could not be bound, because this machine lacks their family.
    """

    def __init__(
        self, sockets: Sequence[tuple[Endpoint, socket.socket]] = (), plan: ListenPlan | None = None
    ) -> None:
        self._plan = plan or ListenPlan()
        self.sockets = [each for _, each in sockets]
        self.skipped = [str(endpoint) for endpoint in self._plan.skipped]
        self._endpoints = [
            Endpoint(ListenAddress(endpoint.entry.host, each.getsockname()[1]), endpoint.ip)
            for endpoint, each in sockets
        ]
        """With the actual port."""
        self._watched = [
            (endpoint, _bound_ip(each))
            for endpoint, each in zip(self._endpoints, self.sockets, strict=True)
            if not endpoint.ip.is_unspecified
        ]
        self._missing: set[Endpoint] = set()
        self._next = 0
        """Index of the address that the next tick looks at."""

    @property
    def addresses(self) -> list[str]:
        """All addresses as `host:port`, with the actual port instead of 0."""
        return list(map(str, self._endpoints))

    @property
    def missing(self) -> list[str]:
        """Those that the machine lacked when it was last looked at."""
        return [str(each) for each in self._endpoints if each in self._missing]

    def report(self) -> None:
        """Log which addresses are skipped and which are missing."""
        if self._plan.skipped:
            _log.warning("listen.skipped", reason=skip_reason(self._plan.skipped))
        lacking = {endpoint.ip for endpoint in self._plan.missing}
        for endpoint, _ in self._watched:
            if endpoint.ip in lacking:
                self._note(endpoint, missing=True)

    def tick(self) -> None:
        """Look at one address, in turn; called once a second."""
        if self._watched:
            self._look(*self._watched[self._next % len(self._watched)])
            self._next += 1

    async def check(self) -> None:
        """Look at all addresses."""
        for count, watched in enumerate(self._watched, 1):
            self._look(*watched)
            if count % _PROBES == 0:
                await asyncio.sleep(0)

    def close(self) -> None:
        """Close all sockets."""
        for each in self.sockets:
            each.close()
        self.sockets.clear()

    def _look(self, endpoint: Endpoint, ip: IPAddress) -> None:
        self._note(endpoint, missing=probe_address(ip) is not AddressState.HERE)

    def _note(self, endpoint: Endpoint, *, missing: bool) -> None:
        """Note whether an address is missing; log a change."""
        if missing == (endpoint in self._missing):
            return
        if missing:
            self._missing.add(endpoint)
            _log.warning("listen.missing", address=str(endpoint), reason=missing_reason(endpoint))
        else:
            self._missing.discard(endpoint)
            _log.warning("listen.missing.over", address=str(endpoint))


def _bound_ip(bound: socket.socket) -> IPAddress:
    """Return the address of a socket, a link-local one with the index of its interface.

    An interface that is made anew has the same name and another index, and nothing reaches the socket.
    """
    host, *_, scope = bound.getsockname()
    ip = ip_address(host.partition("%")[0])
    return IPv6Address(f"{ip}%{scope}") if isinstance(ip, IPv6Address) and ip.is_link_local else ip
