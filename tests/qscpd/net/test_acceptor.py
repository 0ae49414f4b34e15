"""Accepting of connections, also when it fails."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator

import pytest
import structlog.testing

from qscpd.net.acceptor import Acceptor
from tests.support.waiting import until


class Failing(socket.socket):
    """A listening socket that can fail.

    Attributes:
        error: Number of the error that `accept` raises; 0 for none.
        calls: Calls of `accept`.
    """

    error = 0
    calls = 0

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection, or fail."""
        self.calls += 1
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        accepted, address = super().accept()
        return accepted, address


@pytest.fixture
def listening() -> Iterator[Failing]:
    """A listening socket."""
    with Failing(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.bind(("127.0.0.1", 0))
        made.listen(100)
        yield made


async def test_it_accepts_in_portions(listening: Failing) -> None:
    """All connections are accepted, at most 32 in a turn of the loop."""
    turns: list[int] = []
    accepted: list[tuple[socket.socket, str]] = []
    loop = asyncio.get_running_loop()

    def take(connection: socket.socket, remote: str) -> None:
        if not turns or turns[-1] == -1:
            turns.append(0)
            loop.call_soon(turns.append, -1)
        turns[-1] += 1
        accepted.append((connection, remote))

    acceptor = Acceptor([listening], take)
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.create_connection(listening.getsockname()))
        acceptor.start()
        await until(lambda: len(accepted) == 50)
        assert max(turns) <= 32
        assert {remote for _, remote in accepted} == {"127.0.0.1"}
        for connection, _ in accepted:
            assert connection.gettimeout() == 0
            connection.close()
        acceptor.stop()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_without_descriptors_it_pauses_and_goes_on(listening: Failing, error: int) -> None:
    """Without descriptors it tries a few times a second, logs one line, and accepts what waited later."""
    accepted: list[socket.socket] = []
    with (
        structlog.testing.capture_logs() as logged,
        socket.create_connection(listening.getsockname()),
    ):
        acceptor = Acceptor([listening], lambda connection, _: accepted.append(connection))
        listening.error = error
        acceptor.start()
        await until(lambda: listening.calls == 3)
        assert [entry["event"] for entry in logged] == ["link.accept_failed"]
        assert logged[0]["reason"] == os.strerror(error)
        listening.error = 0
        await until(lambda: accepted)
        accepted[0].close()
        acceptor.stop()
    assert [entry["event"] for entry in logged] == ["link.accept_failed", "link.accept_failed.over"]
    assert logged[1]["failures"] == 3


async def test_a_peer_that_is_gone_already_is_skipped(listening: Failing) -> None:
    """An error of a single connection ends nothing, and is no line of the log."""
    with structlog.testing.capture_logs() as logged, socket.create_connection(listening.getsockname()):
        acceptor = Acceptor([listening], lambda connection, _: connection.close())
        listening.error = errno.ECONNABORTED
        acceptor.start()
        await until(lambda: listening.calls >= 32)
        acceptor.stop()
    assert logged == []
