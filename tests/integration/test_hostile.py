"""Peers that are silent, stop in the middle, don't read or vanish: ended in time, without harm to others."""

import asyncio
import itertools
import os
import ssl
from pathlib import Path

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import PASSWORD, Daemon, StartDaemon
from tests.support.waiting import patiently, until
from tests.support.wire import TlsClient, Wire, Wires, chat, client_context


def reasons(daemon: Daemon) -> list[str]:
    """Return the reasons of closed sessions in the session log so far."""
    return [entry["reason"] for entry in daemon.sessions() if entry["event"] == "session.close"]


async def test_silence_is_ended(start_daemon: StartDaemon, wires: Wires) -> None:
    """Connections without a finished handshake are cut after the timeout."""
    daemon = start_daemon("tls.handshake_timeout=100ms")
    silent, half_header, half_record = [await wires.plain(daemon) for _ in range(3)]
    half_header.writer.write(b"\x16\x03")
    half_record.tls.receive(b"")
    half_record.writer.write(half_record.tls.outgoing()[:100])
    for wire in (silent, half_header, half_record):
        await wire.ended()
    await until(lambda: [line["event"] for line in daemon.log].count("link.timeout") == 3)


async def test_silence_before_the_login_is_ended(start_daemon: StartDaemon, wires: Wires) -> None:
    """A session without a login, or with half a line of it, gets `login_timeout`."""
    daemon = start_daemon("login.timeout=500ms")
    for sent in (b"", b'{"type":"auth","user":'):
        wire = await wires.connect(daemon)
        if sent:
            wire.send_plaintext(sent)
        assert [frame["code"] for frame in await wire.rest()] == ["login_timeout"]
        await wire.close()


async def test_silence_after_the_login_is_pinged(start_daemon: StartDaemon, wires: Wires) -> None:
    """A silent peer is pinged twice and dropped; a peer that answers stays."""
    daemon = start_daemon("limits.ping_after=1500ms")  # the time that a busy machine has to answer
    alice, bob = await wires.login(daemon, "alice", "bob")
    alice.writer.write(alice.tls.encrypt(b'{"type":"ping"}\n')[:-5])

    async def answer() -> None:
        for _ in range(3):
            await bob.receive_type("ping")
            bob.send({"type": "pong"})

    frames, _ = await asyncio.gather(alice.rest(), answer())
    assert [frame["type"] for frame in frames if frame["type"] != "presence"] == ["ping", "ping"]
    assert not alice.tls.closed
    assert (await bob.bye())[-1]["type"] == "bye"
    await until(lambda: sorted(reasons(daemon)) == ["bye", "ping_timeout"])


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 600, os.urandom(600)])
async def test_garbage_instead_of_tls(daemon: Daemon, wires: Wires, garbage: bytes) -> None:
    """Garbage instead of TLS gets an alert, and ends the connection."""
    wire = await wires.plain(daemon)
    wire.writer.write(garbage)
    with pytest.raises((ssl.SSLError, EOFError)):
        await wire.shake_hands()
    await wire.ended()


@pytest.mark.parametrize(
    ("old", "alert"), [(True, "PROTOCOL_VERSION"), (False, "NO_APPLICATION_PROTOCOL|no application protocol")]
)
async def test_other_tls_gets_an_alert(
    daemon: Daemon, wires: Wires, authority: AuthorityFiles, old: bool, alert: str
) -> None:
    """TLS 1.2, and a client of another protocol, get an alert that says why."""
    context = client_context(authority.ca_certificate, () if old else ("h2",))
    if old:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    wire = await wires.plain(daemon)
    wire.tls = TlsClient(context)
    if old:
        with pytest.raises(ssl.SSLError, match=alert):
            await wire.shake_hands()
    else:
        await wire.shake_hands()
        assert await wire.rest() == []
    await wire.ended()


async def test_a_broken_record_ends_the_session_at_once(start_daemon: StartDaemon, wires: Wires) -> None:
    """A changed byte in a record gets an alert, and ends the session."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    record = bytearray(alice.tls.encrypt(b'{"type":"ping"}\n'))
    record[-1] ^= 1
    alice.writer.write(record)
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        await alice.rest()
    await until(lambda: reasons(daemon) == ["tls_failed"])


async def test_only_the_stopped_reader_is_cut(start_daemon: StartDaemon, wires: Wires) -> None:
    """A reader that stops is cut after a while, and senders don't wait for it."""
    daemon = start_daemon("limits.output_queue=64KiB", "limits.output_stall=500ms")
    (alice, carol) = await wires.login(daemon, "alice", "carol")
    slow = await wires.connect(daemon, read_buffer=4096)
    await slow.log_in("bob")
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a reading transport
    numbers = itertools.count()
    async with patiently():
        while "stalled" not in reasons(daemon):
            alice.send(*(chat("bob", "x" * 16000, next(numbers)) for _ in range(50)))
            answers = [await alice.receive() for _ in range(50)]
            assert {frame["type"] for frame in answers} <= {"chat_ack", "presence"}
    alice.send(chat("carol", "still here", next(numbers)))
    assert (await carol.receive_type("chat"))["body"] == "still here"


async def test_a_stalled_reader_is_cut(start_daemon: StartDaemon, wires: Wires) -> None:
    """A reader that takes nothing for too long is cut, even below the limit of its queue."""
    daemon = start_daemon("limits.output_stall=200ms", "limits.output_queue=1GiB")
    (alice,) = await wires.login(daemon, "alice")
    slow = await wires.connect(daemon, read_buffer=4096)
    await slow.log_in("bob")
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a reading transport
    alice.send(*(chat("bob", "x" * 16000, n) for n in range(600)))
    await alice.receive_count("chat_ack", 600)
    await until(lambda: "stalled" in reasons(daemon))


