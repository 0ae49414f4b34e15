"""Ports for servers that need to know their port before they start."""

import random
import socket
from typing import Final

__all__ = ["free_port"]

_PORTS: Final = range(20_000, 32_768)
"""Below the ports that Linux assigns automatically (`ip_local_port_range`)."""


def free_port() -> int:
    """Return a free port, to which a daemon can bind again after each restart."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
