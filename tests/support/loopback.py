"""TLS connections to a daemon on the loopback."""

import asyncio
import ssl
from typing import Final

__all__ = ["READ", "open_loopback"]

READ: Final = 256 * 1024
"""Bytes that are read at once."""


async def open_loopback(
    port: int, context: ssl.SSLContext, address: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a daemon, and do the TLS handshake.

    Args:
        port: The daemon's.
        context: TLS context.
        address: Address to connect from, such as 127.0.0.2.

    Raises:
        OSError: The server can't be reached, or closed the connection.
    """
    return await asyncio.open_connection(
        "127.0.0.1",
        port,
        ssl=context,
        server_hostname="localhost",
        limit=READ,
        local_addr=(address, 0) if address else None,
    )
