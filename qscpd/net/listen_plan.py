"""What `server.listen` means on this machine: names looked up, addresses that it has or lacks."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final

from qscpd.config import Endpoint, IPAddress, ListenAddress, find_overlaps
from qscpd.errors import QscpdError
from qscpd.net.local_addresses import AddressState, interface_index, probe_address

_ADDRESSES_OF_NAME: Final = 64
"""Most addresses of a name; that of one machine has a few."""


@dataclass(slots=True)
class ListenPlan:
    """Addresses to listen on, by what can be done with them."""

    usable: list[Endpoint] = field(default_factory=list)
    """Addresses to bind, in the order of the configuration."""
    missing: list[Endpoint] = field(default_factory=list)
    """Those of `usable` that this machine lacks: each is bound, and works as soon as the machine has it."""
    skipped: list[Endpoint] = field(default_factory=list)
    """Wildcards and loopback addresses that it lacks; those of a name whose family it lacks."""
    overlaps: list[str] = field(default_factory=list)
    """Sentences about addresses that are listed twice; these are mistakes of the configuration."""
    problems: list[str] = field(default_factory=list)
    """Sentences about entries that can't be used at this moment."""


def plan_listening(listen: Sequence[ListenAddress]) -> ListenPlan:
    """Return what can be done with each entry of `server.listen`.

    Names are looked up, which can take some seconds for each while DNS does not answer.
    """
    plan = ListenPlan()
    endpoints: list[Endpoint] = []
    for entry in listen:
        try:
            endpoints += resolve(entry)
        except QscpdError as error:
            plan.problems.append(str(error))
    plan.overlaps = find_overlaps(endpoints)
    for endpoint in endpoints:
        _place(endpoint, plan)
    if plan.skipped and not (plan.usable or plan.problems):
        plan.problems.append(f"{_no_family(plan.skipped)}, and nothing else is listed; add what it has")
    return plan


def _place(endpoint: Endpoint, plan: ListenPlan) -> None:
    state = probe_address(endpoint.ip)
    general = endpoint.ip.is_unspecified or endpoint.ip.is_loopback
    if state is AddressState.NO_FAMILY and not (general or endpoint.named):
        plan.problems.append(
            f"{endpoint}: this machine has no IPv{endpoint.ip.version}; enable it, or remove the address"
        )
    elif state is AddressState.NO_FAMILY or (state is AddressState.MISSING and general):
        plan.skipped.append(endpoint)
    else:
        plan.usable.append(endpoint)
        if state is AddressState.MISSING:
            plan.missing.append(endpoint)


def skip_reason(skipped: Sequence[Endpoint]) -> str:
    """Return why addresses are skipped."""
    return f"{_no_family(skipped)}, so nothing listens there"


def _no_family(skipped: Sequence[Endpoint]) -> str:
    versions = sorted({endpoint.ip.version for endpoint in skipped})
    families = " and ".join(f"IPv{version}" for version in versions)
    return f"this machine has no {families} for {', '.join(endpoint.describe() for endpoint in skipped)}"


def missing_reason(endpoint: Endpoint) -> str:
    """Return what it means that this machine lacks an address."""
    return (
        f"this machine lacks {endpoint.describe()}, so nobody can connect to it; it works as soon as the "
        "machine has it. Check that it is not mistyped"
    )


def resolve(entry: ListenAddress) -> list[Endpoint]:
    """Return all addresses of an entry.

    Raises:
        QscpdError: The name or the interface is not known; the text says what to do.
    """
    try:
        ips = entry.addresses or _look_up(entry)
        return [Endpoint(entry, ip) for ip in dict.fromkeys(map(_with_interface, ips))]
    except OSError as error:
        if entry.addresses:
            zone = entry.host.partition("%")[2]
            raise QscpdError(f"{entry}: this machine has no interface {zone}; `ip link` shows all") from error
        raise QscpdError(
            f"{entry}: the name can't be looked up: {error.strerror or error}; check the name, DNS and "
            "/etc/hosts, or write an address"
        ) from error


def _look_up(entry: ListenAddress) -> list[IPAddress]:
    found = socket.getaddrinfo(entry.host, entry.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    ips = list(dict.fromkeys(ip for *_, where in found if (ip := _address_of(where)) is not None))
    if not ips:
        raise OSError(0, "it has no address")
    if len(ips) > _ADDRESSES_OF_NAME:
        raise OSError(0, f"it has {len(ips)} addresses, more than {_ADDRESSES_OF_NAME}")
    return ips


def _address_of(where: tuple[object, ...]) -> IPAddress | None:
    """Return the address of a result of getaddrinfo(3); None for a link-local one without an interface."""
    host, *_, scope = where
    ip = ip_address(str(host).partition("%")[0])
    if not isinstance(ip, IPv6Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if not ip.is_link_local:
        return ip
    return IPv6Address(f"{ip}%{scope}") if scope else None


def _with_interface(ip: IPAddress) -> IPAddress:
    """Return a link-local address with the name of its interface, so that its two forms are equal.

    Raises:
        OSError: This machine has no such interface.
    """
    if not (isinstance(ip, IPv6Address) and ip.scope_id):
        return ip
    name = socket.if_indextoname(interface_index(ip.scope_id))
    return IPv6Address(f"{str(ip).partition('%')[0]}%{name}")
