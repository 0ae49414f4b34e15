"""Names of a certificate: which are valid, those of this machine, and changes from one to the next."""

import contextlib
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from qscpd.errors import UsageError

_DNS_NAME: Final = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_DNS_LIMIT: Final = 253


@dataclass(frozen=True, slots=True)
class NameChange:
    """Names of a new certificate, compared with the old one."""

    kept: tuple[str, ...]
    added: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the new certificate."""
        return self.kept + self.added


def check_names(names: Sequence[str]) -> None:
    """Check that the names are valid in a certificate.

    Raises:
        UsageError: One is neither a DNS name nor an address.
    """
    for name in names:
        general_name(name)


def default_names() -> tuple[str, ...]:
    """Return this machine's own names: localhost, its addresses and its host name."""
    host = socket.gethostname().lower()
    hosts = [
        name
        for name in (host, host.partition(".")[0])
        if _DNS_NAME.fullmatch(name) and len(name) <= _DNS_LIMIT
    ]
    return tuple(dict.fromkeys(["localhost", *hosts, "127.0.0.1", "::1"]))


def change_names(present: Sequence[str], add: Sequence[str], drop: Sequence[str]) -> NameChange:
    """Return which names are kept, added and dropped.

    Raises:
        UsageError: A dropped name is not there, or is also added, or none would be left.
    """
    check_names(add)
    present, wanted, unwanted = (tuple(dict.fromkeys(map(_normal, names))) for names in (present, add, drop))
    for name in unwanted:
        if name in wanted:
            raise UsageError(f"{name} is both added and dropped; use one of --name and --drop-name for it")
        if name not in present:
            raise UsageError(f"{name[:80]!r} is not in the certificate, which is for {', '.join(present)}")
    kept = tuple(name for name in present if name not in unwanted)
    added = tuple(name for name in wanted if name not in present)
    if not kept and not added:
        raise UsageError("a certificate needs a name; drop fewer, or add one with --name")
    return NameChange(kept, added, unwanted)


def _normal(name: str) -> str:
    """Return a name in the form in which our certificates have it, so that it can be compared."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name))
    return name.lower()


def general_name(name: str) -> x509.GeneralName:
    """Return a name as certificates have it.

    Raises:
        UsageError: It is neither a DNS name nor an address.
    """
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name)
        if "%" not in name:  # the zone of fe80::1%eth0 is valid on one machine only
            return x509.IPAddress(address)
    lowered = name.lower()
    if _DNS_NAME.fullmatch(lowered) is None or len(name) > _DNS_LIMIT:
        raise UsageError(
            f"{name[:80]!r} is neither a DNS name nor an IP address; "
            "write an international name in its xn-- form"
        )
    return x509.DNSName(lowered)
