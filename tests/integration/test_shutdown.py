"""How the daemon ends: everybody hears `bye`, everything acknowledged is on disk."""

import asyncio
import signal

import pytest

from tests.support.daemon import PASSWORD, StartDaemon
from tests.support.storage import stored_messages
from tests.support.wire import Wires, chat, message_id


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_says_bye_to_all(
    start_daemon: StartDaemon, wires: Wires, number: signal.Signals
) -> None:
    """Logged in or not, every session hears `bye`; the exit code is 0."""
    daemon = start_daemon()
    stranger = await wires.connect(daemon)
    everybody = [*await wires.login(daemon, "alice", "bob", "bob"), stranger]
    daemon.process.send_signal(number)
    for wire in everybody:
        bye = await wire.receive_type("bye")
        assert (bye["reason"], bye["reconnect"]) == ("shutdown", True)
        assert await wire.rest() == []
        assert wire.tls.closed
        await wire.close()
    assert daemon.wait() == 0
    reasons = [entry["reason"] for entry in daemon.sessions() if entry["event"] == "session.close"]
    assert reasons == ["shutdown"] * 4


async def test_silent_connections_do_not_hold_the_end_up(start_daemon: StartDaemon, wires: Wires) -> None:
    """A connection without a handshake is dropped at once, and its grace is not waited for."""
    daemon = start_daemon("server.shutdown_grace=60s", "tls.handshake_timeout=60s")
    silent = await wires.plain(daemon)
    (alice,) = await wires.login(daemon, "alice")
    daemon.process.send_signal(signal.SIGTERM)
    await silent.ended()
    await alice.receive_type("bye")
    await alice.close()
    assert await asyncio.to_thread(daemon.wait) == 0


async def test_who_does_not_close_is_dropped(start_daemon: StartDaemon, wires: Wires) -> None:
    """After the grace a session that did not close its end is cut, and the exit code is still 0."""
    daemon = start_daemon("server.shutdown_grace=100ms")
    (alice,) = await wires.login(daemon, "alice")
    daemon.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(daemon.wait) == 0
    assert (await alice.rest())[-1]["type"] == "bye"


async def test_a_shutdown_under_load_loses_nothing(start_daemon: StartDaemon, wires: Wires) -> None:
    """Who is told `bye` in the middle of a burst has an ack for exactly what is in the store."""
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
    """While the first one waits for a session, a second one does not."""
    daemon = start_daemon("server.shutdown_grace=60s")
    (alice,) = await wires.login(daemon, "alice")
    daemon.process.send_signal(signal.SIGTERM)
    await alice.receive_type("bye")
    assert await asyncio.to_thread(daemon.stop) == 1
    assert daemon.log[-1]["event"] == "daemon.killed"


async def test_a_killed_daemon_lost_nothing_acknowledged(start_daemon: StartDaemon, wires: Wires) -> None:
    """After SIGKILL in the middle of a burst every acknowledged message is there, and it starts again."""
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


async def test_a_login_under_way_hears_bye(start_daemon: StartDaemon, wires: Wires) -> None:
    """A password that is being checked does not hold the end up."""
    daemon = start_daemon()
    wire = await wires.connect(daemon)
    wire.send({"type": "auth", "user": "alice", "password": PASSWORD})
    daemon.process.send_signal(signal.SIGTERM)
    assert (await wire.rest())[-1]["type"] == "bye"
    await wire.close()
    assert await asyncio.to_thread(daemon.wait) == 0
