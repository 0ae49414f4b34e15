"""Connecting to real servers, good and bad, and the words for what is wrong."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from qscp import frames
from qscp.errors import ErrorCode, RemoteProtocolError
from qscp_client.errors import ClientError, IncompatibleError, TrustError, UnreachableError
from qscp_client.net.address import ServerAddress
from qscp_client.net.connection import Server
from tests.support.scripted_server import ScriptedServer, make_server_context

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

NOW = dt.datetime.now(tz=dt.UTC)
DAY = dt.timedelta(days=1)


async def wait_for_eof(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing, until the client goes."""
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


def speak(answer: bytes) -> Handler:
    """Make a server that says something, then waits for the client to go."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await wait_for_eof(reader, writer)

    return handle


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close at once."""
    writer.close()


@contextlib.asynccontextmanager
async def listening(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[ServerAddress]:
    """Run a server."""
    done: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        done.add(task)
        await handler(reader, writer)

    listener = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield ServerAddress("localhost", listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await asyncio.gather(*done)


async def refusal(address: ServerAddress, ca_file: Path, timeout_s: float = 10) -> ClientError:
    """Return why connecting did not work."""
    with pytest.raises(ClientError) as caught:
        await Server(address, ca_file, timeout_s).connect()
    return caught.value


async def test_a_good_server_is_connected_to(server: ScriptedServer, ca_file: Path) -> None:
    """Frames go to and fro."""
    link = await Server(ServerAddress("localhost", server.port), ca_file).connect()
    async with link:
        link.send(frames.Auth(user="alice", password="wonderland"))
        await link.drain()
        [ack, *_] = await link.receive()
    assert isinstance(ack, frames.AuthAck)


async def test_a_name_that_is_an_address_is_verified_too(server: ScriptedServer, ca_file: Path) -> None:
    """The certificate has the address."""
    link = await Server(ServerAddress("127.0.0.1", server.port), ca_file).connect()
    await link.close()


async def test_another_ca_is_not_trusted(server: ScriptedServer, tmp_path: Path) -> None:
    """Unknown issuer."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    error = await refusal(ServerAddress("localhost", server.port), tmp_path / "other.pem")
    assert isinstance(error, TrustError)
    assert "unknown issuer" in str(error)
    assert "ca.pem" in str(error)


@pytest.mark.parametrize(
    ("names", "not_before", "not_after", "part"),
    [
        (["chat.example.org"], None, None, "not for the name localhost (wrong name)"),
        (["192.0.2.1"], None, None, "not for the name localhost (wrong name)"),
        (["localhost"], NOW - 3 * DAY, NOW - DAY, "has expired. This computer's clock says"),
        (["localhost"], NOW + DAY, NOW + 3 * DAY, "not yet valid. This computer's clock says"),
    ],
)
async def test_a_bad_certificate_is_not_trusted(
    names: list[str],
    not_before: dt.datetime | None,
    not_after: dt.datetime | None,
    part: str,
    ca: trustme.CA,
    ca_file: Path,
) -> None:
    """Each with its cause."""
    certificate = ca.issue_cert(*names, not_before=not_before, not_after=not_after)
    async with listening(wait_for_eof, make_server_context(certificate)) as address:
        error = await refusal(address, ca_file)
    assert isinstance(error, TrustError)
    assert part in str(error)


@pytest.mark.parametrize("alpn", [[], ["h2"]])
async def test_a_server_of_another_protocol_is_left(
    alpn: list[str], certificate: trustme.LeafCert, ca_file: Path
) -> None:
    """TLS alone is not enough: ALPN must agree."""
    async with listening(wait_for_eof, make_server_context(certificate, alpn)) as address:
        error = await refusal(address, ca_file)
    assert isinstance(error, IncompatibleError)
    assert "not QSCP/1" in str(error)


async def test_old_tls_is_left(certificate: trustme.LeafCert, ca_file: Path) -> None:
    """TLS 1.3 or nothing; a blocking server, because asyncio's keeps the fatal alert to itself."""
    context = make_server_context(certificate, version=ssl.TLSVersion.TLSv1_2)

    def handshake(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        _, error = await asyncio.gather(
            asyncio.to_thread(handshake, listener),
            refusal(ServerAddress("localhost", listener.getsockname()[1]), ca_file),
        )
    assert isinstance(error, IncompatibleError)
    assert "TLS 1.3" in str(error)


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ESMTP\r\n", b":irc NOTICE * :hi\r\n", b"SSH-2.0-x\r\n"],
)
async def test_a_server_without_tls_is_left(answer: bytes, ca_file: Path) -> None:
    """Nothing was sent to it but the handshake."""
    async with listening(speak(answer)) as address:
        error = await refusal(address, ca_file)
    assert isinstance(error, UnreachableError)
    assert "does not speak TLS" in str(error)


async def test_a_silent_server_is_left(ca_file: Path) -> None:
    """The handshake has a deadline."""
    async with listening(wait_for_eof) as address:
        error = await refusal(address, ca_file, timeout_s=0.5)
    assert isinstance(error, UnreachableError)
    assert "did not answer the TLS handshake" in str(error)


async def test_a_server_that_hangs_up_is_told(ca_file: Path) -> None:
    """It may be full."""
    async with listening(hang_up) as address:
        error = await refusal(address, ca_file)
    assert isinstance(error, UnreachableError)
    assert "closed the connection during the TLS handshake" in str(error)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_nothing_listens(host: str, ca_file: Path) -> None:
    """Also where a name has several addresses."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await refusal(ServerAddress(host, unused.getsockname()[1]), ca_file)
    assert isinstance(error, UnreachableError)
    assert "Nothing listens at" in str(error)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64, "a..b"])
async def test_a_name_does_not_resolve(host: str, ca_file: Path) -> None:
    """Neither an unknown nor an impossible one."""
    error = await refusal(ServerAddress(host), ca_file)
    assert isinstance(error, UnreachableError)
    assert host in str(error)


async def test_a_lost_connection_ends_receiving(server: ScriptedServer, ca_file: Path) -> None:
    """A reset is an end like another."""
    async with await Server(ServerAddress("localhost", server.port), ca_file).connect() as link:
        link.send(frames.Auth(user="alice", password="wonderland"))
        await server.until(lambda script: "alice" in script.sessions)
        server.drop_all()
        while await link.receive():
            pass
        await link.drain()


async def test_a_server_that_breaks_the_protocol_is_told_apart(
    certificate: trustme.LeafCert, ca_file: Path
) -> None:
    """It raises; it is no lost connection."""
    async with (
        listening(speak(b"this is not JSON\n"), make_server_context(certificate)) as address,
        await Server(address, ca_file).connect() as link,
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            await link.receive()
    assert caught.value.code is ErrorCode.NOT_JSON
