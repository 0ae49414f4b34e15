"""Listening sockets of the daemon, and their links."""

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from qscpd.config import Config, ListenAddress
from qscpd.errors import PermissionDeniedError, QscpdError
from qscpd.net.link import Link, LinkSession

_BACKLOG: Final = 1024
"""Connections that the kernel queues for us; limited by net.core.somaxconn."""

_HANDSHAKES_S: Final = 0.002
"""Time budget for handshakes per loop iteration; one takes 0.5 to 1 ms."""

_log = structlog.stdlib.get_logger("qscpd.net.listener")


class Listener:
    """Acceptor of connections, and owner of their links.

    Attributes:
        config: The daemon's configuration.
        context: The TLS context of new connections.
        links: All links that are not gone yet.
        addresses: Addresses as `host:port`, with the actual port instead of 0.
    """

    def __init__(
        self, config: Config, context: ssl.SSLContext, open_session: Callable[[Link], LinkSession]
    ) -> None:
        self.config = config
        self.context = context
        self.links: set[Link] = set()
        self.addresses: list[str] = []
        self._open_session = open_session
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._gone = asyncio.Event()
        self._pending_handshakes: deque[Link] = deque()
        """Links with unprocessed input of a handshake."""
        self._refused = 0
        """Connections refused since the last tick because of `max_connections`."""

    def admit(self, link: Link) -> bool:
        """Register a new link, or return False if there are too many or the daemon is stopping."""
        if not self._servers:
            return False
        if len(self.links) >= self.config.server.max_connections:
            self._refused += 1
            return False
        self.links.add(link)
        return True

    def schedule_handshake(self, link: Link) -> None:
        """Queue a link whose handshake can continue."""
        self._pending_handshakes.append(link)
        if len(self._pending_handshakes) == 1:
            self._loop.call_soon(self._run_handshakes)

    def _run_handshakes(self) -> None:
        """Continue handshakes within the time budget; then it is the sessions' turn."""
        until = time.monotonic() + _HANDSHAKES_S
        while self._pending_handshakes and time.monotonic() < until:
            self._pending_handshakes.popleft().proceed()
        if self._pending_handshakes:
            self._loop.call_soon(self._run_handshakes)

    def open_session(self, link: Link) -> LinkSession:
        """Create the session of a link after its handshake."""
        return self._open_session(link)

    def bind(self) -> None:
        """Bind all configured addresses; the kernel queues connections until `accept`.

        Raises:
            QscpdError: An address can't be used; the text says which one and why.
        """
        self._sockets = _bind_all(self.config.server.listen)
        for each in self._sockets:
            host, port = each.getsockname()[:2]
            self.addresses.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def accept(self) -> None:
        """Start accepting connections."""
        for each in self._sockets:
            server = await self._loop.create_server(self._link, sock=each, backlog=_BACKLOG)
            self._servers.append(server)

    def stop_accepting(self) -> None:
        """Close the sockets; links stay open."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for each in self._sockets:
            each.close()
        self._sockets.clear()

    def tick(self) -> None:
        """Check the deadlines of all links; called once a second."""
        if self._refused:  # one line per second, so that a flood of connections does not flood the log
            _log.warning("link.refused", reason="max_connections", links=self._refused)
            self._refused = 0
        now = self._loop.time()
        for link in list(self.links):
            link.tick(now)

    async def all_gone(self) -> None:
        """Wait until no link is left."""
        while self.links:
            self._gone.clear()
            await self._gone.wait()

    def forget(self, link: Link) -> None:
        """Remove a link that is gone."""
        self.links.discard(link)
        self._gone.set()

    def abort_all(self, reason: str) -> None:
        """Abort all links."""
        for link in list(self.links):
            link.abort(reason)

    def abort_handshakes(self, reason: str) -> None:
        """Abort all links whose handshake is not done."""
        for link in list(self.links):
            if not link.tls.established:
                link.abort(reason)

    def _link(self) -> Link:
        return Link(self, self._loop)


def _bind_all(addresses: Sequence[ListenAddress]) -> list[socket.socket]:
    with contextlib.ExitStack() as bound:
        sockets = [bound.enter_context(_bind(address)) for address in addresses]
        bound.pop_all()  # success: keep them open
        return sockets


def _bind(address: ListenAddress) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise QscpdError(f"server.listen: {address}: {error.strerror}") from error
    family, _, _, _, sockaddr = found[0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # On every system 0.0.0.0 and :: are two separate addresses.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(sockaddr)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise _explain(error, address) from error
    return bound


def _explain(error: OSError, address: ListenAddress) -> QscpdError:
    if error.errno == errno.EADDRINUSE:
        return QscpdError(
            f"server.listen: {address}: the port is in use; stop the other program or change the port"
        )
    if error.errno == errno.EACCES:
        return PermissionDeniedError(
            f"server.listen: {address}: ports below 1024 need root or CAP_NET_BIND_SERVICE; use port 7727"
        )
    return QscpdError(f"server.listen: {address}: {error.strerror}")
