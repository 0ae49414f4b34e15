"""Erasing an account while the daemon runs and other users write."""

import asyncio
import itertools
from pathlib import Path

from tests.support.daemon import Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.waiting import patiently
from tests.support.wire import Frame, Wire, Wires, chat


def files_with(daemon: Daemon, text: bytes) -> list[Path]:
    """Return the store's files that have a text in them."""
    return [each for each in daemon.directory.glob("qscpd.db*") if text in each.read_bytes()]


async def ask(wire: Wire, request: Frame) -> Frame:
    """Send a request, and return its answer."""
    wire.send(request)
    return await wire.receive_type(str(request["type"]))


async def test_erasing_an_online_user(start_daemon: StartDaemon, wires: Wires) -> None:
    """Sessions end as `deleted`, messages become tombstones, and no file keeps their text."""
    daemon = start_daemon()
    alice, _, _ = await resume(wires, daemon, "alice")
    bob, _, _ = await resume(wires, daemon, "bob")
    alice.send(*(chat("bob", f"canary{number} secret", number) for number in range(1500)))
    acks = await alice.receive_count("chat_ack", 1500)
    bob.send(chat("alice", "I see", 1))
    await bob.receive_type("chat_ack")
    async with patiently():  # the search index is filled after delivery
        while not (await ask(bob, {"type": "search", "query": "secret"})).get("complete", True):
            pass
    assert files_with(daemon, b"canary")

    erasing = asyncio.create_task(asyncio.to_thread(daemon.run, "erase", "alice", "--yes"))
    assert (await alice.receive_type("bye"))["reason"] == "deleted"
    for number in itertools.count(2):  # other users go on
        bob.send(chat("carol", f"sparrow{number}", number))
        async with patiently():
            await bob.receive_type("chat_ack")
        if erasing.done():
            break
    done = await erasing
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("erased all messages of alice (a1)\n")
    assert files_with(daemon, b"canary") == []
    assert files_with(daemon, b"sparrow")

    conversation = acks[0]["conversation"]
    page = await ask(bob, {"type": "history", "conversation": conversation, "limit": 2})
    assert [
        (each["seq"], each["from"], each["body"], each.get("erased", False)) for each in page["messages"]
    ] == [
        (1500, "alice", "", True),
        (1501, "bob", "I see", False),
    ]
    assert (await ask(bob, {"type": "search", "query": "secret"}))["matches"] == []
    bob.send(chat("alice", "hello?", 10**6))
    assert (await bob.receive_type("chat_nack"))["code"] == "unknown_recipient"


async def test_a_new_device_receives_tombstones(start_daemon: StartDaemon, wires: Wires) -> None:
    """Erased messages are replayed as tombstones, without text."""
    daemon = start_daemon()
    alice, _, _ = await resume(wires, daemon, "alice")
    alice.send(chat("bob", "canary", 1), chat("bob", "canary again", 2))
    await alice.receive_count("chat_ack", 2)
    assert daemon.run("erase", "alice", "--yes").returncode == 0
    _, _, missed = await resume(wires, daemon, "bob")
    received = [
        (each["seq"], each["from"], each["body"], each.get("erased"))
        for each in missed
        if each["type"] == "chat"
    ]
    assert received == [(1, "alice", "", True), (2, "alice", "", True)]


async def test_messages_in_flight_are_erased_too(start_daemon: StartDaemon, wires: Wires) -> None:
    """Messages that arrive during the deletion are either not stored, or erased."""
    daemon = start_daemon()
    alice, _, _ = await resume(wires, daemon, "alice")
    erasing = asyncio.create_task(asyncio.to_thread(daemon.run, "erase", "alice", "--yes"))
    ended = asyncio.create_task(alice.receive_type("bye"))
    number = 0
    while not ended.done():
        number += 1
        alice.send(chat("bob", f"canary{number}", number))
        await asyncio.sleep(0)
    assert (await ended)["reason"] == "deleted"
    assert (await erasing).returncode == 0
    assert files_with(daemon, b"canary") == []
    _, _, missed = await resume(wires, daemon, "bob")
    chats = [each for each in missed if each["type"] == "chat"]
    assert all(each["body"] == "" and each["erased"] for each in chats)


async def test_erasing_after_a_crash_in_the_middle(start_daemon: StartDaemon, wires: Wires) -> None:
    """If the daemon is killed in the middle, the same command erases the rest."""
    daemon = start_daemon()
    alice, _, _ = await resume(wires, daemon, "alice")
    alice.send(*(chat("bob", f"canary{number}", number) for number in range(3000)))
    await alice.receive_count("chat_ack", 3000)
    erasing = asyncio.create_task(asyncio.to_thread(daemon.run, "erase", "alice", "--yes"))
    assert (await alice.receive_type("bye"))["reason"] == "deleted"
    daemon.process.kill()
    daemon.wait()
    await erasing
    assert daemon.run("erase", "alice", "--yes").returncode == 0
    assert files_with(daemon, b"canary") == []
    again = start_daemon()
    assert again.run("erase", "alice", "--yes").returncode == 0
