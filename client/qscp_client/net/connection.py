"""TLS connection to a server, with `qscp.ClientConnection` on it."""

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

CONNECT_TIMEOUT_S: Final = 10.0
"""Timeout of the TLS handshake; TCP and TLS together have twice that. Three retries of a SYN take 7 s."""

_READ_SIZE: Final = 64 * 1024
_CLOSE_TIMEOUT_S: Final = 2.0


class Server:
    """A server to connect to: its address, and the CA that it must be verified by.

    Args:
        address: Its host and port.
        ca: File with the CA's certificate.
        timeout_s: Timeout of the TLS handshake in seconds; TCP and TLS together have twice that.

    Raises:
        TrustError: The CA file can't be used.
    """

    def __init__(self, address: ServerAddress, ca: Path, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self.address = address
        self._ca = ca
        self._timeout_s = timeout_s
        self._context = make_context(ca)

    async def connect(self) -> "Link":
        """Connect, and verify the server.

        Raises:
            ClientError: It failed, and nothing but the TLS handshake was sent; the message says why.
        """
        host, port = self.address
        try:
            # Two deadlines, so that the error says whether TCP or TLS was not answered.
            async with asyncio.timeout(2 * self._timeout_s):
                reader, writer = await asyncio.open_connection(
                    host, port, ssl=self._context, ssl_handshake_timeout=self._timeout_s
                )
        except (OSError, UnicodeError) as error:
            # UnicodeError: the host is too long for a DNS label, or has an empty one.
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
    """A verified connection. One task can receive while another sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = ClientConnection()
        self._unhandled: list[frames.ServerFrame] = []

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
        """The state of the connection in the protocol."""
        return self._connection.state

    async def receive(self) -> list[frames.ServerFrame]:
        """Wait for frames.

        Returns:
            At least one frame, or none if the connection has ended.

        Raises:
            RemoteProtocolError: The server broke the protocol.
        """
        if self._unhandled:
            arrived, self._unhandled = self._unhandled, []
            return arrived
        while True:
            try:
                received = await self._reader.read(_READ_SIZE)
            except OSError:
                return []  # reset, or a broken TLS record: the connection is lost
            if not received:
                return []
            self._connection.receive_data(received)
            if arrived := list(self._connection.events()):
                return arrived

    def put_back(self, unhandled: list[frames.ServerFrame]) -> None:
        """Return frames that were received too early; the next `receive` returns them again."""
        self._unhandled = unhandled

    def send(self, frame: frames.ClientFrame) -> None:
        """Encode a frame, and hand it to the transport without waiting; see `drain`."""
        self._connection.send(frame)
        self._writer.write(self._connection.data_to_send())

    async def drain(self) -> None:
        """Wait while the transport has too much to send; return at once if the connection is lost."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def close(self) -> None:
        """Close the connection; abort it if the server does not agree within 2 s."""
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except TimeoutError:
            # Only here: abort() of a closed transport raises in Python 3.11.2.
            self._writer.transport.abort()
        except OSError:
            pass  # lost already
