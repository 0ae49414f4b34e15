"""Ports for servers that need to know their port before they start."""

import random
import socket
from typing import Final

__all__ = ["free_port", "listen_on_free_port"]

_PORTS: Final = range(20_000, 32_768)
"""Below the ports that Linux assigns automatically (`ip_local_port_range`)."""


def free_port() -> int:
    """Return a free port, to which a daemon can bind again after each restart.

    No other process of tests gets it as long as this one runs.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        if _is_free(port) and _reserve(port):
            return port
    raise AssertionError("no port is free")


def listen_on_free_port() -> str:
    """Return a setting, for a daemon that is started again where its clients know it.

    A port that the system has assigned could be in use by a connection of another test then.
    """
    return f"server.listen=127.0.0.1:{free_port()}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _reserve(port: int) -> bool:
    """Take a name that the kernel frees with this process (unix(7): abstract socket address)."""
    with socket.socket(socket.AF_UNIX) as mark:
        try:
            mark.bind(f"\0qscp-test-port-{port}")
        except OSError:
            return False
        mark.detach()
        return True
