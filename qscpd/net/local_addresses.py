"""Addresses of this machine: whether it has one at this moment, and sockets for them."""

import enum
import errno
import os
import socket
from ipaddress import IPv4Address
from typing import Final

from qscpd.config import IPAddress

_DISCARD: Final = 9
"""Port for a look-up of a route; nothing is sent to it (RFC 863)."""

_NO_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EPFNOSUPPORT, errno.EPROTONOSUPPORT})
"""Errors of socket(2) if the kernel lacks a family, or this process is not allowed to use it."""

_NO_ADDRESS: Final = frozenset(
    {errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENETUNREACH, errno.ENETDOWN, errno.EINVAL}
)
"""Errors of bind(2) if this machine lacks a valid address; ENODEV: its interface is gone."""

_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES})
"""Errors of connect(2) to an address of no machine; EACCES is a broadcast address (ip(7))."""


class AddressState(enum.Enum):
    """Whether this machine has an address."""

    HERE = "here"
    MISSING = "missing"
    NO_FAMILY = "no family"
    """The kernel has no addresses of this kind, as after a boot with `ipv6.disable=1`."""


def probe_address(ip: IPAddress) -> AddressState:
    """Return whether this machine has an address, by the kernel's own answer; takes some 50 µs.

    With `net.ipv4.ip_nonlocal_bind=1` (or `ipv6`) the kernel lets a process bind every address, so all
    that have a route count as here. So does what can't be found out.
    """
    try:
        with open_socket(ip) as probe:
            probe.bind(socket_address(ip, 0))
    except OSError as error:
        if error.errno in _NO_FAMILY:
            return AddressState.NO_FAMILY
        return AddressState.MISSING if error.errno in _NO_ADDRESS else AddressState.HERE
    if ip.is_unspecified or ip.is_loopback:
        return AddressState.HERE
    try:
        with open_socket(ip, socket.SOCK_DGRAM) as probe:
            probe.connect(socket_address(ip, _DISCARD))
    except OSError as error:
        if error.errno in _NO_ROUTE:
            return AddressState.MISSING
    return AddressState.HERE


def open_socket(ip: IPAddress, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Return a socket of an address's family, for this family only.

    Raises:
        OSError: The kernel lacks the family, or the process has no descriptor left.
    """
    if isinstance(ip, IPv4Address):
        return socket.socket(socket.AF_INET, kind)
    opened = socket.socket(socket.AF_INET6, kind)
    try:
        # On every system 0.0.0.0 and :: are two separate addresses.
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    except OSError:
        opened.close()
        raise
    return opened


def socket_address(ip: IPAddress, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return an address and a port as `socket.bind` takes them.

    Raises:
        OSError: The interface of a link-local address is gone.
    """
    if isinstance(ip, IPv4Address):
        return str(ip), port
    scope = interface_index(ip.scope_id) if ip.scope_id else 0
    return str(ip).partition("%")[0], port, 0, scope


def interface_index(zone: str) -> int:
    """Return the index of an interface, which is given by its name or its index.

    Raises:
        OSError: This machine has no such interface.
    """
    try:
        if zone.isdecimal():
            socket.if_indextoname(int(zone))
            return int(zone)
        return socket.if_nametoindex(zone)
    except (OSError, OverflowError, ValueError):  # without an errno for a name
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
