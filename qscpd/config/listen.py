"""Addresses to listen on: their forms, and which of them include each other."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORT_LIMIT = 65535
_EXAMPLES = "write 127.0.0.1:7727, [::1]:7727 or localhost:7727, for example"
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")

_LISTEN = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)(?:%(?P<zone>[\w.-]+))?\]|(?P<host>[^\s:\[\]/@]+)):(?P<port>0*[0-9]{1,5})"
)
"""A host name, an IPv4 address, or an IPv6 address with an optional zone in brackets."""

_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
"""A host that ends in a number: no name does (RFC 3696, section 2), and the system reads `127.1` and
`010.0.0.1` as other addresses than most people (inet_aton(3))."""

_ALL_ADDRESSES = "*"
"""Host that means all addresses of both families, as for getaddrinfo(3)."""


@dataclass(frozen=True, slots=True, order=True)
class ListenAddress:
    """Address and port that the daemon listens on."""

    host: str
    """Address, or a name that is looked up at start; IPv6 without brackets."""
    port: int
    """Port; 0 lets the system choose a free one."""

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Its addresses as far as they are known without a look-up; none for a name."""
        if self.host == _ALL_ADDRESSES:
            return (ipaddress.IPv4Address(0), ipaddress.IPv6Address(0))
        try:
            return (ipaddress.ip_address(self.host),)
        except ValueError:
            return ()

    def __str__(self) -> str:
        """Return the form of the configuration."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an entry of `server.listen`; a name can have several."""

    entry: ListenAddress
    ip: IPAddress

    @property
    def named(self) -> bool:
        """Whether the entry is a name that was looked up."""
        return not self.entry.addresses

    def __str__(self) -> str:
        """Return the address with its port, in the form of the configuration."""
        return str(ListenAddress(str(self.ip), self.entry.port))

    def describe(self) -> str:
        """Return the address with its port, and the entry if that is another text."""
        return str(self) if str(self) == str(self.entry) else f"{self} ({self.entry})"


def find_overlaps(endpoints: Iterable[Endpoint]) -> list[str]:
    """Return a sentence for each endpoint that another one of the same port includes."""
    first: dict[tuple[IPAddress, int], Endpoint] = {}
    problems: list[str] = []
    for endpoint in endpoints:
        if not endpoint.entry.port:
            continue  # The system chooses ports that are free.
        known = first.setdefault((endpoint.ip, endpoint.entry.port), endpoint)
        if known is endpoint:
            continue
        if str(known.entry) == str(endpoint.entry):
            problems.append(f"{endpoint.entry} is listed twice; keep one")
        else:
            problems.append(f"{known.entry} and {endpoint.entry} both listen on {endpoint}; keep one")
    wide = {(ip.version, port): endpoint for (ip, port), endpoint in first.items() if ip.is_unspecified}
    for (ip, port), endpoint in first.items():
        if not ip.is_unspecified and (ip.version, port) in wide:
            entry = wide[ip.version, port].entry
            problems.append(f"{entry} already includes {endpoint.describe()}; keep one")
    return list(dict.fromkeys(problems))


@dataclass(frozen=True, slots=True)
class Listeners:
    """List of addresses to listen on, at least one."""

    example: str = "127.0.0.1:7727"
    can_be_empty: bool = False

    def parse_item(self, text: str) -> ListenAddress:
        """Return one address with its port."""
        match = _LISTEN.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not an address and port{_bare_address(text)}; {_EXAMPLES}")
        port = int(match["port"])
        if port > _PORT_LIMIT:
            raise ValueError(
                f"{text!r} has a port out of range; allowed is 0 (any free port) to {_PORT_LIMIT}"
            )
        if match["ipv6"]:
            return ListenAddress(_bracketed(match["ipv6"], match["zone"], text, port), port)
        return ListenAddress(_host(match["host"], text), port)

    def parse(self, text: str, base: Path) -> tuple[ListenAddress, ...]:
        """Return all addresses, at least one."""
        del base
        return tuple(self.parse_item(item.strip()) for item in text.split(","))

    def show(self, value: tuple[ListenAddress, ...]) -> str:
        """Return the addresses, separated by commas."""
        return ", ".join(map(str, value))


def _bare_address(text: str) -> str:
    """Return a hint if a text is an address with the quotes or brackets of a YAML list around it."""
    for bare in (text.strip("\"' "), text.removeprefix("[").removesuffix("]").strip("\"' ")):
        if _LISTEN.fullmatch(bare):
            return f" (did you mean {bare}?)"
    return ""


def _bracketed(address: str, zone: str | None, text: str, port: int) -> str:
    """Return the address in brackets in its shortest form, so that two forms of it are equal."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(f"{text!r} is not an IPv6 address and port; {_EXAMPLES}") from None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        raise ValueError(
            f"{text!r} is an IPv4 address in the form of IPv6; "
            f"write {ListenAddress(str(ip.ipv4_mapped), port)}"
        )
    _check_unicast(ip, text)
    if zone is not None and not ip.is_link_local:
        raise ValueError(
            f"{text!r} is not link-local, so it has no interface; write {ListenAddress(str(ip), port)}"
        )
    if ip.version == 4:  # noqa: PLR2004 - in brackets, which do no harm
        return str(ip)
    if zone is None and ip.is_link_local:
        raise ValueError(
            f"{text!r} is link-local, and every interface can have it; add the interface: "
            f"{ListenAddress(f'{ip}%eth0', port)}, for example"
        )
    return f"{ip}%{zone}" if zone else str(ip)


def _host(host: str, text: str) -> str:
    """Return an IPv4 address, or a name that can be looked up."""
    try:
        ip = ipaddress.IPv4Address(host)
    except ValueError:
        pass
    else:
        _check_unicast(ip, text)
        return host
    if _NUMERIC.fullmatch(host):
        raise ValueError(
            f"{text!r} is not an IPv4 address and port; write four numbers from 0 to 255 without leading "
            "zeros, such as 127.0.0.1:7727"
        )
    try:
        host.encode("idna")  # as `socket.getaddrinfo` does
    except UnicodeError:
        usable = False
    else:
        usable = host.isprintable()
    if not usable:
        raise ValueError(f"{text!r} is not a name of DNS and a port; {_EXAMPLES}")
    return host


def _check_unicast(ip: IPAddress, text: str) -> None:
    if ip.is_multicast or ip == _BROADCAST:
        kind = "multicast" if ip.is_multicast else "broadcast"
        raise ValueError(f"{text!r} is a {kind} address, and nobody can connect to one; {_EXAMPLES}")
