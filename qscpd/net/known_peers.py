"""Peers that logged in before: which addresses and devices an account used."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

_ACCOUNTS: Final = 65_536
"""Accounts that are remembered; the one that logged in longest ago is forgotten first."""

_PLACES: Final = 16
"""Addresses, and devices, that are remembered of one account."""

_FORGET_S: Final = 7 * 86400.0
"""Seconds after its last login from which a place is no longer known."""


class _Places(NamedTuple):
    addresses: OrderedDict[str, float]
    """Loop time of the last login by address share, the newest at the end."""
    devices: OrderedDict[bytes, float]
    """The same by the hash of the device's id."""


class KnownPeers:
    """Memory of successful logins, bounded and lost at a restart.

    A device id is 128 random bits that only the client and the server know, so it recognises a
    user on any network (OWASP calls it a device cookie). An address recognises a user less well:
    others can share it.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._accounts: OrderedDict[int, _Places] = OrderedDict()
        self._at: dict[str, int] = {}
        """Number of accounts that are remembered at an address share."""

    def add(self, account: int, address: str, device: str) -> None:
        """Remember a login.

        Args:
            account: Id of the account.
            address: Its share; see `qscpd.net.address_share`.
            device: Its id; empty for one that keeps nothing.
        """
        now = self._clock()
        places = self._accounts.pop(account, None) or _Places(OrderedDict(), OrderedDict())
        self._accounts[account] = places
        if places.addresses.pop(address, None) is None:
            self._at[address] = self._at.get(address, 0) + 1
        places.addresses[address] = now
        while len(places.addresses) > _PLACES or next(iter(places.addresses.values())) < now - _FORGET_S:
            self._leave(places.addresses.popitem(last=False)[0])
        if device:
            hashed = _hash(device)
            places.devices.pop(hashed, None)
            places.devices[hashed] = now
            while len(places.devices) > _PLACES:
                places.devices.popitem(last=False)
        if len(self._accounts) > _ACCOUNTS:
            _, forgotten = self._accounts.popitem(last=False)
            for each in forgotten.addresses:
                self._leave(each)

    def accounts_at(self, address: str) -> int:
        """Return how many accounts are remembered at an address share."""
        return self._at.get(address, 0)

    def knows_address(self, account: int, address: str) -> bool:
        """Return whether the account logged in from the address share before."""
        places = self._accounts.get(account)
        return places is not None and self._fresh(places.addresses.get(address))

    def knows_device(self, account: int, device: str) -> bool:
        """Return whether the account logged in on the device before."""
        places = self._accounts.get(account)
        return bool(device) and places is not None and self._fresh(places.devices.get(_hash(device)))

    def _fresh(self, at: float | None) -> bool:
        return at is not None and at >= self._clock() - _FORGET_S

    def _leave(self, address: str) -> None:
        if self._at[address] == 1:
            del self._at[address]
        else:
            self._at[address] -= 1


def _hash(device: str) -> bytes:
    """Return a hash, so that the ids themselves are not kept in memory."""
    return hashlib.blake2b(device.encode(), digest_size=16).digest()
