"""Shutdown of the daemon: sessions get `bye`, and everything acknowledged is on disk."""

import asyncio
import signal

import pytest

from tests.support.daemon import PASSWORD, StartDaemon
from tests.support.storage import stored_messages
from tests.support.waiting import until
from tests.support.wire import Wires, chat, message_id


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sends_bye_to_all(
    start_daemon: StartDaemon, wires: Wires, number: signal.Signals
) -> None:
    """Every session gets `bye`, logged in or not; the exit code is 0."""
    daemon = start_daemon()
    unauthenticated = await wires.connect(daemon)
    sessions = [*await wires.login(daemon, "alice", "bob", "bob"), unauthenticated]
    daemon.process.send_signal(number)
    for wire in sessions:
        bye = await wire.receive_type("bye")
        assert (bye["reason"], bye["reconnect"]) == ("shutdown", True)
        assert await wire.rest() == []
        assert wire.tls.closed
        await wire.close()
    assert daemon.wait() == 0
    reasons = [entry["reason"] for entry in daemon.sessions() if entry["event"] == "session.close"]
    assert reasons == ["shutdown"] * 4


async def test_silent_connections_do_not_delay_the_end(start_daemon: StartDaemon, wires: Wires) -> None:
    """A connection without a handshake is dropped at once, without a grace."""
    daemon = start_daemon("server.shutdown_grace=60s", "tls.handshake_timeout=60s")
    silent = await wires.plain(daemon)
    (alice,) = await wires.login(daemon, "alice")
    daemon.process.send_signal(signal.SIGTERM)
    await silent.ended()
    await alice.receive_type("bye")
    await alice.close()
    assert await asyncio.to_thread(daemon.wait) == 0


async def test_an_open_session_is_cut_after_the_grace(start_daemon: StartDaemon, wires: Wires) -> None:
    """A session that is still open after the grace is cut, and the exit code is 0."""
    daemon = start_daemon("server.shutdown_grace=100ms")
    (alice,) = await wires.login(daemon, "alice")
    daemon.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(daemon.wait) == 0
    assert (await alice.rest())[-1]["type"] == "bye"


async def test_a_shutdown_under_load_loses_nothing(start_daemon: StartDaemon, wires: Wires) -> None:
    """Sessions that get `bye` in a burst have acks for exactly the stored messages."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    burst = 5000
    for start, wire, to in ((0, alice, "bob"), (burst, bob, "alice")):
        wire.send(*(chat(to, str(n), start + n) for n in range(burst)))
    first = await alice.receive_type("chat_ack")
    daemon.process.send_signal(signal.SIGTERM)
    acked = [first["id"]]
    for frames in await asyncio.gather(alice.rest(), bob.rest()):
        assert frames[-1]["type"] == "bye"
        acked += [frame["id"] for frame in frames if frame["type"] == "chat_ack"]
    await alice.close()
    await bob.close()
    assert await asyncio.to_thread(daemon.wait) == 0
    assert sorted(acked) == sorted(row.id for row in stored_messages(daemon.store))


async def test_a_second_signal_ends_at_once(start_daemon: StartDaemon, wires: Wires) -> None:
    """A second signal ends the daemon without waiting for sessions."""
    daemon = start_daemon("server.shutdown_grace=60s")
    (alice,) = await wires.login(daemon, "alice")
    daemon.process.send_signal(signal.SIGTERM)
    await alice.receive_type("bye")
    assert await asyncio.to_thread(daemon.stop) == 1
    assert daemon.log[-1]["event"] == "daemon.killed"


async def test_a_killed_daemon_lost_nothing_acknowledged(start_daemon: StartDaemon, wires: Wires) -> None:
    """After SIGKILL in a burst all acked messages are stored, and the daemon starts again."""
    daemon = start_daemon()
    alice, _ = await wires.login(daemon, "alice", "bob")
    alice.send(*(chat("bob", str(n), n) for n in range(3000)))
    acked = [(await alice.receive_type("chat_ack"))["id"] for _ in range(500)]
    daemon.stop(signal.SIGKILL)
    acked += [frame["id"] for frame in await alice.rest() if frame["type"] == "chat_ack"]
    again = start_daemon()
    stored = [row.id for row in stored_messages(again.store)]
    assert stored[: len(acked)] == acked
    assert stored == [message_id(n) for n in range(len(stored))]
    alice, bob = await wires.login(again, "alice", "bob")
    alice.send(chat("bob", "after", 9999))
    assert (await bob.receive_type("chat"))["seq"] == len(stored) + 1


async def test_a_login_in_progress_gets_bye(start_daemon: StartDaemon, wires: Wires) -> None:
    """A login whose password is being checked gets `bye`, and does not delay the end."""
    daemon = start_daemon()
    wire = await wires.connect(daemon)
    await until(daemon.sessions)  # Without the end of its handshake a connection gets no `bye`.
    wire.send({"type": "auth", "user": "alice", "password": PASSWORD})
    daemon.process.send_signal(signal.SIGTERM)
    assert (await wire.rest())[-1]["type"] == "bye"
    await wire.close()
    assert await asyncio.to_thread(daemon.wait) == 0
