"""Users of a soak: who they are, whom they write to, and the rooms they are in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from qscp.rooms import HistoryFrom
from qscpd.domain.rooms import RoomChange
from qscpd.store import open_store, store_url
from tests.abuse.group import ATTACKERS, HALL, MEMBERS, READERS
from tests.support.daemon import PASSWORD, hash_cheaply

__all__ = ["DEVICES", "Population", "User", "make_store"]

DEVICES: Final = 2
"""Devices of each user."""

_ROOM_OF: Final = 20
"""Members of a room."""

_CLUB_OF: Final = 100
"""Users who can join one club."""


class User(NamedTuple):
    """A user of the soak.

    Attributes:
        name: Name of the account.
        partners: Users to write to.
        room: Room that the user is always in.
        club: Room that the first device of the user joins and leaves; empty for its owner.
        address: Address that the user connects from.
    """

    name: str
    partners: tuple[str, ...]
    room: str
    club: str
    address: str


class Population:
    """Users of so many sessions, in rooms and pairs.

    Args:
        sessions: Number of devices; a multiple of 40 keeps all rooms full.
    """

    def __init__(self, sessions: int) -> None:
        self.users = [_user(number, sessions // DEVICES) for number in range(sessions // DEVICES)]

    def part(self, number: int, parts: int) -> Sequence[tuple[int, User]]:
        """Return the users, with their numbers, of one of several processes."""
        return list(enumerate(self.users))[number::parts]


def _user(number: int, count: int) -> User:
    partners = {number ^ 1, (number + 10) % count, (number - 10) % count} - {number}
    return User(
        name=_name(number),
        partners=tuple(_name(each) for each in sorted(partners) if each < count),
        room=f"#room{number // _ROOM_OF}",
        club=f"#club{number // _CLUB_OF}" if number % _CLUB_OF else "",
        address=f"127.{20 + number // 60_000}.{number // 250 % 250}.{number % 250 + 1}",
    )


def _name(number: int) -> str:
    return f"user{number}"


def make_store(path: Path, population: Population) -> None:
    """Make a store with all users and rooms, and with the accounts of the abusers."""
    store = open_store(store_url(path))
    try:
        names = [*(user.name for user in population.users), *ATTACKERS, *READERS, *MEMBERS]
        for name in names:
            store.add_account(name, hash_cheaply(PASSWORD))
        ids = {account.name: account.id for account in store.accounts()}
        for number, user in enumerate(population.users):
            first = number % _ROOM_OF == 0
            store.change_room(_change(user.room, ids[user.name], HistoryFrom.FULL, create=first))
            if not user.club:
                club = f"#club{number // _CLUB_OF}"
                store.change_room(_change(club, ids[user.name], HistoryFrom.JOINING, create=True))
        for number, name in enumerate((*ATTACKERS, *READERS)):
            store.change_room(_change(HALL, ids[name], HistoryFrom.FULL, create=number == 0))
    finally:
        store.close()


def _change(room: str, actor: int, history: HistoryFrom, *, create: bool) -> RoomChange:
    if create:
        return RoomChange(action="create", room=room, actor=actor, history=history)
    return RoomChange(action="join", room=room, actor=actor)
