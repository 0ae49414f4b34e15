"""Erasing somebody while the daemon runs and others talk."""

import asyncio
from pathlib import Path

from tests.support.daemon import Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.waiting import patiently
from tests.support.wire import Frame, Wire, Wires, chat


def files_with(daemon: Daemon, text: bytes) -> list[Path]:
    """Return the store's files that have a text in them."""
    return [each for each in daemon.directory.glob("qscpd.db*") if text in each.read_bytes()]


async def ask(wire: Wire, question: Frame) -> Frame:
    """Return the answer to a question."""
    wire.send(question)
    return await wire.receive_type(str(question["type"]))


async def test_erasing_somebody_who_is_online(start_daemon: StartDaemon, wires: Wires) -> None:
    """Their sessions end as deleted; others see that there were messages; no file has a word of them."""
    daemon = start_daemon()
    alice, _, _ = await resume(wires, daemon, "alice")
    bob, _, _ = await resume(wires, daemon, "bob")
    alice.send(*(chat("bob", f"canary{number} secret", number) for number in range(1500)))
    acks = await alice.receive_count("chat_ack", 1500)
    bob.send(chat("alice", "I see", 1))
    await bob.receive_type("chat_ack")
    async with patiently():  # the index of words is filled behind delivery
        while not (await ask(bob, {"type": "search", "query": "secret"})).get("complete", True):
            pass
    assert files_with(daemon, b"canary")

    erasing = asyncio.create_task(asyncio.to_thread(daemon.run, "erase", "alice", "--yes"))
    assert (await alice.receive_type("bye"))["reason"] == "deleted"
    number = 1
    while not erasing.done():  # the others go on
        number += 1
        bob.send(chat("carol", f"sparrow{number}", number))
        async with patiently():
            await bob.receive_type("chat_ack")
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


async def test_a_new_device_is_told_of_what_was_erased(start_daemon: StartDaemon, wires: Wires) -> None:
    """Replay has the places, marked as erased, and no text."""
    daemon = start_daemon()
    alice, _, _ = await resume(wires, daemon, "alice")
    alice.send(chat("bob", "canary", 1), chat("bob", "canary again", 2))
    await alice.receive_count("chat_ack", 2)
    assert daemon.run("erase", "alice", "--yes").returncode == 0
    _, _, missed = await resume(wires, daemon, "bob")
    told = [
        (each["seq"], each["from"], each["body"], each.get("erased"))
        for each in missed
        if each["type"] == "chat"
    ]
    assert told == [(1, "alice", "", True), (2, "alice", "", True)]


async def test_what_is_under_way_is_erased_too(start_daemon: StartDaemon, wires: Wires) -> None:
    """Messages that arrive while the account is deleted are either not stored or erased."""
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
    """A daemon that is killed under way leaves a deleted account; the same command does the rest."""
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
