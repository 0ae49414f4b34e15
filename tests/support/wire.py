"""QSCP client without logic: frames are dictionaries, and a test can send invalid bytes.

TLS is an `ssl.SSLObject`, so that a test can cut a record in half, leave the handshake unfinished,
or end only one direction.
"""

import asyncio
import contextlib
import itertools
import json
import socket
import ssl
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.daemon import PASSWORD, Daemon
from tests.support.waiting import patiently

__all__ = ["Frame", "TlsClient", "Wire", "Wires", "chat", "client_context", "message_id"]

Frame = dict[str, Any]

_fresh_numbers = itertools.count(1 << 64)


def client_context(ca: Path, alpn: Iterable[str] = ("qscp/1",)) -> ssl.SSLContext:
    """Make the context of a client that trusts one authority."""
    context = ssl.create_default_context(cafile=ca)
    if protocols := list(alpn):
        context.set_alpn_protocols(protocols)
    return context


def message_id(number: int) -> str:
    """Return the message id of a number."""
    return f"{number:032x}"


def chat(to: str, body: str, number: int | None = None) -> Frame:
    """Make a message; without a number it has a new id, even on a shared daemon."""
    number = next(_fresh_numbers) if number is None else number
    return {"type": "chat", "to": to, "body": body, "id": message_id(number)}


