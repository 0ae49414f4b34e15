"""The wire: one TLS connection with `qscp.ClientConnection` on it."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from qscp import ALPN, frames
from qscp.connection import ClientConnection
from qscp.states import State
from qscp_client.errors import IncompatibleError
from qscp_client.net.address import ServerAddress
from qscp_client.net.tls import explain, make_context

__all__ = ["CONNECT_TIMEOUT_S", "Link", "Server"]

CONNECT_TIMEOUT_S: Final = 10.0
"""For the TLS handshake; twice that for TCP and TLS together. Three retransmissions of a SYN take 7 s."""

_READ_SIZE: Final = 64 * 1024
_CLOSE_TIMEOUT_S: Final = 2.0


class Server:
    """A server that one can connect to: its address and whom to trust.

    Args:
        address: Where it is.
        ca: File with the certificate of its CA.
        timeout_s: How long to wait for the TLS handshake; twice that for TCP and TLS together.

    Raises:
        TrustError: The CA file can't be used.
    """

    def __init__(self, address: ServerAddress, ca: Path, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self.address = address
        self._ca = ca
        self._timeout_s = timeout_s
        self._context = make_context(ca)

    async def connect(self) -> "Link":
        """Connect and verify.

        Raises:
            ClientError: Why it did not work; nothing was sent but the TLS handshake.
        """
        host, port = self.address
        try:
            # Two deadlines, so that a server that is silent in TLS is told from one that is not there.
            async with asyncio.timeout(2 * self._timeout_s):
                reader, writer = await asyncio.open_connection(
                    host, port, ssl=self._context, ssl_handshake_timeout=self._timeout_s
                )
        except (OSError, UnicodeError) as error:
            # UnicodeError: a name that no DNS label can hold.
            cause = error if isinstance(error, OSError) else OSError(str(error))
            raise explain(cause, self.address, self._ca) from error
        link = Link(reader, writer)
        session: ssl.SSLObject = writer.get_extra_info("ssl_object")
        if session.selected_alpn_protocol() != ALPN:
            await link.close()
            raise IncompatibleError(
                f"{self.address} speaks TLS, but not QSCP/1. Check host and port (--server)."
            )
        return link


class Link:
    """A verified connection. One task may receive and another send at the same time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = ClientConnection()
        self._put_back: list[frames.ServerFrame] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def state(self) -> State:
        """Where the connection is, as the protocol sees it."""
        return self._connection.state

    async def receive(self) -> list[frames.ServerFrame]:
        """Wait for frames.

        Returns:
            At least one frame; none when the connection has ended.

        Raises:
            RemoteProtocolError: The server broke the protocol.
        """
        if self._put_back:
            arrived, self._put_back = self._put_back, []
            return arrived
        while True:
            try:
                received = await self._reader.read(_READ_SIZE)
            except OSError:
                return []  # reset, or a broken TLS record: lost, either way
            if not received:
                return []
            self._connection.receive_data(received)
            if arrived := list(self._connection.events()):
                return arrived

    def put_back(self, unread: list[frames.ServerFrame]) -> None:
        """Let the next `receive` return frames again that somebody else has to handle."""
        self._put_back = unread

    def send(self, frame: frames.ClientFrame) -> None:
        """Queue a frame and hand it to the transport; `drain` waits until there is room again."""
        self._connection.send(frame)
        self._writer.write(self._connection.data_to_send())

    async def drain(self) -> None:
        """Wait while the server takes in less than we send; returns at once when the connection is lost."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def close(self) -> None:
        """Close; does not wait long for the server to agree."""
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except TimeoutError:
            # Only then: abort() of a closed transport raises in Python 3.11.2.
            self._writer.transport.abort()
        except OSError:
            pass  # lost already
