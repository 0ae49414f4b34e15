"""TCP proxy that can carry nothing more without closing anything, as a broken network does."""

import asyncio
import contextlib

from tests.support.proxy import Proxy

__all__ = ["Swallower"]


class Swallower(Proxy):
    """The proxy; an asynchronous context manager.

    Args:
        port: Where the server listens.

    Attributes:
        swallows: Whether what comes from either side is dropped.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.swallows = False

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, to_server))
                group.create_task(self._pump(from_server, writer))
        finally:
            writer.transport.abort()
            to_server.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self.swallows:
                    writer.write(data)
                    await writer.drain()
        if not self.swallows:
            writer.transport.abort()
