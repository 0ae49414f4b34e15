"""Floods of connections before a login."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from tests.abuse.target import Target
from tests.support.light_client import LightClient

__all__ = ["connects", "garbage", "half_open", "handshakes", "idle"]

_ADDRESS: Final = "127.6.6.6"
_IDLE: Final = 4095

_OPENING_S: Final = 8.0
"""Time in which most idle connections are made, before the measurement begins."""


async def _in_parallel(target: Target, count: int, once: Callable[[], Awaitable[object]]) -> None:
    target.begun.set()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(target.persist(once, pause_s=0))


async def _plain(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", target.port, local_addr=(_ADDRESS, 0))


async def connects(target: Target) -> None:
    """Connect and close at once."""

    async def once() -> None:
        _, writer = await _plain(target)
        writer.close()
        target.counts["connections"] += 1

    await _in_parallel(target, 32, once)


async def handshakes(target: Target) -> None:
    """Do the TLS handshake and close, as fast as possible."""

    async def once() -> None:
        (await LightClient.connect(target.port, target.context, _ADDRESS)).drop()
        target.counts["handshakes"] += 1

    await _in_parallel(target, 32, once)


async def garbage(target: Target) -> None:
    """Connect and send what is no TLS."""

    async def once() -> None:
        reader, writer = await _plain(target)
        with contextlib.closing(writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
        target.counts["connections"] += 1

    await _in_parallel(target, 32, once)


async def half_open(target: Target) -> None:
    """Begin handshakes and never go on; each connection stays open as long as the server lets it."""
    begin = bytes.fromhex("1603010200010001fc0303")

    async def once() -> None:
        reader, writer = await _plain(target)
        with contextlib.closing(writer):
            writer.write(begin)
            target.counts["connections"] += 1
            await reader.read()

    await _in_parallel(target, 4000, once)


async def idle(target: Target) -> None:
    """Complete 4,095 handshakes from one address, and say nothing."""

    async def once() -> None:
        client = await LightClient.connect(target.port, target.context, _ADDRESS)
        target.counts["handshakes"] += 1
        try:
            await client.discard()
        finally:
            client.drop()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_IDLE):
            tasks.create_task(target.persist(once, pause_s=1))
        await asyncio.sleep(_OPENING_S)
        target.begun.set()
