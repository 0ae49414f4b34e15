"""Retention as clients see it: at login, on resume, and in history."""

import asyncio
from pathlib import Path

from tests.support.daemon import StartDaemon
from tests.support.logged_in import resume
from tests.support.storage import stored_messages
from tests.support.waiting import patiently
from tests.support.wire import Frame, Wires, chat


async def test_the_login_reports_the_retention(start_daemon: StartDaemon, wires: Wires) -> None:
    """`auth_ack` has the retention in seconds and messages; an absent value is no limit."""
    daemon = start_daemon("history.keep_for=30d", "history.keep_messages=5000")
    assert (await resume(wires, daemon, "alice")).ack["retention"] == {
        "seconds": 30 * 86400,
        "messages": 5000,
    }
    await wires.close()  # which the shutdown would wait for
    daemon.stop()
    daemon = start_daemon()
    assert (await resume(wires, daemon, "alice")).ack["retention"] == {}


async def test_what_was_pruned_is_a_gap(start_daemon: StartDaemon, wires: Wires) -> None:
    """An absent device gets a `pruned` gap; lists and history have the new `first_seq`."""
    daemon = start_daemon("history.keep_messages=10")
    alice, _, _ = await resume(wires, daemon, "alice")
    alice.send(*(chat("bob", f"{number}", number) for number in range(1, 501)))
    conversation = (await alice.receive_count("chat_ack", 500))[0]["conversation"]
    async with patiently():  # pruning happens after delivery
        while len(await asyncio.to_thread(stored_messages, daemon.store)) > 10:
            pass
    bob, _, missed = await resume(wires, daemon, "bob", {conversation: 100})
    assert missed[0] == {
        "type": "gap",
        "conversation": conversation,
        "from": 101,
        "to": 490,
        "reason": "pruned",
    }
    assert [frame["seq"] for frame in missed[1:]] == list(range(491, 501))
    bob.send({"type": "conversations"}, {"type": "history", "conversation": conversation, "after": 0})
    (info,) = (await bob.receive_type("conversations"))["conversations"]
    assert (info["first_seq"], info["last_seq"], info["unread"]) == (491, 500, 10)
    page = await bob.receive_type("history")
    assert page["first_seq"] == 491
    assert [each["seq"] for each in page["messages"]] == list(range(491, 501))


async def test_pruned_to_empty(start_daemon: StartDaemon, wires: Wires) -> None:
    """When all messages were pruned, seqs go on, and a late retry still gets its first ack."""
    daemon = start_daemon("history.keep_for=1ms")
    alice, _, _ = await resume(wires, daemon, "alice")
    alice.send(chat("bob", "one", 1), chat("bob", "two", 2))
    first, second = await alice.receive_count("chat_ack", 2)
    await wires.close()
    daemon.stop()
    daemon = start_daemon("history.keep_for=1ms")
    async with patiently():
        while await asyncio.to_thread(stored_messages, daemon.store):
            pass
    alice, _, missed = await resume(wires, daemon, "alice", {first["conversation"]: 0})
    assert [gap(each) for each in missed if each["type"] == "gap"] == [(1, 2, "pruned")]
    alice.send(chat("bob", "two", 2), chat("bob", "three", 3))
    again, third = await alice.receive_count("chat_ack", 2)
    assert again == {**second, "repeated": True}
    assert third["seq"] == 3


def gap(frame: Frame) -> tuple[int, int, str]:
    """Return the range and the reason of a gap."""
    return frame["from"], frame["to"], frame["reason"]


def test_the_files_are_where_the_test_looks(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """These tests count messages in the daemon's own store."""
    assert start_daemon().store == tmp_path / "qscpd.db"
