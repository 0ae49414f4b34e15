"""Admission of connections before the login: shares of addresses, early drop, penalties.

After the login a connection counts for its account only, so a whole office behind one address
fits.
"""

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from qscpd.config import Config
from qscpd.fairness import Lane, ShareSizes
from qscpd.net.address_share import AddressShare, is_in, share_of
from qscpd.net.known_peers import KnownPeers
from qscpd.net.penalties import Penalties

_SHARES_PER_NETWORK: Final = 4
"""Shares of addresses that an IPv6 /48 has together: one customer often has all of it."""

_FAILURES_PER_NETWORK: Final = 16
"""A failure costs the network around an address so many times less, because it can have other users."""

_PENALISED: Final = 8
"""An address with a penalty gets so many times fewer connections."""

_RESERVE: Final = 16
"""One of so many connections is kept for addresses that logged in before."""


class Visitor:
    """A connection's place in the counts, from before its handshake on.

    Attributes:
        remote: Address of its socket.
        share: Keys of its address.
        allowed: Whether it is in `login.allow`.
        waiting: Whether it is not logged in.
        tried: Whether it has tried to.
        deferred: How many of its logins were not decided.
        counted: Whether it is among the open connections.
        evict: Called to end it, so that another one has room.
    """

    __slots__ = ("allowed", "counted", "deferred", "evict", "remote", "share", "tried", "waiting")

    def __init__(self, remote: str, share: AddressShare, *, allowed: bool = False) -> None:
        self.remote = remote
        self.share = share
        self.allowed = allowed
        self.waiting = True
        self.tried = self.counted = False
        self.deferred = 0
        self.evict: Callable[[], None] = _do_nothing


