"""Connections to good and bad servers, and the errors for each fault."""

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
    """Send nothing until the client closes the connection."""
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


def speak(answer: bytes) -> Handler:
    """Return a handler that sends an answer, then waits for the client to close."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await wait_for_eof(reader, writer)

    return handle


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection at once."""
    writer.close()


@contextlib.asynccontextmanager
async def listening(
    handler: Handler, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[ServerAddress]:
    """Run a server."""
    done: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        done.add(task)
        await handler(reader, writer)

    listener = await asyncio.start_server(handle, host, 0, ssl=context)
    try:
        yield ServerAddress("localhost", listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await asyncio.gather(*done)


async def refusal(address: ServerAddress, ca_file: Path, timeout_s: float = 10) -> ClientError:
    """Return the error of a failed connection."""
    with pytest.raises(ClientError) as caught:
        await Server(address, ca_file, timeout_s).connect()
    return caught.value


async def test_a_good_server_is_accepted(server: ScriptedServer, ca_file: Path) -> None:
    """Frames are exchanged with a server whose certificate is valid."""
    link = await Server(ServerAddress("localhost", server.port), ca_file).connect()
    async with link:
        link.send(frames.Auth(user="alice", password="wonderland"))
        await link.drain()
        [ack, *_] = await link.receive()
    assert isinstance(ack, frames.AuthAck)


async def test_an_ip_address_is_verified(server: ScriptedServer, ca_file: Path) -> None:
    """A certificate with the server's IP address is accepted."""
    link = await Server(ServerAddress("127.0.0.1", server.port), ca_file).connect()
    await link.close()


async def test_another_ca_is_not_trusted(server: ScriptedServer, tmp_path: Path) -> None:
    """A certificate of another CA is refused as "unknown issuer"."""
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
    """A certificate with a wrong name or date is refused with the cause."""
    certificate = ca.issue_cert(*names, not_before=not_before, not_after=not_after)
    async with listening(wait_for_eof, make_server_context(certificate)) as address:
        error = await refusal(address, ca_file)
    assert isinstance(error, TrustError)
    assert part in str(error)


@pytest.mark.parametrize("alpn", [[], ["h2"]])
async def test_another_alpn_protocol_is_refused(
    alpn: list[str], certificate: trustme.LeafCert, ca_file: Path
) -> None:
    """A TLS server that does not select QSCP by ALPN is refused."""
    async with listening(wait_for_eof, make_server_context(certificate, alpn)) as address:
        error = await refusal(address, ca_file)
    assert isinstance(error, IncompatibleError)
    assert "not QSCP/1" in str(error)


async def test_old_tls_is_refused(certificate: trustme.LeafCert, ca_file: Path) -> None:
    """TLS 1.2 is refused. The server blocks, as asyncio's would hide the fatal alert."""
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
async def test_a_server_without_tls_is_refused(answer: bytes, ca_file: Path) -> None:
    """A server without TLS is reported as such."""
    async with listening(speak(answer)) as address:
        error = await refusal(address, ca_file)
    assert isinstance(error, UnreachableError)
    assert "does not speak TLS" in str(error)


async def test_a_silent_server_times_out(ca_file: Path) -> None:
    """The TLS handshake has a deadline."""
    async with listening(wait_for_eof) as address:
        error = await refusal(address, ca_file, timeout_s=0.5)
    assert isinstance(error, UnreachableError)
    assert "did not answer the TLS handshake" in str(error)


async def test_a_closed_handshake_is_reported(ca_file: Path) -> None:
    """A connection closed during the handshake is reported, as by a full server."""
    async with listening(hang_up) as address:
        error = await refusal(address, ca_file)
    assert isinstance(error, UnreachableError)
    assert "closed the connection during the TLS handshake" in str(error)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_closed_port_is_reported(host: str, ca_file: Path) -> None:
    """A closed port is reported, also for a name with several addresses."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await refusal(ServerAddress(host, unused.getsockname()[1]), ca_file)
    assert isinstance(error, UnreachableError)
    assert "Nothing listens at" in str(error)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64, "a..b"])
async def test_an_unresolved_name_is_reported(host: str, ca_file: Path) -> None:
    """Unknown and impossible host names are reported."""
    error = await refusal(ServerAddress(host), ca_file)
    assert isinstance(error, UnreachableError)
    assert host in str(error)


async def test_a_zone_is_not_verified(ca: trustme.CA, ca_file: Path) -> None:
    """The certificate of an IPv6 server need not have the zone by which the network finds it."""
    context = make_server_context(ca.issue_cert("::1"))
    try:
        async with listening(wait_for_eof, context, "::1") as address:
            link = await Server(ServerAddress("::1%1", address.port), ca_file).connect()
            await link.close()
    except OSError as error:
        pytest.skip(f"needs IPv6 (sysctl net.ipv6.conf.lo.disable_ipv6=0): {error}")


async def test_an_unknown_zone_is_reported(ca_file: Path) -> None:
    """A network interface that this computer does not have is named."""
    error = await refusal(ServerAddress("fe80::1%nosuch0"), ca_file)
    assert isinstance(error, UnreachableError)
    assert "no network interface nosuch0" in str(error)


async def test_a_lost_connection_ends_receiving(server: ScriptedServer, ca_file: Path) -> None:
    """A reset ends `receive` like a normal end."""
    async with await Server(ServerAddress("localhost", server.port), ca_file).connect() as link:
        link.send(frames.Auth(user="alice", password="wonderland"))
        await server.until(lambda script: "alice" in script.sessions)
        server.drop_all()
        while await link.receive():
            pass
        await link.drain()


async def test_a_protocol_violation_raises(certificate: trustme.LeafCert, ca_file: Path) -> None:
    """A protocol violation raises its own error, not that of a lost connection."""
    async with (
        listening(speak(b"this is not JSON\n"), make_server_context(certificate)) as address,
        await Server(address, ca_file).connect() as link,
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            await link.receive()
    assert caught.value.code is ErrorCode.NOT_JSON
