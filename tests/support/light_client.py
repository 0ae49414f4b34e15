"""Light client: a connection without a device's record, so that thousands fit in a process.

`tests.support.network_device` is the careful one, which checks every promise.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Self

from qscp import frames
from qscp.connection import ClientConnection
from qscp.states import State
from tests.support.daemon import PASSWORD
from tests.support.loopback import READ, open_loopback

__all__ = ["LightClient", "LoginRefusedError"]


class LoginRefusedError(Exception):
    """The server refused a login.

    Attributes:
        code: Code of the `auth_nack`.
        retry_after: Seconds to wait before the next attempt; 0 if the server named none.
    """

    def __init__(self, nack: frames.AuthNack) -> None:
        super().__init__(nack.code)
        self.code = nack.code
        self.retry_after = nack.retry_after or 0.0


class LightClient:
    """One connection of a client.

    It answers pings. Time limits are up to the caller.

    Attributes:
        ended: The reason of the server's `bye`, or the code of its `error`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ended = ""
        self._reader = reader
        self._writer = writer
        self._connection = ClientConnection()

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext, address: str | None = None) -> Self:
        """Connect to a daemon on the loopback, and do the TLS handshake.

        Args:
            port: The daemon's.
            context: TLS context.
            address: Address to connect from, such as 127.0.0.2.

        Raises:
            OSError: The server can't be reached, or closed the connection.
        """
        reader, writer = await open_loopback(port, context, address)
        return cls(reader, writer)

    async def log_in(
        self, user: str, *, password: str = PASSWORD, device: str = "", features: Sequence[str] = ()
    ) -> frames.AuthAck:
        """Send `auth`, and return the server's `auth_ack`.

        Raises:
            LoginRefusedError: The server refused it.
            EOFError: The connection ended.
        """
        self.send(frames.Auth(user=user, password=password, device=device, features=list(features)))
        while True:
            for frame in await self.receive():
                if isinstance(frame, frames.AuthAck):
                    return frame
                if isinstance(frame, frames.AuthNack):
                    raise LoginRefusedError(frame)

    def send(self, *sent: frames.ClientFrame) -> None:
        """Send frames, unless the connection has ended."""
        if self._connection.state is State.CLOSED or self._writer.transport.is_closing():
            return
        for frame in sent:
            self._connection.send(frame)
        self._writer.write(self._connection.data_to_send())

    async def write(self, lines: bytes) -> None:
        """Send bytes past the protocol's state, and wait until most of them are gone.

        Raises:
            OSError: The connection broke.
        """
        self._writer.write(lines)
        await asyncio.sleep(0)  # `drain` alone gives the loop no turn to notice that the connection is lost
        await self._writer.drain()

    async def receive(self) -> list[frames.ServerFrame]:
        """Return the next frames; the list can be empty.

        Raises:
            OSError: The connection broke.
            EOFError: It ended; `ended` has the reason, if the server named one.
        """
        data = await self._reader.read(READ)
        if not data:
            raise EOFError(self.ended)
        self._connection.receive_data(data)
        received = list(self._connection.events())
        for frame in received:
            match frame:
                case frames.ServerPing():
                    self.send(frames.ClientPong())
                case frames.ServerBye(reason=reason):
                    self.ended = reason
                case frames.Error(code=code, ref=None):
                    self.ended = code
                case _:
                    pass
        return received

    async def run(self, handle: Callable[[frames.ServerFrame], object]) -> None:
        """Handle each frame until the connection ends.

        Raises:
            OSError: The connection broke.
            EOFError: It ended.
        """
        while True:
            for frame in await self.receive():
                handle(frame)

    async def discard(self) -> None:
        """Read and discard everything until the connection ends, without decoding it."""
        while await self._reader.read(READ):
            pass

    def stop_reading(self) -> None:
        """Read nothing more from the socket."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a WriteTransport by its type only

    def drop(self) -> None:
        """Abort the connection; what is in flight is lost."""
        self._writer.transport.abort()
