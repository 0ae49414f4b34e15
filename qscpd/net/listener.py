"""The sockets that the daemon listens on, and the links that came in by them."""

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

__all__ = ["Listener"]

_BACKLOG: Final = 1024
"""Connections that the kernel may keep for us; it cuts this to net.core.somaxconn."""

_HANDSHAKES_S: Final = 0.002
"""How long handshakes go on before everybody else has a turn; one takes half a millisecond to a whole one."""

_log = structlog.stdlib.get_logger("qscpd.net.listener")


class Listener:
    """Accepts connections and keeps watch over them.

    Attributes:
        config: The daemon's configuration.
        context: The TLS context of new connections.
        links: Every link that is not gone yet.
        addresses: Where it listens, as `host:port`; the real port where 0 was asked for.
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
        self._at_the_door: deque[Link] = deque()
        """Links with something of a handshake that was not handled yet."""
        self._refused = 0
        """Since the last tick, because there were too many."""

    def admit(self, link: Link) -> bool:
        """Count a new link in, unless there are too many or the daemon is stopping."""
        if not self._servers:
            return False
        if len(self.links) >= self.config.server.max_connections:
            self._refused += 1
            return False
        self.links.add(link)
        return True

    def let_in(self, link: Link) -> None:
        """Let a handshake go on when it is its turn."""
        self._at_the_door.append(link)
        if len(self._at_the_door) == 1:
            self._loop.call_soon(self._let_some_in)

    def _let_some_in(self) -> None:
        """Go on with handshakes for a moment; then it is the turn of those who are in."""
        until = time.monotonic() + _HANDSHAKES_S
        while self._at_the_door and time.monotonic() < until:
            self._at_the_door.popleft().proceed()
        if self._at_the_door:
            self._loop.call_soon(self._let_some_in)

    def open_session(self, link: Link) -> LinkSession:
        """Make the session of a link whose handshake is done."""
        return self._open_session(link)

    def bind(self) -> None:
        """Take every configured address; the kernel keeps connections for `accept`.

        Raises:
            QscpdError: An address can't be used; the text says which and why.
        """
        self._sockets = _bind_all(self.config.server.listen)
        for each in self._sockets:
            host, port = each.getsockname()[:2]
            self.addresses.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def accept(self) -> None:
        """Begin to take connections."""
        for each in self._sockets:
            server = await self._loop.create_server(self._link, sock=each, backlog=_BACKLOG)
            self._servers.append(server)

    def stop_accepting(self) -> None:
        """Close the sockets; links live on."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for each in self._sockets:
            each.close()
        self._sockets.clear()

    def tick(self) -> None:
        """Look at every link's deadlines; once a second."""
        if self._refused:  # who is flooded with connections need not be flooded with lines of a log
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
        """A link is gone."""
        self.links.discard(link)
        self._gone.set()

    def abort_all(self, reason: str) -> None:
        """End every link now."""
        for link in list(self.links):
            link.abort(reason)

    def abort_strangers(self, reason: str) -> None:
        """End every link whose handshake is not done."""
        for link in list(self.links):
            if not link.tls.established:
                link.abort(reason)

    def _link(self) -> Link:
        return Link(self, self._loop)


def _bind_all(addresses: Sequence[ListenAddress]) -> list[socket.socket]:
    with contextlib.ExitStack() as bound:
        sockets = [bound.enter_context(_bind(address)) for address in addresses]
        bound.pop_all()  # all went well: they stay open
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
            # 0.0.0.0 and :: are two addresses, on every system alike.
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
        return PermissionDeniedError(f"server.listen: {address}: ports below 1024 need more rights; use 7727")
    return QscpdError(f"server.listen: {address}: {error.strerror}")
