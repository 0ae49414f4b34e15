"""The listening sockets."""

import asyncio
import contextlib
import gc
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import structlog.testing

from qscpd.config import Config, ListenAddress, ServerConfig, TlsConfig
from qscpd.net.address_share import share_of
from qscpd.net.admission import Admission, Visitor
from qscpd.net.link import Link, LinkSession
from qscpd.net.listener import Listener
from qscpd.net.peer_log import PeerLog
from qscpd.net.tls import load_pair
from qscpd.setup.pki import AuthorityFiles
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture(scope="session")
def context(authority: AuthorityFiles) -> ssl.SSLContext:
    """The daemon's TLS context."""
    return load_pair(TlsConfig(authority.certificate, authority.key)).context


def no_session(link: Link) -> LinkSession:
    """Fail: these tests have no sessions."""
    raise AssertionError(link)


def listening(context: ssl.SSLContext, *addresses: ListenAddress, most: int = 10) -> Listener:
    """Return a listener that is not bound yet."""
    config = replace(Config(), server=ServerConfig(listen=addresses, max_connections=most))
    admission = Admission(config, time.monotonic, descriptors=1000)
    return Listener(config, context, no_session, admission, PeerLog("always", 10))


@pytest.fixture
async def listener(context: ssl.SSLContext) -> AsyncIterator[Listener]:
    """A listener on a free port, with a limit of two links."""
    made = listening(context, ListenAddress("127.0.0.1", 0), most=2)
    made.bind()
    made.accept()
    yield made
    made.stop_accepting()
    made.abort_all("test")
    await made.all_gone()


def connect(listener: Listener) -> socket.socket:
    """Connect to the listener."""
    host, _, port = listener.bound.addresses[0].rpartition(":")
    return socket.create_connection((host, int(port)))


def is_closed(connected: socket.socket) -> bool:
    """Return whether the daemon closes a connection before it sends anything."""
    connected.settimeout(PATIENCE_S)
    with contextlib.suppress(ConnectionError):
        return connected.recv(1) == b""
    return True


async def test_it_counts_and_limits_links(listener: Listener) -> None:
    """A link above the limit is closed; when one ends there is room again."""
    with connect(listener) as first, connect(listener):
        await until(lambda: len(listener.links) == 2)
        with connect(listener) as third:
            assert await asyncio.to_thread(is_closed, third)
        first.close()
        await until(lambda: len(listener.links) == 1)
        with connect(listener):
            await until(lambda: len(listener.links) == 2)


async def test_refusals_are_logged_once_a_second(listener: Listener) -> None:
    """One line per second has the number of refusals; without any there is no line."""
    loop = asyncio.get_running_loop()
    with connect(listener), connect(listener):
        await until(lambda: len(listener.links) == 2)
        with structlog.testing.capture_logs() as logged:
            for refused in (3, 0, 1):
                for _ in range(refused):
                    with connect(listener) as each:
                        assert await loop.run_in_executor(None, is_closed, each)
                listener.tick()
    assert logged == [
        {"event": "link.refused", "log_level": "warning", "reason": "max_connections", "links": links}
        for links in (3, 1)
    ]


async def test_handshakes_can_be_aborted(listener: Listener) -> None:
    """Links without a finished handshake can be aborted."""
    with connect(listener), connect(listener):
        await until(lambda: len(listener.links) == 2)
        listener.stop_accepting()
        listener.abort_handshakes("shutdown")
        await listener.all_gone()
        assert listener.links == set()


async def test_a_bug_in_one_handshake_does_not_stop_the_others(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error in a link's handshake, those of the others continue."""
    errors: list[object] = []
    continued: list[Link] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    def proceed(link: Link) -> None:
        if not errors:
            raise ZeroDivisionError
        continued.append(link)

    monkeypatch.setattr(Link, "proceed", proceed)
    with connect(listener), connect(listener):
        await until(lambda: len(listener.links) == 2)
        for link in listener.links:
            listener.schedule_handshake(link)
        await until(lambda: continued)
    assert [type(each) for each in errors] == [ZeroDivisionError]


async def test_late_connections_are_refused(listener: Listener) -> None:
    """Connections after `stop_accepting` are refused, also those in the kernel's queue."""
    host, _, port = listener.bound.addresses[0].rpartition(":")
    listener.stop_accepting()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    visitor = Visitor("192.0.2.7", share_of("192.0.2.7"))
    assert not listener.admit(Link(listener, asyncio.get_running_loop(), visitor))


async def test_nothing_keeps_a_closed_link_alive(listener: Listener) -> None:
    """A link that is gone is freed by reference counting alone, with the memory of its TLS."""
    gc.collect()
    gc.disable()
    try:
        for sent in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01"):
            with connect(listener) as connected:
                await until(lambda: len(listener.links) == 1)
                connected.sendall(sent)
            await until(lambda: not listener.links)
            await until(lambda: not [each for each in gc.get_objects() if type(each) is Link])
    finally:
        gc.enable()
