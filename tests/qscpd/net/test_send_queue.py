"""The kernel's send queue, on real sockets."""

import asyncio
import socket
from functools import partial

from qscpd.net.send_queue import unacknowledged
from tests.support.waiting import until


def _waiting(transport: asyncio.Transport) -> int:
    return transport.get_write_buffer_size() + unacknowledged(transport)


def _is_below(transport: asyncio.Transport, before: int) -> bool:
    return _waiting(transport) < before


async def test_each_read_of_a_slow_peer_is_progress() -> None:
    """What a peer reads shows at once, also while the transport's own buffer does not shrink."""
    listener = socket.create_server(("127.0.0.1", 0))
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(listener.getsockname())
    connection, _ = listener.accept()
    with listener, peer:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=connection)
        assert unacknowledged(transport) == 0
        transport.write(b"x" * 10_000_000)
        await until(lambda: unacknowledged(transport) > 100_000)
        for _ in range(3):
            before = _waiting(transport)
            peer.recv(8192)
            await until(partial(_is_below, transport, before))
        transport.abort()
        await asyncio.sleep(0)
        assert unacknowledged(transport) == 0
