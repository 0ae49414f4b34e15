"""Server addresses, `HOST[:PORT]` as users type them."""

import ipaddress
from typing import NamedTuple

from qscp import DEFAULT_PORT


class ServerAddress(NamedTuple):
    """Host and port of a server; the host is also the name that its certificate must have."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        """Return the form that `parse_server` reads."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_server(text: str) -> ServerAddress:
    """Parse `host`, `host:port`, `[ipv6]:port` or a bare IPv6 address.

    Raises:
        ValueError: The text is no address; the message says what is wrong, for the user.
    """
    host, port = _split(text.strip())
    if not host or any(character.isspace() for character in host):
        raise ValueError(f"{text!r} has no host; write HOST or HOST:PORT, such as chat.example.org:7727")
    if not port:
        return ServerAddress(host)
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):  # noqa: PLR2004 - 16 bits
        raise ValueError(f"{port!r} is not a port; use 1 to 65535")
    return ServerAddress(host, int(port))


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    try:
        return str(ipaddress.IPv6Address(text)), ""
    except ValueError:
        host, _, port = text.partition(":")
        return host, port
