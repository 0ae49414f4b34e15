"""What an attack works on: the daemon's address, and helpers that its modules share."""

import asyncio
import contextlib
import itertools
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from qscp import frames
from tests.support.light_client import LightClient, LoginRefusedError

__all__ = ["Target", "amendment_line", "chat_line", "fresh_id", "line"]

_numbers = itertools.count(time.time_ns() << 32)


class Target:
    """A daemon under attack.

    Attributes:
        port: Its port.
        context: TLS context of its clients.
        counts: What the attack has done so far.
        begun: Set when the attack is prepared, and the damage begins.
    """

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.port = port
        self.context = context
        self.counts: Counter[str] = Counter()
        self.begun = asyncio.Event()

    async def log_in(self, user: str, *, address: str | None = None, resume: bool = True) -> LightClient:
        """Log in an attacker.

        Raises:
            OSError, EOFError, LoginRefusedError: The server did not accept it.
        """
        client = await LightClient.connect(self.port, self.context, address)
        try:
            await client.log_in(user, features=["typing", "read_receipts"])
        except BaseException:
            client.drop()
            raise
        if resume:
            client.send(frames.Resume([]))
        return client

    @contextlib.asynccontextmanager
    async def reading(self, user: str) -> AsyncIterator[LightClient]:
        """Log in an attacker who discards everything that comes."""
        client = await self.log_in(user)
        reader = asyncio.create_task(_ignore_end(client.discard()))
        try:
            yield client
        finally:
            reader.cancel()
            client.drop()

    async def persist(self, attack: Callable[[], Awaitable[object]], *, pause_s: float = 0.05) -> None:
        """Repeat an attack, also when the server has ended it; with a pause in between."""
        while True:
            await self.attempt(attack)
            await asyncio.sleep(pause_s)

    async def attempt(self, attack: Callable[[], Awaitable[object]]) -> None:
        """Run an attack once, and count it if the server ends it."""
        try:
            await attack()
        except (OSError, EOFError, LoginRefusedError) as error:
            self.counts[f"ended by {type(error).__name__}"] += 1

    async def flood(self, user: str, make: Callable[[int], bytes], *, lines: int = 1) -> None:
        """Send blocks of lines as fast as the server reads them, and discard the answers.

        Args:
            user: The attacker.
            make: Returns the block of a number.
            lines: Lines in a block, for the count.
        """

        async def once() -> None:
            async with self.reading(user) as client:
                self.begun.set()
                for number in itertools.count():
                    await client.write(make(number))
                    self.counts["frames"] += lines

        await self.persist(once)


async def _ignore_end(reading: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(OSError, EOFError):
        await reading


def line(kind: str, **fields: object) -> bytes:
    """Return the line of a frame."""
    return msgspec.json.encode({"type": kind, **fields}) + b"\n"


def fresh_id() -> str:
    """Return a message id that was never used."""
    return f"{next(_numbers):032x}"


def chat_line(to: str, body: str) -> bytes:
    """Return the line of a message with an id of its own."""
    return line("chat", to=to, body=body, id=fresh_id())


def amendment_line(kind: str, to: str, target: int, text: str) -> bytes:
    """Return the line of an edit, a redaction or a reaction with an id of its own."""
    fields = {"edit": {"body": text}, "react": {"text": text}}.get(kind, {})
    return line(kind, to=to, target=target, id=fresh_id(), **fields)
