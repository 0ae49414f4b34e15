"""The real daemon on a machine whose wall clock jumps."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.rooms import code, make_room, room, say
from tests.support.storage import stored_messages
from tests.support.waiting import patiently, until
from tests.support.wall_clock import WallClock
from tests.support.wire import Wire, Wires, chat

HOUR, DAY = 3600, 86_400
KEEP = ("history.keep_for=30d", "history.keep_messages=5")


async def bodies(daemon: Daemon, conversation: int) -> list[str | None]:
    """Return the messages of a conversation that are kept."""
    rows = await asyncio.to_thread(stored_messages, daemon.store)
    return [row.body for row in rows if row.conversation == conversation]


async def let_it_prune(daemon: Daemon, alice: Wire, name: str) -> None:
    """Write more to carol than is kept, twice, until all rounds of pruning are over."""
    for part in ("one", "two"):
        texts = [f"{name} {part} {number}" for number in range(9)]
        alice.send(*(chat("carol", each) for each in texts))
        await alice.receive_count("chat_ack", 9)
        async with patiently():
            while await bodies(daemon, 2) != texts[-5:]:
                pass


async def status(daemon: Daemon) -> dict[str, object]:
    """Return the daemon's status."""
    done = await asyncio.to_thread(daemon.run, "status", "--json")
    fields: dict[str, object] = json.loads(done.stdout)
    return fields


async def test_a_jump_ahead_prunes_nothing(
    start_daemon: StartDaemon, wires: Wires, wall_clock: WallClock
) -> None:
    """A jump of 400 days prunes nothing and forgets no id, is logged once and shown, until confirmed."""
    daemon = start_daemon(*KEEP)
    alice, _, _ = await resume(wires, daemon, "alice")
    first = chat("bob", "old", 10**6)
    alice.send(first)
    acknowledged = await alice.receive_type("chat_ack")
    wall_clock.jump(400 * DAY)
    await let_it_prune(daemon, alice, "running")
    assert await bodies(daemon, 1) == ["old"]
    assert (await status(daemon))["clock_confirmed"] is False
    shown = await asyncio.to_thread(daemon.run, "status")
    assert "clock_confirmed: false" in shown.stdout
    assert "the wall clock is 400 days ahead of the expected time" in shown.stderr
    await wires.close()
    daemon.stop()
    assert [each["event"] for each in daemon.log].count("clock.unconfirmed") == 1

    daemon = start_daemon(*KEEP)  # a process that never saw the time before
    alice, _, _ = await resume(wires, daemon, "alice")
    await let_it_prune(daemon, alice, "restarted")
    assert await bodies(daemon, 1) == ["old"]
    alice.send(first)
    assert await alice.receive_type("chat_ack") == {**acknowledged, "repeated": True}
    assert daemon.wait_for_log("clock.unconfirmed")["ahead_s"] == pytest.approx(400 * DAY, abs=2)
    done = await asyncio.to_thread(daemon.run, "confirmclock")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("the wall clock is confirmed: ")
    assert daemon.wait_for_log("clock.confirmed")
    await let_it_prune(daemon, alice, "confirmed")
    assert await bodies(daemon, 1) == []
    assert (await status(daemon))["clock_confirmed"] is True


@pytest.mark.parametrize("jump", [-HOUR, -400 * DAY, 400 * DAY])
async def test_waits_are_real_seconds(
    start_daemon: StartDaemon, wires: Wires, wall_clock: WallClock, jump: int
) -> None:
    """After a jump, slow mode and a mute refuse with the real seconds that are left, and then end."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    place = await make_room(alice, bob)
    assert await code(alice, room("set", place.name, seconds=3)) == "ok"
    assert (await say(bob, "one", place.name))["type"] == "chat_ack"
    daemon.expected_errors.add("certificate.not_yet_valid")
    wall_clock.jump(jump)
    refused = await say(bob, "two", place.name)
    assert refused["code"] == "slow_mode"
    assert 0 < refused["retry_after"] <= 3
    await asyncio.sleep(refused["retry_after"])  # the promise is that it is enough
    assert (await say(bob, "three", place.name))["type"] == "chat_ack"
    assert await code(alice, room("set", place.name, seconds=0)) == "ok"
    assert await code(alice, room("mute", place.name, "bob", seconds=3)) == "ok"
    refused = await say(bob, "four", place.name)
    assert refused["code"] == "muted"
    assert 0 < refused["retry_after"] <= 3
    await asyncio.sleep(refused["retry_after"])
    assert (await say(bob, "five", place.name))["type"] == "chat_ack"


async def test_systemd_shows_a_wrong_clock(
    start_daemon: StartDaemon, wall_clock: WallClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`systemctl status` says that the wall clock is not confirmed, while that is so."""
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.setblocking(False)
        daemon = start_daemon()
        loop = asyncio.get_running_loop()

        async def shown(*, wrong: bool) -> None:
            await status(daemon)
            async with patiently():
                while True:
                    text = (await loop.sock_recv(manager, 4096)).decode()
                    if "people online" in text and ("not confirmed" in text) is wrong:
                        return

        await shown(wrong=False)
        wall_clock.jump(400 * DAY)
        await shown(wrong=True)
        wall_clock.jump(-400 * DAY)
        await shown(wrong=False)


async def test_a_jump_while_the_daemon_is_stopped(
    start_daemon: StartDaemon, wires: Wires, wall_clock: WallClock
) -> None:
    """A mute holds over a restart with a clock that has jumped; `confirmclock` works without the daemon."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    place = await make_room(alice, bob)
    assert await code(alice, room("mute", place.name, "bob", seconds=HOUR)) == "ok"
    await wires.close()
    daemon.stop()
    wall_clock.jump(400 * DAY)
    daemon = start_daemon()
    (bob,) = await wires.login(daemon, "bob")
    refused = await say(bob, "hello", place.name)
    assert (refused["code"], HOUR - 600 < refused["retry_after"] <= HOUR) == ("muted", True)
    shown = await asyncio.to_thread(daemon.run, "room", "show", place.name, "--json")
    assert [each["name"] for each in json.loads(shown.stdout)["people"] if each["muted_until"]] == ["bob"]
    await wires.close()
    daemon.stop()
    for expected in ("is confirmed: ", "was confirmed already: "):
        done = await asyncio.to_thread(daemon.run, "confirmclock")
        assert (done.returncode, done.stdout) == (0, "")
        assert expected in done.stderr
    daemon = start_daemon()
    await until(daemon.sessions)
    assert (await status(daemon))["clock_confirmed"] is True
    assert not [each for each in daemon.log if each["event"].startswith("clock.")]
