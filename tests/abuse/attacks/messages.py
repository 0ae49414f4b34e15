"""Members who write too much, or read nothing of what they get."""

import asyncio
import itertools
import random
from typing import Final

from qscp.limits import BODY_LIMIT
from qscpd.domain.model import NewMessage
from qscpd.store.base import Store
from tests.abuse.group import ATTACKERS, HALL, Accounts
from tests.abuse.target import Target, amendment_line, chat_line
from tests.support.ids import IdMaker
from tests.support.light_client import LightClient

__all__ = ["amendments", "burst", "never_reading", "pair_flood", "room_flood", "store_emoji", "wide_flood"]

_MALLORY, _ACCOMPLICE = ATTACKERS[:2]

_WIDE: Final = "\U0001f600" * (BODY_LIMIT // 4)
"""The longest body, of characters that take four bytes each."""

_STORED: Final = 3072
"""Messages of 16 KiB in 48 MiB."""

_SESSIONS: Final = 40


async def pair_flood(target: Target) -> None:
    """Short messages to one account."""
    lines = 200
    await target.flood(
        _MALLORY,
        lambda _: b"".join(chat_line(_ACCOMPLICE, "x" * 64) for _ in range(lines)),
        lines=lines,
    )


async def room_flood(target: Target) -> None:
    """Short messages to a room of readers."""
    lines = 100
    await target.flood(
        _MALLORY, lambda _: b"".join(chat_line(HALL, "x" * 64) for _ in range(lines)), lines=lines
    )


async def wide_flood(target: Target) -> None:
    """The longest messages to one account."""
    await target.flood(_MALLORY, lambda _: chat_line(_ACCOMPLICE, _WIDE))


async def burst(target: Target) -> None:
    """A thousand messages of 16 KB at once to a room of readers, and then every few seconds again."""

    async def once() -> None:
        async with target.reading(_MALLORY) as client:
            target.begun.set()
            while True:
                for _ in range(1000):
                    await client.write(chat_line(HALL, "x" * 16_000))
                    target.counts["frames"] += 1
                await asyncio.sleep(4)

    await target.persist(once)


def store_emoji(store: Store, accounts: Accounts) -> None:
    """Store 48 MiB of the longest messages, which the attacker has written over the last days."""
    sender, recipient = accounts[_MALLORY], accounts[_ACCOMPLICE]
    make_id = IdMaker(2)
    for _ in range(_STORED // 64):
        store.append([NewMessage(sender, recipient, make_id(), _WIDE) for _ in range(64)])


async def amendments(target: Target) -> None:
    """Reactions to messages all over a conversation of 48 MiB, with some edits and redactions."""
    chosen = random.Random(1)  # noqa: S311 - to be repeated

    def block(number: int) -> bytes:
        kinds = itertools.chain(("edit", "redact") if number % 4 == 0 else (), itertools.repeat("react", 18))
        return b"".join(
            amendment_line(kind, _ACCOMPLICE, chosen.randrange(1, _STORED + 1), chosen.choice("abcdefgh"))
            for kind in kinds
        )

    await target.flood(_MALLORY, block, lines=18)


async def never_reading(target: Target) -> None:
    """Forty sessions of one account that write to another account and read nothing, not even answers."""

    async def once() -> None:
        client = await target.log_in(_MALLORY)
        client.stop_reading()
        target.counts["sessions"] += 1
        try:
            await _write_on(target, client)
        finally:
            client.drop()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_SESSIONS):
            tasks.create_task(target.persist(once))


async def _write_on(target: Target, client: LightClient) -> None:
    target.begun.set()
    while True:
        await client.write(chat_line(_ACCOMPLICE, "x" * 16_000))
        target.counts["frames"] += 1
