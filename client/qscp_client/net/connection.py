"""TLS connection to a server, with `qscp.ClientConnection` on it."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from qscp import ALPN, frames
from qscp.connection import ClientConnection
from qscp.states import State
from qscp_client.errors import IncompatibleError
from qscp_client.net.address import ServerAddress
from qscp_client.net.silence import Due, Patience, SilenceWatch
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
        patience: How long to wait for the server after that.

    Raises:
        TrustError: The CA file can't be used.
    """

    def __init__(
        self,
        address: ServerAddress,
        ca: Path,
        timeout_s: float = CONNECT_TIMEOUT_S,
        patience: Patience | None = None,
    ) -> None:
        self.address = address
        self._ca = ca
        self._timeout_s = timeout_s
        self._patience = patience or Patience()
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
                    host,
                    port,
                    ssl=self._context,
                    server_hostname=self.address.certified,
                    ssl_handshake_timeout=self._timeout_s,
                )
        except OSError as error:
            raise explain(error, self.address, self._ca) from error
        except UnicodeError as error:  # a name that has a form of its own, and no form in DNS
            raise explain(socket.gaierror(), self.address, self._ca) from error
        link = Link(reader, writer, self._patience)
        session: ssl.SSLObject = writer.get_extra_info("ssl_object")
        if session.selected_alpn_protocol() != ALPN:
            await link.close()
            raise IncompatibleError(
                f"{self.address} speaks TLS, but not QSCP/1. Check host and port (--server)."
            )
        return link


class Link:
    """A verified connection. One task can receive while another sends.

    Args:
        reader: What comes from the server.
        writer: Where frames go.
        patience: How long to wait for the server.

    Attributes:
        on_late: Called with True when an answer is late, and with False when none is any more.
        is_dead: Whether the server was silent for too long.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: Patience
    ) -> None:
        self.on_late: Callable[[bool], None] = lambda _: None
        self.is_dead = False
        self._reader = reader
        self._writer = writer
        self._connection = ClientConnection()
        self._unhandled: list[frames.ServerFrame] = []
        self._loop = asyncio.get_running_loop()
        self._silence = SilenceWatch(self._loop.time(), patience)
        self._timeout: asyncio.Timeout | None = None
        self._is_late = False

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
        """Wait for frames. Meanwhile a silent server is pinged; see `silence`.

        Returns:
            At least one frame, or none if the connection has ended or the server counts as dead.

        Raises:
            RemoteProtocolError: The server broke the protocol.
        """
        if self._unhandled:
            arrived, self._unhandled = self._unhandled, []
            return arrived
        while received := await self._read():
            now = self._loop.time()
            self._silence.arrived(now)
            self._connection.receive_data(received)
            arrived = list(self._connection.events())
            for frame in arrived:
                self._silence.received(frame, now)
            self._report_late(now)
            if arrived:
                return arrived
        return []

    async def _read(self) -> bytes:
        """Wait for bytes; return none if the connection is lost."""
        while True:
            self._timeout = asyncio.timeout_at(self._silence.next_due())
            try:
                async with self._timeout:
                    return await self._reader.read(_READ_SIZE)
            except OSError:
                if not self._timeout.expired():
                    return b""  # reset, or a broken TLS record: the connection is lost
            finally:
                self._timeout = None
            if not self._go_on():
                return b""

    def _go_on(self) -> bool:
        """Do what is due in a silence; return False if the server counts as dead."""
        now = self._loop.time()
        due = self._silence.check(now)
        self._report_late(now)
        if due is Due.PING and self.state is State.READY:
            self.send(frames.ClientPing())
        self.is_dead = due is Due.GIVE_UP
        return not self.is_dead

    def _report_late(self, now: float) -> None:
        is_late = self._silence.is_late(now)
        if is_late != self._is_late:
            self._is_late = is_late
            self.on_late(is_late)

    def suspect(self) -> None:
        """Ping the server, and give it only a short time to answer: the connection might be lost."""
        if self.state is State.READY:
            self.send(frames.ClientPing())
            self._silence.suspect(self._loop.time())
            self._move_timeout()

    def _move_timeout(self) -> None:
        if self._timeout is not None:
            with contextlib.suppress(RuntimeError):  # it is just over
                self._timeout.reschedule(self._silence.next_due())

    def put_back(self, unhandled: list[frames.ServerFrame]) -> None:
        """Return frames that were received too early; the next `receive` returns them again."""
        self._unhandled = unhandled

    def send(self, frame: frames.ClientFrame) -> None:
        """Encode a frame, and hand it to the transport without waiting; see `drain`."""
        self._connection.send(frame)
        self._silence.sent(frame, self._loop.time())
        self._move_timeout()
        self._writer.write(self._connection.data_to_send())

    async def drain(self) -> None:
        """Wait while the transport has too much to send; return at once if the connection is lost."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def close(self) -> None:
        """Close the connection; abort it if the server is dead, or does not agree within 2 s."""
        if self.is_dead:
            self._writer.transport.abort()
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except TimeoutError:
            # Only here: abort() of a closed transport raises in Python 3.11.2.
            self._writer.transport.abort()
        except OSError:
            pass  # lost already
