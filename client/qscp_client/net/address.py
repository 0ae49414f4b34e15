"""Server addresses, `HOST[:PORT]` as users type them."""

import ipaddress
import re
import unicodedata
from typing import Final, NamedTuple

from qscp import DEFAULT_PORT
from qscp.characters import drop_pasted
from qscp_client.text import quote

_FORM: Final = "write HOST or HOST:PORT, such as chat.example.org:7727"

_PARTS: Final = re.compile(
    r"(?P<scheme>(?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?(?P<user>[^@/]*@)?(?P<place>[^/?#]*)(?P<path>.*)", re.DOTALL
)
"""The parts of a URL; only the place is wanted."""

_LONGEST_PORT: Final = 65535
_LONGEST_NAME: Final = 253
_LONGEST_LABEL: Final = 63
"""Of a host name and each of its parts, from RFC 1035."""

_LIKE_A_PORT: Final = 3
"""Decimal digits at the end of an IPv6 address without brackets that can be meant as a port."""

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")
_NO_ZONE: Final = re.compile(r"[:\s\[\]]")


class ServerAddress(NamedTuple):
    """Host and port of a server; the host is also the name that its certificate must have."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        """Return the form that `parse_server` reads."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def certified(self) -> str:
        """The host as a certificate names it: without the zone of a link-local address."""
        return self.host.partition("%")[0]

    @property
    def zone(self) -> str:
        """The network interface of a link-local address; empty for any other."""
        return self.host.partition("%")[2]


def parse_server(text: str) -> ServerAddress:
    """Parse `host`, `host:port`, `[ipv6]:port` or a bare IPv6 address.

    Raises:
        ValueError: The text is no address; the message says what is wrong, for the user.
    """
    typed = drop_pasted(text).strip()
    _refuse_url(typed)
    host, port = _split(typed)
    return ServerAddress(host, _parse_port(port) if port else DEFAULT_PORT)


def _refuse_url(typed: str) -> None:
    """Raise ValueError if there is more than host and port."""
    match = _PARTS.fullmatch(typed)
    if match is None:
        raise AssertionError  # pragma: no cover - each part can be empty
    extra = [f'"{quote(match[part])}"' for part in ("scheme", "path") if match[part]]
    if match["user"]:
        extra.append("the user name")  # not repeated here: it can have a password
    if extra:
        place = quote(match["place"])
        form = f"write {place}" if place else _FORM
        if match["user"]:
            form += ", and the name with --user"
        raise ValueError(f"a server is HOST or HOST:PORT; leave out {' and '.join(extra)}: {form}")


def _split(typed: str) -> tuple[str, str]:
    """Return host and port; the port is empty if there is none."""
    if typed.startswith("["):
        return _split_brackets(typed)
    address = _parse_ipv6(typed)
    before, _, last = typed.rpartition(":")
    inner = _parse_ipv6(before)
    if inner and last.isdecimal() and (not address or len(last) >= _LIKE_A_PORT):
        other = f", or [{typed}] if all of it is the address" if address else ""
        raise ValueError(f'"{typed}" needs brackets around the IPv6 address: write [{before}]:{last}{other}')
    if address:
        return _check_ipv6(address), ""
    _refuse_empty_zone(typed)
    if typed.count(":") > 1:
        raise ValueError(
            f'"{quote(typed)}" has more than one colon and is no IPv6 address; '
            f"{_FORM} or [::1]:{DEFAULT_PORT}"
        )
    host, _, port = typed.partition(":")
    return _check_name(host, typed), port


def _split_brackets(typed: str) -> tuple[str, str]:
    inner, closed, rest = typed[1:].partition("]")
    if not closed:
        before, _, last = inner.rpartition(":")
        fits = _parse_ipv6(before) and last.isdecimal()
        right = f"[{before}]:{last}" if fits else f"[{quote(inner)}]"
        raise ValueError(f'"{quote(typed)}" has no closing bracket; write {right}')
    address = _parse_ipv6(inner)
    if address is None:
        _refuse_empty_zone(inner)
        raise ValueError(f'"{quote(inner)}" is no IPv6 address; only those are written in brackets')
    if rest and not rest.startswith(":"):
        raise ValueError(f'"{quote(rest)}" after the brackets is no port; write [{inner}]:{DEFAULT_PORT}')
    return _check_ipv6(address), rest[1:]


def _parse_ipv6(text: str) -> ipaddress.IPv6Address | None:
    """Return an address, possibly with a zone; None for anything else."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    # Python takes anything for a zone.
    return None if address.scope_id and _NO_ZONE.search(address.scope_id) else address


def _refuse_empty_zone(text: str) -> None:
    if text.endswith("%") and _parse_ipv6(text[:-1]):
        raise ValueError(f'"{text}" has no network interface after the %; write {text}eth0, for example')


def _check_ipv6(address: ipaddress.IPv6Address) -> str:
    """Return the address in its usual form, with its zone."""
    if address.is_link_local and not address.scope_id:
        raise ValueError(
            f"{address} is a link-local address, which needs the network interface: "
            f"write {address}%INTERFACE, such as {address}%eth0"
        )
    if address.scope_id and not (address.is_link_local or address.is_multicast):
        plain = str(address).partition("%")[0]
        raise ValueError(
            "only a link-local address (fe80::) has a network interface; "
            f'leave out "%{quote(address.scope_id)}": write [{plain}] or [{plain}]:{DEFAULT_PORT}'
        )
    return str(address)


def _check_name(host: str, typed: str) -> str:
    """Return a host name or IPv4 address, without a dot at its end."""
    if any(character.isspace() for character in host):
        raise ValueError(f'"{quote(typed)}" has a blank; {_FORM}')
    host = host.removesuffix(".")
    if not host:
        raise ValueError(f'"{quote(typed)}" has no host; {_FORM}')
    if host.isdecimal():
        raise ValueError(f'"{quote(typed)}" is only a number; {_FORM}')
    labels = host.split(".")
    if "" in labels:
        raise ValueError(f'"{quote(host)}" has an empty part beside a dot; check the name')
    if labels[-1].isdecimal() and not _is_ipv4(host):
        raise ValueError(f'"{quote(host)}" is no IPv4 address; it has four numbers from 0 to 255')
    _check_characters(host)
    return host


def _check_characters(host: str) -> None:
    """Raise ValueError if the name can't be looked up."""
    try:
        # With the rules of the resolver: a name can have letters of any language.
        encoded = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        encoded = ""
    if len(encoded) > _LONGEST_NAME or any(len(label) > _LONGEST_LABEL for label in host.split(".")):
        raise ValueError(
            f'"{quote(host)}" is too long: a name has at most {_LONGEST_NAME} characters, '
            f"and {_LONGEST_LABEL} between two dots"
        )
    if not encoded or _NO_NAME.search(encoded):
        odd = next((each for each in host if not (each.isalnum() or each in "._-")), "")
        fault = f"has the character {_describe(odd)}" if odd else "is too long, or has letters"
        raise ValueError(f'"{quote(host)}" {fault} that no host name has; check the name')


def _describe(character: str) -> str:
    if character.isascii() and character.isprintable():
        return f'"{character}"'
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _parse_port(port: str) -> int:
    digits = port.isascii() and port.isdigit() and len(port) <= len(str(_LONGEST_PORT))
    if not (digits and 1 <= int(port) <= _LONGEST_PORT):
        raise ValueError(f'"{quote(port)}" is not a port; use 1 to {_LONGEST_PORT}')
    return int(port)
