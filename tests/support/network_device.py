"""A device on a real connection: `tests.support.device` over TLS and asyncio."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable

from qscp import frames
from qscp.connection import ClientConnection
from qscp.states import State
from tests.support.daemon import PASSWORD
from tests.support.device import Device
from tests.support.loopback import READ, open_loopback
from tests.support.oracle import Book, History, written
from tests.support.waiting import patiently

__all__ = ["NetworkDevice", "read_book"]

Answer = frames.History | frames.Conversations | frames.SearchResults


class NetworkDevice:
    """One connection of a device.

    Attributes:
        device: The device.
        answers: Pages that the device requested.
    """

    def __init__(self, device: Device, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.device = device
        self.answers: list[Answer] = []
        self._reader = reader
        self._writer = writer
        self._connection = ClientConnection()

    @classmethod
    async def login(
        cls,
        device: Device,
        port: int,
        context: ssl.SSLContext,
        *,
        resume: bool = True,
        address: str | None = None,
    ) -> "NetworkDevice":
        """Connect and log in; then send `resume` and the outbox.

        Args:
            device: The device.
            port: Port of the daemon.
            context: TLS context.
            resume: Whether to send `resume`.
            address: Address to connect from, such as 127.0.0.2.

        Raises:
            OSError: The server can't be reached, or the connection broke.
            EOFError: The connection ended, or the server refused the login.
        """
        async with patiently():
            reader, writer = await open_loopback(port, context, address)
        network_device = cls(device, reader, writer)
        try:
            network_device.send(device.auth(PASSWORD))
            await network_device.until(lambda: device.logged_in or device.ended)
            if not device.logged_in:
                raise EOFError(device.ended)  # noqa: TRY301 - the same cleaning up as for a lost connection
            network_device.send(*(device.resume() if resume else ()), *device.resend())
        except BaseException:
            network_device.drop()
            raise
        return network_device

    def send(self, *sent: frames.ClientFrame) -> None:
        """Send frames, unless the connection is closed."""
        if self._connection.state is State.CLOSED or not sent:
            return
        for frame in sent:
            self._connection.send(frame)
        self._writer.write(self._connection.data_to_send())

    async def receive(self) -> None:
        """Receive the next bytes, and handle the frames in them.

        Raises:
            OSError: The connection broke.
            EOFError: It ended.
            BrokenPromiseError: The server broke a promise.
        """
        data = await self._reader.read(READ)
        if not data:
            raise EOFError
        self._connection.receive_data(data)
        for frame in self._connection.events():
            if isinstance(frame, Answer):
                self.answers.append(frame)
            self.send(*self.device.handle(frame))

    async def until(self, condition: Callable[[], object]) -> None:
        """Receive until a condition is true."""
        async with patiently():
            while not condition():
                await self.receive()

    async def ask(self, request: frames.ClientFrame) -> Answer:
        """Send a request, and return its answer; one request at a time."""
        self.send(request)
        await self.until(lambda: self.answers)
        return self.answers.pop()

    async def bye(self) -> None:
        """Send `bye`, and receive until the connection ends."""
        self.send(frames.ClientBye())
        with contextlib.suppress(EOFError, OSError):
            async with patiently():
                while True:
                    await self.receive()
        self.drop()

    def drop(self) -> None:
        """Abort the connection; frames in flight are lost."""
        self.device.logged_in = self.device.live = False
        self._writer.transport.abort()


async def read_book(user: str, port: int, context: ssl.SSLContext) -> Book:
    """Return what a new device of a user receives of all their conversations."""
    device = Device(user, "")
    network_device = await NetworkDevice.login(device, port, context, resume=False)
    infos: list[frames.ConversationInfo] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await network_device.ask(frames.ConversationsRequest(cursor))
        assert isinstance(page, frames.Conversations)
        infos += page.conversations
        cursor = page.cursor
    for info in infos:
        device.begin(info.conversation, info.first_seq - 1)
    network_device.send(*device.resume())
    await network_device.until(lambda: device.live)
    book = {info.conversation: await _read_history(network_device, info) for info in infos}
    await network_device.bye()
    return book


async def _read_history(network_device: NetworkDevice, info: frames.ConversationInfo) -> History:
    messages: list[frames.Message] = []
    cursor: int | None = 0
    while cursor is not None:
        page = await network_device.ask(frames.HistoryRequest(info.conversation, after=cursor, limit=200))
        assert isinstance(page, frames.History)
        messages += page.messages
        cursor = page.cursor
    return written(info, messages, network_device.device.log.applied[info.conversation])
