"""Members who page and search a large history."""

import asyncio
import itertools
from typing import Final

from qscpd.domain.model import NewMessage
from qscpd.store.base import Store
from tests.abuse.group import ATTACKERS, Accounts
from tests.abuse.target import Target, line
from tests.support.ids import IdMaker

__all__ = ["paging", "searching", "store_history"]

_MESSAGES: Final = 100_000
_CONVERSATION: Final = "c3"
"""The first pair of a store in which two rooms were made before."""


def store_history(store: Store, accounts: Accounts) -> None:
    """Store a large conversation of two attackers; all messages match a search."""
    sender, recipient = accounts[ATTACKERS[0]], accounts[ATTACKERS[1]]
    make_id = IdMaker(2)
    for start in range(0, _MESSAGES, 1000):
        store.append(
            [
                NewMessage(sender, recipient, make_id(), f"a common text, and word{n % 977}")
                for n in range(start, start + 1000)
            ]
        )


async def _ask(target: Target, block: bytes, lines: int) -> None:
    """Eight sessions of two accounts that ask as fast as they get answers."""
    async with asyncio.TaskGroup() as tasks:
        for user in itertools.islice(itertools.cycle(ATTACKERS[:2]), 8):
            tasks.create_task(target.flood(user, lambda _: block, lines=lines))


async def searching(target: Target) -> None:
    """Searches that match everything, from a cursor far back."""
    block = b"".join(
        line("search", query=query, cursor=cursor, limit=200)
        for query in ("common", "a common text", "word5")
        for cursor in ("", "1.1.1")
    )
    await _ask(target, block, 6)


async def paging(target: Target) -> None:
    """Pages of history all over a conversation."""
    block = b"".join(
        line("history", conversation=_CONVERSATION, before=before, limit=200)
        for before in range(_MESSAGES, 0, -_MESSAGES // 20)
    )
    await _ask(target, block, 20)
