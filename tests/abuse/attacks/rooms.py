"""Members who join, leave, invite and make rooms without end."""

import itertools
from typing import Final

from qscp.rooms import HistoryFrom, RoomKind
from qscpd.domain.rooms import RoomChange
from qscpd.store.base import Store
from tests.abuse.group import ATTACKERS, MEMBERS, READERS, Accounts
from tests.abuse.target import Target, line
from tests.support.stores import add_room

__all__ = ["creations", "invitations", "joins", "store_lobby"]

_MALLORY, _ACCOMPLICE = ATTACKERS[:2]
_LOBBY: Final = "#lobby"
_CLOSED: Final = "#closed"


def store_lobby(store: Store, accounts: Accounts) -> None:
    """Make an open room in which the readers are, and a closed one of the attacker."""
    add_room(store, _LOBBY, _ACCOMPLICE, *READERS, history=HistoryFrom.FULL)
    store.change_room(
        RoomChange(action="create", room=_CLOSED, actor=accounts[_MALLORY], kind=RoomKind.CLOSED)
    )


async def joins(target: Target) -> None:
    """Join an open room and leave it."""
    block = (line("join", room=_LOBBY) + line("leave", room=_LOBBY)) * 50
    await target.flood(_MALLORY, lambda _: block, lines=100)


async def invitations(target: Target) -> None:
    """Invite all members, and take each invitation back."""
    block = b"".join(
        line("room", action=action, room=_CLOSED, user=user)
        for user in MEMBERS
        for action in ("invite", "remove")
    )
    await target.flood(_MALLORY, lambda _: block, lines=2 * len(MEMBERS))


async def creations(target: Target) -> None:
    """Make rooms, as many as the server allows, and leave them."""
    numbers = itertools.count()

    def block(_: int) -> bytes:
        rooms = [f"#made{next(numbers)}" for _ in range(50)]
        return b"".join(
            line("room", action="create", room=room) + line("room", action="archive", room=room)
            for room in rooms
        )

    await target.flood(_MALLORY, block, lines=100)
