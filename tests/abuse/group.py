"""The accounts and rooms of a run, and their store."""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final

from qscp.rooms import HistoryFrom
from qscpd.accounts.passwords import PasswordHasher
from qscpd.config.model import Argon2Config
from qscpd.store import open_store, store_url
from qscpd.store.base import Store
from tests.support.daemon import PASSWORD
from tests.support.stores import add_room

__all__ = [
    "ATTACKERS",
    "GUESTS",
    "HALL",
    "MEMBERS",
    "NO_ALLOWANCE",
    "READERS",
    "ROOM",
    "Accounts",
    "make_store",
]

MEMBERS: Final = tuple(f"member{n:02}" for n in range(20))
"""Accounts that write to each other in pairs, and in `ROOM`."""

READERS: Final = tuple(f"reader{n}" for n in range(6))
"""Accounts that share `HALL` with the attackers, and read all the time."""

GUESTS: Final = tuple(f"guest{n}" for n in range(10))
"""Accounts that log in and leave."""

ATTACKERS: Final = tuple(f"mallory{n}" for n in range(8))
"""Accounts of the attackers."""

ROOM: Final = "#members"
HALL: Final = "#hall"

NO_ALLOWANCE: Final = "login.allow=192.0.2.0/24"
"""Setting by which addresses of the loopback, from which all of this comes, get no more than others."""

Accounts = dict[str, int]
"""Account ids by name."""


@functools.cache
def _password_hash() -> str:
    """Return the hash that all accounts share, at the default cost: logins are measured too."""
    return PasswordHasher(Argon2Config()).hash(PASSWORD)


def make_store(path: Path, prepare: Callable[[Store, Accounts], None] | None) -> None:
    """Make a store with all accounts and rooms, and what an attack needs in it."""
    with contextlib.closing(open_store(store_url(path))) as store:
        for name in (*MEMBERS, *READERS, *GUESTS, *ATTACKERS):
            store.add_account(name, _password_hash())
        add_room(store, ROOM, *MEMBERS, history=HistoryFrom.FULL)
        add_room(store, HALL, *ATTACKERS, *READERS, history=HistoryFrom.FULL)
        if prepare is not None:
            prepare(store, {account.name: account.id for account in store.accounts()})