@pytest.mark.parametrize("polite", [True, False])
async def test_half_close(start_daemon: StartDaemon, wires: Wires, polite: bool) -> None:
    """A client that ends its direction, by TLS or by TCP alone, still gets all answers."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    alice.send(*(chat("bob", str(n), n) for n in range(100)))
    if polite:
        alice.send_close_notify()
    else:
        alice.writer.write_eof()
    kinds = [frame["type"] for frame in await alice.rest() if frame["type"] != "presence"]
    assert kinds == ["chat_ack"] * 100
    assert alice.tls.closed
    assert len(await bob.receive_count("chat", 100)) == 100
    await alice.close()
    await bob.bye()
    await asyncio.to_thread(daemon.stop)
    assert sorted(reasons(daemon)) == ["bye", "lost"]


async def test_the_end_of_the_stream_while_a_login_is_decided(daemon: Daemon, wires: Wires) -> None:
    """Frames before the end of the stream are answered, even during a login."""
    for polite in (True, False):
        wire = await wires.connect(daemon)
        wire.send({"type": "auth", "user": "alice", "password": PASSWORD}, {"type": "ping"})
        if polite:
            wire.send_close_notify()
        else:
            wire.writer.write_eof()
        # Who is online comes as well if the login is decided before the end of the stream arrives.
        kinds = [frame["type"] for frame in await wire.rest() if frame["type"] != "online_users"]
        assert kinds == ["auth_ack", "pong"]
        assert wire.tls.closed


async def test_resets_at_every_stage(daemon: Daemon, wires: Wires) -> None:
    """A reset does no harm at any stage of a connection."""
    for stage in range(6):
        for _ in range(5):
            wire = await wires.plain(daemon)
            if stage > 0:
                wire.tls.receive(b"")
                wire.writer.write(wire.tls.outgoing())
            if stage > 1:
                await wire.shake_hands()
            if stage > 2:
                wire.send({"type": "auth", "user": "alice", "password": PASSWORD})
            if stage > 3:
                await wire.receive_type("auth_ack")
                wire.send(*(chat("bob", str(n)) for n in range(100)))
            if stage > 4:
                wire.send({"type": "bye"})
            wire.reset()
    await (await wires.login(daemon, "alice"))[0].bye()


async def test_no_more_connections_than_allowed(start_daemon: StartDaemon, wires: Wires) -> None:
    """A connection over the limit is closed at once; when another one ends, there is room again."""
    daemon = start_daemon("server.max_connections=2")
    alice, _ = await wires.login(daemon, "alice", "bob")
    with pytest.raises((EOFError, ConnectionError)):
        await wires.connect(daemon)
    await alice.bye()
    async with patiently():
        while True:
            try:
                await wires.login(daemon, "carol")
            except (EOFError, ConnectionError):
                continue
            break


async def test_too_many_attempts(daemon: Daemon, wires: Wires) -> None:
    """Each wrong password is answered, and the third one ends the connection."""
    wire = await wires.connect(daemon)
    wrong = {"type": "auth", "user": "alice", "password": "wrong"}
    wire.send(wrong, wrong, wrong, {"type": "auth", "user": "alice", "password": PASSWORD})
    codes = [(frame["type"], frame["code"]) for frame in await wire.rest()]
    assert codes == [("auth_nack", "bad_credentials")] * 3 + [("error", "too_many_attempts")]


async def test_a_wrong_password_may_be_corrected(daemon: Daemon, wires: Wires) -> None:
    """After a wrong password the connection stays open for the right one."""
    wire = await wires.connect(daemon)
    for user in ("alice", "nobody-here", "No Name!"):
        if user != "No Name!":
            wire.send({"type": "auth", "user": user, "password": "wrong"})
            nack = await wire.receive()
            assert (nack["type"], nack["code"]) == ("auth_nack", "bad_credentials")
    wire.send({"type": "auth", "user": "ALICE", "password": PASSWORD})
    ack = await wire.receive()
    assert (ack["type"], ack["user"]) == ("auth_ack", "alice")
    await wire.bye()


async def test_other_versions_of_the_protocol(daemon: Daemon, wires: Wires) -> None:
    """A client of other versions is refused; one that also has ours can log in, with unknown fields."""
    wire = await wires.connect(daemon)
    auth = {"type": "auth", "user": "alice", "password": PASSWORD, "token": {"from": ["the", "future"]}}
    wire.send({**auth, "protocol": [2, 3]})
    assert (await wire.receive())["code"] == "protocol_version"
    wire.send({**auth, "protocol": [1, 3]})
    assert (await wire.receive())["protocol"] == 1
    await wire.bye()


async def _connect_and_leave(wires: Wires, daemon: Daemon, number: int) -> None:
    wire: Wire
    (wire,) = await wires.login(daemon, "alice")
    if number % 2:
        await wire.bye()
    else:
        wire.reset()


async def test_nothing_is_left_of_a_connection(start_daemon: StartDaemon, wires: Wires) -> None:
    """After 200 connections the daemon has as many files open as before."""
    daemon = start_daemon()
    descriptors = Path(f"/proc/{daemon.process.pid}/fd")
    await _connect_and_leave(wires, daemon, 1)
    before = len(list(descriptors.iterdir()))  # noqa: ASYNC240 - /proc never blocks
    for number in range(200):
        await _connect_and_leave(wires, daemon, number)
    await until(lambda: len(list(descriptors.iterdir())) <= before)
