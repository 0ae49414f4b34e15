"""The kernel's send queue of a socket: what the peer has not received yet."""

import asyncio
import contextlib
import fcntl
import struct
import termios


def unacknowledged(transport: asyncio.BaseTransport) -> int:
    """Return the bytes that the kernel has for the peer, and that the peer has not acknowledged.

    They become fewer with each segment that a slow peer reads. The transport's own buffer shrinks only
    when a third of the kernel's is free, which can be a megabyte later.

    Returns:
        Their number; 0 if the socket is closed.
    """
    connection = transport.get_extra_info("socket")
    if connection is None:
        return 0
    count = bytearray(4)
    with contextlib.suppress(OSError, ValueError):
        fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, count)
    waiting: int
    (waiting,) = struct.unpack("i", count)
    return waiting
