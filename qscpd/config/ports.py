"""Ports that only a privileged process can listen on."""

import contextlib
from pathlib import Path
from typing import Final

from qscpd.config.listen import ListenAddress
from qscpd.config.model import Config

_FIRST_FREE: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
"""First port that needs no privilege, also for IPv6 (ip(7), linux/Documentation/networking/ip-sysctl.rst)."""

FIRST_FREE_PORT: Final = 1024
"""The same where the system does not say otherwise."""

_STATUS: Final = Path("/proc/self/status")

_CAP_NET_BIND_SERVICE: Final = 1 << 10
"""Bit of the capability in <linux/capability.h>."""

DROP_IN: Final = (
    "[Service] AmbientCapabilities=CAP_NET_BIND_SERVICE CapabilityBoundingSet=CAP_NET_BIND_SERVICE "
    "PrivateUsers=no, each on a line of its own"
)
"""Content of a drop-in of the unit that allows these ports."""


def privileged_addresses(config: Config) -> list[ListenAddress]:
    """Return the addresses in `server.listen` whose ports this user can't use."""
    first = FIRST_FREE_PORT
    with contextlib.suppress(OSError, ValueError):
        first = int(_FIRST_FREE.read_text(encoding="utf-8"))
    found = [address for address in config.server.listen if 0 < address.port < first]
    return [] if found and _can_bind_all() else found


def _can_bind_all() -> bool:
    with contextlib.suppress(OSError, ValueError):
        for line in _STATUS.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name == "CapEff":
                return bool(int(value, 16) & _CAP_NET_BIND_SERVICE)
    return False


def explain_privileged(addresses: list[ListenAddress], user: str) -> str:
    """Return why a user can't listen on addresses, and what to do."""
    shown = ", ".join(map(str, addresses))
    return (
        f"server.listen: {shown}: user {user} can't use a port this low. Choose one from 1024 on, such as "
        "7727; or allow it in the unit (docs/installation.md): run `systemctl edit qscpd`, and write "
        f"{DROP_IN}"
    )
