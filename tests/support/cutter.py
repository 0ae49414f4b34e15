"""TCP proxy that cuts connections after a number of bytes, even in a record or the handshake."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from tests.support.proxy import Proxy

__all__ = ["Cut", "WireCutter"]


class Cut(NamedTuple):
    """When and how a connection ends."""

    to_server: int
    """Bytes of the client that reach the server."""
    to_client: int
    """Bytes of the server that reach the client."""
    reset: bool
    """Whether both get a reset instead of an end of the stream."""
    chunk: int
    """Most bytes carried at a time."""


class WireCutter(Proxy):
    """The proxy; an asynchronous context manager.

    Args:
        port: Where the server listens.
        choose: Returns how the next connection ends; None if it is not cut.

    Attributes:
        cuts: How many connections were cut.
        handshakes_cut: How many of them in the handshake: before the server had sent 1000 bytes.
    """

    def __init__(self, port: int, choose: Callable[[], Cut | None]) -> None:
        super().__init__(port)
        self.cuts = self.handshakes_cut = 0
        self._choose = choose

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut = self._choose() or Cut(2**60, 2**60, reset=False, chunk=65536)
        carried = [0, 0]
        to_server = None
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            directions = (
                self._pump(reader, to_server, cut.to_server, cut.chunk, carried, 0),
                self._pump(from_server, writer, cut.to_client, cut.chunk, carried, 1),
            )
            tasks = [asyncio.ensure_future(each) for each in directions]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            if carried[0] >= cut.to_server or carried[1] >= cut.to_client:
                self.cuts += 1
                self.handshakes_cut += carried[1] < 1000
            for each in (writer, to_server):
                if each is not None:
                    _end(each, reset=cut.reset)

    @staticmethod
    async def _pump(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limit: int,
        chunk: int,
        carried: list[int],
        index: int,
    ) -> None:
        """Carry bytes until the limit, or the end."""
        with contextlib.suppress(OSError):
            while carried[index] < limit:
                data = await reader.read(min(chunk, limit - carried[index]))
                if not data:
                    return
                writer.write(data)
                await writer.drain()
                carried[index] += len(data)


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        linger = struct.pack("ii", 1, 0)
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    else:
        writer.close()
