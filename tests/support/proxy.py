"""Base of TCP proxies between clients and a server on the loopback."""

import abc
import asyncio
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]


class Proxy(abc.ABC):
    """The proxy; an asynchronous context manager. At its end it leaves all connections.

    Args:
        target: Port of the server.

    Attributes:
        port: Where clients connect to.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @abc.abstractmethod
    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the bytes of a client's connection until it ends."""