class Admission:
    """Counts the connections that are not logged in, and decides about new ones.

    Args:
        config: The daemon's configuration.
        clock: Seconds that never go back.
        descriptors: Connections for which the process has file descriptors.
        chance: Returns a random number from 0 to 1.

    Attributes:
        config: The daemon's configuration; a change is in force at once.
        known: Addresses and devices that logged in before.
        penalties: Penalties of addresses and of networks.
    """

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float],
        *,
        descriptors: int,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.config = config
        self.known = KnownPeers(clock)
        self.penalties = Penalties(clock)
        self._descriptors = descriptors
        self._chance = chance
        self._open = self._waiting = 0
        self._addresses: ShareSizes[str] = ShareSizes()
        self._networks: ShareSizes[str] = ShareSizes()
        """Sizes of the networks of `_evictable`."""
        self._evictable: dict[str, OrderedDict[Visitor, None]] = {}
        """Connections that are not logged in, by network, the oldest first; without known addresses."""

    @property
    def waiting(self) -> int:
        """Number of connections that are not logged in."""
        return self._waiting

    # --- connections

    def admit(self, remote: str) -> Visitor | str:
        """Count a new connection; return its visitor, or why it is refused.

        An older connection of another address can be evicted for it.
        """
        visitor = self.visitor(remote)
        known = self.known.accounts_at(visitor.share.address)
        if self._addresses[visitor.share.address] >= self._cap(visitor, known):
            return "address"
        if (
            not known
            and not visitor.allowed
            and self._networks[visitor.share.network]
            >= (self.config.login.connections_per_address * _SHARES_PER_NETWORK)
        ):
            return "network"
        reason = self._pressure(privileged=bool(known), allowed=visitor.allowed)
        if reason and not self._evict_for(visitor):
            return reason
        self._count(visitor, evictable=not known)
        return visitor

    def visitor(self, remote: str) -> Visitor:
        """Return a visitor that is not counted."""
        return Visitor(remote, share_of(remote), allowed=is_in(remote, self.config.login.allow))

    def stop_waiting(self, visitor: Visitor) -> None:
        """Count a connection no longer before the login: it has logged in, or is about to end."""
        if visitor.counted and visitor.waiting:
            self._uncount(visitor)
        visitor.waiting = False
        visitor.evict = _do_nothing  # It holds the connection, which holds the visitor.

    def left(self, visitor: Visitor, *, timeout: bool, ours: bool) -> None:
        """Forget a connection that has ended.

        Args:
            visitor: Its visitor.
            timeout: Whether it ran into the time for the handshake or the login.
            ours: Whether the daemon ended it for its own reasons.
        """
        waited = visitor.waiting
        self.stop_waiting(visitor)
        if not visitor.counted:
            return
        visitor.counted = False
        self._open -= 1
        penalty = self.config.login.penalty
        if not waited or ours:
            return
        if timeout:
            self.charge(visitor, penalty.timeout_s)
        elif not visitor.tried:
            self.charge(visitor, penalty.no_login_s)

    # --- penalties

    def charge(self, visitor: Visitor, seconds: float) -> None:
        """Add to the penalty of an address, and a little to that of its network."""
        settings = self.config.login.penalty
        share = visitor.share
        self.penalties.charge(
            share.address, seconds, threshold=settings.threshold_s, longest=settings.longest_s
        )
        if share.network != share.address:
            self.penalties.charge(
                share.network,
                seconds / _FAILURES_PER_NETWORK,
                threshold=settings.threshold_s,
                longest=settings.longest_s,
            )

    def penalty(self, visitor: Visitor) -> float:
        """Return for how many seconds the penalty of an address, or of its network, is in force."""
        if visitor.allowed:
            return 0.0
        return max(map(self.penalties.remaining, set(visitor.share)))

    def has_failed(self, visitor: Visitor) -> bool:
        """Return whether an address, or much of its network, failed of late; also an allowed one."""
        share = visitor.share
        if self.penalties.has(share.address, self.config.login.penalty.longest_s):
            return True
        return share.network != share.address and self.penalties.has(share.network)

    def lane(self, visitor: Visitor) -> Lane:
        """Return the lane of an address's handshakes."""
        if self.known.accounts_at(visitor.share.address):
            return Lane.KNOWN
        return Lane.FAILED if self.has_failed(visitor) else Lane.CLEAN

    # --- inside

    def _cap(self, visitor: Visitor, known: int) -> int:
        """Return how many connections an address can have that are not logged in."""
        login = self.config.login
        if visitor.allowed:
            return login.connections_per_allowed
        if not known and self.penalty(visitor):
            # Enough that a user there gets the answer `busy`, and learns when to try again.
            return max(login.connections_per_address // _PENALISED, 1)
        return login.connections_per_address + known

    def _pressure(self, *, privileged: bool, allowed: bool) -> str:
        """Return why a connection has to go for a new one; empty if there is room."""
        login = self.config.login
        most = min(self.config.server.max_connections, self._descriptors)
        # The last ones are for addresses that logged in before.
        if self._open >= (most if privileged else most - most // _RESERVE):
            return "max_connections" if most == self.config.server.max_connections else "descriptors"
        if privileged:
            return ""
        if self._waiting >= login.drop_full:
            return "drop_full"
        if allowed or self._waiting < login.drop_start:
            return ""
        grown = (self._waiting - login.drop_start) / (login.drop_full - login.drop_start)
        rate = login.drop_rate / 100
        return "early_drop" if self._chance() < rate + (1 - rate) * grown else ""

    def _evict_for(self, visitor: Visitor) -> bool:
        """End the oldest connection of the network with most of them; not for one that has as many."""
        if not self._networks:
            return False
        network = self._networks.largest(newest=False)
        if self._networks[network] <= self._networks[visitor.share.network]:
            return False
        oldest = next(iter(self._evictable[network]))
        evict = oldest.evict
        self.stop_waiting(oldest)  # Its place is free at once; its socket a turn of the loop later.
        evict()
        return True

    def _count(self, visitor: Visitor, *, evictable: bool) -> None:
        visitor.counted = True
        self._open += 1
        self._waiting += 1
        share = visitor.share
        self._addresses.grow(share.address)
        if evictable:
            self._networks.grow(share.network)
            self._evictable.setdefault(share.network, OrderedDict())[visitor] = None

    def _uncount(self, visitor: Visitor) -> None:
        self._waiting -= 1
        share = visitor.share
        self._addresses.shrink(share.address)
        evictable = self._evictable.get(share.network)
        if evictable is not None and visitor in evictable:
            del evictable[visitor]
            self._networks.shrink(share.network)
            if not evictable:
                del self._evictable[share.network]


def _do_nothing() -> None:
    pass
