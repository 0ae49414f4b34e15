"""Floods of logins, with wrong and with right passwords."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from typing import Final

from tests.abuse.group import ATTACKERS, GUESTS
from tests.abuse.target import Target, line
from tests.support.light_client import LightClient, LoginRefusedError

__all__ = ["bad_logins", "bad_logins_from_everywhere", "login_flood", "sessions"]

_PARALLEL: Final = 1000
"""Logins that wait at the same time: about as many as `login.queue`, so that everyone behind them waits."""

_OPENING_S: Final = 6.0
"""Time in which most connections are made, before the measurement begins."""

_ATTEMPTS: Final = 3
"""Failed logins after which the server closes a connection, by default."""

_RATE: Final = 1000
"""Logins a second of `login_flood`."""

_OPEN_S: Final = 2.0
"""Time after which a connection of `login_flood` is left, whatever was answered."""


async def _guess(target: Target, names: Iterator[str], addresses: Iterator[str]) -> None:
    """Guess passwords on many connections at once, as fast as the server answers."""

    async def once() -> None:
        client = await LightClient.connect(target.port, target.context, next(addresses))
        try:
            for _ in range(_ATTEMPTS):
                try:
                    await client.log_in(next(names), password="wrong")
                except LoginRefusedError as refused:
                    target.counts[refused.code] += 1
        finally:
            client.drop()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_PARALLEL):
            tasks.create_task(target.persist(once))
        await asyncio.sleep(_OPENING_S)
        target.begun.set()


async def bad_logins(target: Target) -> None:
    """Guess passwords of accounts that do not exist, from one address."""
    names = (f"nobody{n}" for n in itertools.count())
    await _guess(target, names, itertools.repeat("127.6.6.6"))


async def bad_logins_from_everywhere(target: Target) -> None:
    """Guess passwords of accounts of the group, from hundreds of addresses."""
    addresses = (f"127.66.{n // 250 % 4}.{n % 250 + 1}" for n in itertools.count())
    await _guess(target, itertools.cycle(GUESTS), addresses)


async def login_flood(target: Target) -> None:
    """Send a thousand wrong logins a second, three on each new connection, however slow the answers are."""
    addresses = (f"127.66.{n // 250 % 4}.{n % 250 + 1}" for n in itertools.count())
    names = itertools.cycle([*GUESTS, *(f"nobody{n}" for n in range(1000))])

    async def once() -> None:
        client = await LightClient.connect(target.port, target.context, next(addresses))
        try:
            tries = (line("auth", user=next(names), password="wrong") for _ in range(_ATTEMPTS))
            await client.write(b"".join(tries))
            target.counts["logins"] += _ATTEMPTS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_OPEN_S):
                    await client.discard()
        finally:
            client.drop()

    target.begun.set()
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for number in itertools.count():
            tasks.create_task(target.attempt(once))
            await asyncio.sleep(began + number * _ATTEMPTS / _RATE - loop.time())


async def sessions(target: Target) -> None:
    """Open sessions of one account, and keep them."""
    opened: list[LightClient] = []

    async def once() -> None:
        opened.append(await target.log_in(ATTACKERS[0], address="127.6.6.6"))
        target.counts["sessions"] += 1

    target.begun.set()
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(target.persist(once, pause_s=0))
    finally:
        for client in opened:
            client.drop()
