"""Shares of addresses: which peers count as one, before they have logged in.

All limits, penalties and counts before the login use these keys.

| address | share | network |
|---|---|---|
| IPv4 | the address | the same |
| IPv4 inside IPv6 (`::ffff:0:0/96`, `64:ff9b::/96`) | the IPv4 address | the same |
| IPv6 | its /64: what one household or one virtual machine gets | its /48: what one customer can get |
| IPv6 link-local and loopback | the address: all hosts of a link are in one /64 | the same |
"""

import functools
import ipaddress
from typing import Final, NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_CACHED: Final = 4096
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_MASK_IPV4: Final = 0xFFFFFFFF


class AddressShare(NamedTuple):
    """Keys under which a peer's address is counted."""

    address: str
    """The share: an address, or the /64 of an IPv6 address."""
    network: str
    """The network around it, which has many of such shares: the /48 of an IPv6 address."""


@functools.lru_cache(_CACHED)
def share_of(address: str) -> AddressShare:
    """Return the share of an address as the socket has it; of anything else, the text itself."""
    ip = _parse(address)
    if ip is None:
        return AddressShare(address, address)
    if isinstance(ip, ipaddress.IPv4Address) or ip.is_link_local or ip.is_loopback:
        return AddressShare(str(ip), str(ip))
    return AddressShare(_network(ip, 64), _network(ip, 48))


def source_of(address: str, account: int | None) -> str:
    """Return the key of a peer in the budgets of the logs: its account, or the share before its login.

    Args:
        address: As the socket has it.
        account: Id of the account; None before the login.
    """
    return share_of(address).address if account is None else f"a{account}"


@functools.lru_cache(_CACHED)
def is_in(address: str, networks: tuple[Network, ...]) -> bool:
    """Return whether an address as the socket has it is in one of some networks."""
    ip = _parse(address)
    return ip is not None and any(ip in network for network in networks)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, the IPv4 one inside an IPv6 one; None if it is not an address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & _MASK_IPV4)
    return ip


def _network(ip: ipaddress.IPv6Address, length: int) -> str:
    return str(ipaddress.IPv6Network((int(ip), length), strict=False))
