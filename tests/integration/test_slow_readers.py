"""Peers that read slowly or not at all: they get everything once, or are cut, and cost little memory."""

from pathlib import Path

from tests.support.daemon import Daemon, StartDaemon
from tests.support.wire import Frame, Wire, Wires, chat

MESSAGES = 300
BODY = "x" * 16000


def memory(daemon: Daemon) -> int:
    """Return the resident memory of a daemon, in bytes."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


async def slow_login(wires: Wires, daemon: Daemon, user: str) -> Wire:
    """Log in a user who then reads nothing."""
    wire = await wires.connect(daemon, read_buffer=4096)
    await wire.log_in(user)
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a reading transport
    return wire


async def write(wire: Wire, to: str, count: int) -> None:
    """Send messages, and wait for their acknowledgements."""
    for _ in range(0, count, 50):
        wire.send(*(chat(to, BODY) for _ in range(min(50, count))))
        await wire.receive_count("chat_ack", min(50, count))


async def read_messages(wire: Wire, count: int) -> list[Frame]:
    """Let a peer read on, and return its next messages."""
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]  # of a reading transport
    return await wire.receive_count("chat", count)


async def test_a_member_who_pauses_gets_everything(start_daemon: StartDaemon, wires: Wires) -> None:
    """A peer that stops reading for a while gets all messages once and in order, as new ones."""
    daemon = start_daemon("limits.output_queue=64KiB")
    (alice,) = await wires.login(daemon, "alice")
    bob = await slow_login(wires, daemon, "bob")
    await write(alice, "bob", MESSAGES)
    received = await read_messages(bob, MESSAGES)
    assert [frame["seq"] for frame in received] == [*range(1, MESSAGES + 1)]
    assert {frame["origin"] for frame in received} == {"live"}
    alice.send(chat("bob", "and one more"))
    assert (await bob.receive_type("chat"))["seq"] == MESSAGES + 1
    assert [frame for frame in await bob.drain() if frame["type"] == "chat"] == []


async def test_sessions_that_read_nothing_cost_little(start_daemon: StartDaemon, wires: Wires) -> None:
    """Sessions that read nothing cost the memory of their queues, and do not delay the end of the daemon."""
    daemon = start_daemon("limits.output_queue=64KiB", "limits.output_stall=1h")
    for _ in range(20):
        await slow_login(wires, daemon, "bob")
    (alice,) = await wires.login(daemon, "alice")
    await write(alice, "bob", 50)
    before = memory(daemon)
    await write(alice, "bob", 2000)
    assert memory(daemon) - before < 64 * 1024 * 1024
    assert daemon.stop() == 0
