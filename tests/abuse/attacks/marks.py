"""Members who send frames that cost them nothing: marks, pings, presence, typing."""

from collections.abc import Callable
from typing import Final

from qscpd.domain.model import NewMessage
from qscpd.store.base import Store
from tests.abuse.group import ATTACKERS, HALL, Accounts
from tests.abuse.target import Target, fresh_id, line
from tests.support.ids import IdMaker

__all__ = ["marks", "pings", "pongs", "presence", "store_conversation", "typing", "whois"]

_MALLORY, _ACCOMPLICE = ATTACKERS[:2]
_LINES: Final = 1000
"""Lines in a block."""

_CONVERSATION: Final = "c3"
"""The first pair of a store in which two rooms were made before."""


def store_conversation(store: Store, accounts: Accounts) -> None:
    """Store a conversation that can be marked."""
    make_id = IdMaker(2)
    store.append(
        [NewMessage(accounts[_ACCOMPLICE], accounts[_MALLORY], make_id(), "text") for _ in range(5000)]
    )


async def marks(target: Target) -> None:
    """`read`, `received` and `skip`, each with another position or id."""

    def block(number: int) -> bytes:
        seqs = range(number * _LINES // 3 % 5000 + 1, number * _LINES // 3 % 5000 + 1 + _LINES // 3)
        return b"".join(
            line("read", conversation=_CONVERSATION, seq=seq)
            + line("received", conversation=_CONVERSATION, seq=seq)
            + line("skip", id=fresh_id())
            for seq in seqs
        )

    await target.flood(_MALLORY, block, lines=_LINES)


async def _same_line(target: Target, make: Callable[[], bytes]) -> None:
    block = make() * _LINES
    await target.flood(_MALLORY, lambda _: block, lines=_LINES)


async def pongs(target: Target) -> None:
    """`pong`, which has no answer."""
    await _same_line(target, lambda: line("pong"))


async def pings(target: Target) -> None:
    """`ping`, each of which is answered."""
    await _same_line(target, lambda: line("ping"))


async def whois(target: Target) -> None:
    """`whois` of accounts that exist."""
    await _same_line(target, lambda: line("whois", user=_ACCOMPLICE))


async def presence(target: Target) -> None:
    """Away and back, all the time: everyone online is notified."""
    block = (line("presence", status="away", text="x" * 200) + line("presence", status="online")) * (
        _LINES // 2
    )
    await target.flood(_MALLORY, lambda _: block, lines=_LINES)


async def typing(target: Target) -> None:
    """Typing in a room and to an account."""
    block = (line("typing", to=HALL) + line("typing", to=_ACCOMPLICE)) * (_LINES // 2)
    await target.flood(_MALLORY, lambda _: block, lines=_LINES)