class TlsClient:
    """Client side of TLS, sans-I/O.

    Attributes:
        established: Whether the handshake is done.
        closed: Whether the server sent `close_notify`.
    """

    def __init__(self, context: ssl.SSLContext, name: str = "localhost") -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self.established = False
        self.closed = False

    def receive(self, data: bytes) -> bytes:
        """Decrypt bytes from the wire, and return the plaintext in them.

        Raises:
            ssl.SSLError: The server broke TLS, or sent an alert.
        """
        self._incoming.write(data)
        plaintext = b""
        try:
            if not self.established:
                self.ssl.do_handshake()
                self.established = True
            while chunk := self.ssl.read(65536):
                plaintext += chunk
            self.closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # raised instead of an empty read after our own `close_notify`
            self.closed = True
        return plaintext

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return bytes for the wire."""
        self.ssl.write(plaintext)
        return self.outgoing()

    def close(self) -> bytes:
        """Return `close_notify`; what the server sends afterwards can still be received."""
        with contextlib.suppress(ssl.SSLError):
            self.ssl.unwrap()
        return self.outgoing()

    def outgoing(self) -> bytes:
        """Return and clear the bytes to send."""
        return self._outgoing.read()


class Wire:
    """A TCP connection to a daemon, with or without TLS on it.

    Attributes:
        tls: Its TLS.
        writer: Its TCP stream, for bytes that are not valid TLS.
        user: The user who logged in.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: TlsClient) -> None:
        self.writer = writer
        self.tls = tls
        self.user = ""
        self._reader = reader
        self._plaintext = bytearray()

    @classmethod
    async def plain(
        cls, port: int, ca: Path, *, read_buffer: int | None = None, source: str = "127.0.0.1"
    ) -> Self:
        """Connect by TCP alone.

        Args:
            port: The daemon's.
            ca: The authority to trust.
            read_buffer: Size of the socket's receive buffer; a small one fills up soon.
            source: Address to connect from; on Linux all of 127.0.0.0/8 are this machine's.
        """
        # asyncio turns Nagle off only where the protocol is named.
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if read_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer)
        plain.bind((source, 0))
        plain.setblocking(False)
        async with patiently():
            await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=plain)
        return cls(reader, writer, TlsClient(client_context(ca)))

    async def shake_hands(self) -> None:
        """Do the TLS handshake."""
        while True:
            self._plaintext += self.tls.receive(b"")
            self.writer.write(self.tls.outgoing())
            if self.tls.established:
                return
            await self._read()

    async def log_in(
        self, user: str, *, resume: bool = True, features: Sequence[str] = (), **fields: object
    ) -> Frame:
        """Log a user in, and return the `auth_ack`.

        Args:
            user: Name of the user; all have the same password.
            resume: Also send `resume`, and drop all frames up to `resumed`: later ones are live.
                Without it no message arrives at all.
            features: Optional features of the protocol to enable.
            **fields: More fields of `auth`.
        """
        self.user = user
        auth = {"type": "auth", "user": user, "password": PASSWORD, "features": list(features)}
        self.send({**auth, **fields})
        ack = await self.receive()
        assert ack["type"] == "auth_ack", ack
        if resume:
            self.send({"type": "resume", "positions": []})
            await self.receive_type("resumed")
        return ack

    # --- sending

    def send(self, *sent: Frame) -> None:
        """Send frames, as one record if they fit."""
        self.send_plaintext(b"".join(json.dumps(frame).encode() + b"\n" for frame in sent))

    def send_plaintext(self, plaintext: bytes) -> None:
        """Send bytes that might not be frames."""
        self.writer.write(self.tls.encrypt(plaintext))

    def send_close_notify(self) -> None:
        """End the TLS stream in this direction only."""
        self.writer.write(self.tls.close())

    async def close(self) -> None:
        """Close the socket."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Abort the connection with a TCP reset."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.writer.transport.abort()

    # --- receiving

    async def receive(self) -> Frame:
        """Return the next frame.

        Raises:
            EOFError: The stream ended.
        """
        while b"\n" not in self._plaintext:
            await self._read()
        line, _, self._plaintext = self._plaintext.partition(b"\n")
        frame: Frame = json.loads(line)
        return frame

    async def receive_type(self, kind: str) -> Frame:
        """Return the next frame of a type; those before it are dropped."""
        while (frame := await self.receive())["type"] != kind:
            pass
        return frame

    async def drain(self) -> list[Frame]:
        """Return the frames received up to now, without presence."""
        self.send({"type": "ping"})
        frames = []
        while (frame := await self.receive())["type"] != "pong":
            if frame["type"] not in ("online_users", "presence"):
                frames.append(frame)
        return frames

    async def receive_count(self, kind: str, count: int) -> list[Frame]:
        """Return the next frames of a type; others between them are dropped."""
        return [await self.receive_type(kind) for _ in range(count)]

    async def rest(self) -> list[Frame]:
        """Return all frames until the end of the stream, or a reset."""
        frames = []
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                frames.append(await self.receive())
        return frames

    async def bye(self) -> list[Frame]:
        """Send `bye`, return the frames up to the end, and close."""
        self.send({"type": "bye"})
        frames = await self.rest()
        await self.close()
        return frames

    async def ended(self) -> None:
        """Wait until the server has ended the TCP stream, in order or by a reset."""
        async with patiently():
            with contextlib.suppress(ConnectionError):
                while await self._reader.read(65536):
                    pass

    async def _read(self) -> None:
        async with patiently():
            data = await self._reader.read(65536)
        self._plaintext += self.tls.receive(data)
        if answer := self.tls.outgoing():
            self.writer.write(answer)
        if not data or (self.tls.closed and b"\n" not in self._plaintext):
            raise EOFError


class Wires:
    """Connections of a test, closed at its end."""

    def __init__(self, ca: Path) -> None:
        self._ca = ca
        self._open: list[Wire] = []

    async def plain(
        self, daemon: Daemon, *, read_buffer: int | None = None, source: str = "127.0.0.1"
    ) -> Wire:
        """Connect by TCP alone."""
        wire = await Wire.plain(daemon.port, self._ca, read_buffer=read_buffer, source=source)
        self._open.append(wire)
        return wire

    async def connect(
        self, daemon: Daemon, *, read_buffer: int | None = None, source: str = "127.0.0.1"
    ) -> Wire:
        """Connect, and do the TLS handshake."""
        wire = await self.plain(daemon, read_buffer=read_buffer, source=source)
        await wire.shake_hands()
        return wire

    async def login(
        self,
        daemon: Daemon,
        *users: str,
        resume: bool = True,
        features: Sequence[str] = (),
        **fields: object,
    ) -> list[Wire]:
        """Connect and log in each user; see `Wire.log_in`."""
        wires = []
        for user in users:
            wire = await self.connect(daemon)
            await wire.log_in(user, resume=resume, features=features, **fields)
            wires.append(wire)
        return wires

    async def close(self) -> None:
        """Close all of them."""
        for wire in self._open:
            await wire.close()
