"""Damaged messages in the store of the real daemon: what users, devices and the operator see."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from tests.support.clients import Clients
from tests.support.daemon import Daemon, StartDaemon
from tests.support.damage import chunk_places, damage_chunk, delete_chunk, divide_chunks
from tests.support.logged_in import resume
from tests.support.wire import Frame, Wires, chat

GAP = {"type": "gap", "conversation": "c1", "from": 3, "to": 3, "reason": "damaged"}


async def written(start_daemon: StartDaemon, wires: Wires) -> Daemon:
    """Let alice write five messages to bob, each in a chunk of its own; the daemon is stopped then."""
    daemon = start_daemon()
    alice, _, _ = await resume(wires, daemon, "alice")
    for number in range(1, 6):
        alice.send(chat("bob", f"word {number}", number))
        await alice.receive_type("chat_ack")
    await wires.close()
    daemon.stop()
    divide_chunks(daemon.store)
    return daemon


def again(start_daemon: StartDaemon, *settings: str) -> Daemon:
    """Start the daemon on the damaged store."""
    daemon = start_daemon(*settings)
    daemon.expected_errors |= {"store.damaged", "erase.damaged"}
    return daemon


def seqs(frames: list[Frame]) -> list[object]:
    """Return the seqs of messages, and the first ones of gaps."""
    shown = [each for each in frames if each["type"] in ("chat", "gap")]
    return [each["from" if each["type"] == "gap" else "seq"] for each in shown]


@pytest.mark.parametrize("how", ["noise", "an id that is not hexadecimal", "missing"])
async def test_a_damaged_message_bars_nobody(start_daemon: StartDaemon, wires: Wires, how: str) -> None:
    """Each device of both users gets a gap in its place once, and everything behind it, live too."""
    daemon = await written(start_daemon, wires)
    chunk = chunk_places(daemon.store, 1)[2][0]
    if how == "missing":
        delete_chunk(daemon.store, chunk)
    else:
        damage_chunk(daemon.store, chunk, how)
    daemon = again(start_daemon)
    alice, _, missed = await resume(wires, daemon, "alice", {"c1": 1})
    assert (seqs(missed), missed[1]) == ([2, 3, 4, 5], GAP)
    bob, _, missed = await resume(wires, daemon, "bob")
    assert (seqs(missed), missed[2]) == ([1, 2, 3, 4, 5], GAP)
    alice.send(chat("bob", "word 6", 6))
    assert (await alice.receive_type("chat_ack"))["seq"] == 6
    assert (await bob.receive_type("chat"))["seq"] == 6
    later, _, missed = await resume(wires, daemon, "bob", {"c1": 3})
    assert seqs(missed) == [4, 5, 6]
    later.send(
        {"type": "history", "conversation": "c1"},
        {"type": "conversations"},
        {"type": "search", "query": "word"},
        {"type": "react", "to": "alice", "target": 3, "text": "+1", "id": f"{7:032x}"},
        {"type": "react", "to": "alice", "target": 4, "text": "+1", "id": f"{8:032x}"},
    )
    page = await later.receive_type("history")
    assert [each["seq"] for each in page["messages"]] == [1, 2, 4, 5, 6]
    assert page["gaps"] == [{"from": 3, "to": 3, "reason": "damaged"}]
    assert (await later.receive_type("conversations"))["conversations"][0]["unread"] == 5
    found = {each["seq"] for each in (await later.receive_type("search"))["matches"]}
    assert found == {1, 2, 4, 5, 6}
    assert (await later.receive_type("chat_nack"))["code"] == "unknown_message"
    assert (await later.receive_type("chat_ack"))["seq"] == 7
    daemon.wait_for_log("store.damaged")
    assert len([each for each in daemon.log if each["event"] == "store.damaged"]) == 1
    assert json.loads(daemon.run("status", "--json").stdout)["damaged"] == 1
    await wires.close()
    daemon.stop()


async def test_the_last_message_is_damaged(start_daemon: StartDaemon, wires: Wires) -> None:
    """A damaged last message is a gap up to the end; the next message has the next seq."""
    daemon = await written(start_daemon, wires)
    damage_chunk(daemon.store, chunk_places(daemon.store, 1)[-1][0], "cut in the middle")
    daemon = again(start_daemon, "history.keep_messages=3")
    bob, _, missed = await resume(wires, daemon, "bob", {"c1": 3})
    assert missed[-1] == GAP | {"from": 5, "to": 5}
    bob.send(chat("alice", "an answer", 1))
    assert (await bob.receive_type("chat_ack"))["seq"] == 6
    _, _, missed = await resume(wires, daemon, "alice", {"c1": 5})
    assert seqs(missed) == [6]


async def test_the_operator_learns_where(start_daemon: StartDaemon, wires: Wires, tmp_path: Path) -> None:
    """Exports, backups and erasing name damaged places and go on."""
    daemon = await written(start_daemon, wires)
    damage_chunk(daemon.store, chunk_places(daemon.store, 1)[2][0], "noise")
    daemon = again(start_daemon)
    exported = daemon.run("export", "bob")
    assert exported.returncode == 1
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [line["seq"] for line in lines if line["type"] == "message"] == [1, 2, 4, 5]
    assert "qscpd: damaged: messages 3 to 3 of c1: " in exported.stderr

    made = daemon.run("backup", str(tmp_path / "backups"))
    assert made.returncode == 0
    assert "4 messages, 1 damaged places" in made.stderr
    assert made.stderr.count("messages 3 to 3 of c1: ") == 1
    (folder,) = (tmp_path / "backups").iterdir()
    damage_chunk(folder / "qscpd.db", 1 << 32 | 1, "noise")

    erased = daemon.run("erase", "alice", "--yes")
    assert erased.returncode == 0
    assert "1 damaged places of the store could not be looked into" in erased.stderr
    assert b"word 5" not in daemon.store.read_bytes()


async def test_clients_say_that_messages_are_damaged(
    start_daemon: StartDaemon, wires: Wires, clients: Clients
) -> None:
    """A client shows the other messages, a note in place of those that are damaged, and what is new."""
    daemon = await written(start_daemon, wires)
    damage_chunk(daemon.store, chunk_places(daemon.store, 1)[2][0], "noise")
    daemon = again(start_daemon)
    bob = await clients.start(daemon, "bob", "alice")
    # The gap comes before or after the chat is opened.
    notes = [f"1 message {where} is damaged on the server" for where in ("with alice", "in this chat")]
    await bob.until(lambda each: any(note in line for line in each.err for note in notes))
    alice = await clients.start(daemon, "alice", "bob", "word 6")
    await bob.until(lambda each: each.texts() == [f"word {number}" for number in (1, 2, 4, 5, 6)])
    bob.type("/last")
    await bob.until(lambda each: any("1 message in this chat is damaged" in line for line in each.err))
    assert await alice.ends() == 0
    assert await bob.ends("an answer") == 0
    once = await clients.start(daemon, "bob")
    assert await once.ends() == 0
    assert not any("damaged" in line for line in once.err)


async def test_a_query_that_needs_a_damaged_part_is_refused(start_daemon: StartDaemon, wires: Wires) -> None:
    """A search in a damaged index is answered with `error`, and the session goes on."""
    daemon = await written(start_daemon, wires)
    with contextlib.closing(sqlite3.connect(daemon.store)) as db, db:
        db.execute("DELETE FROM words_data")
    daemon = again(start_daemon)
    daemon.expected_errors.add("request.damaged")
    bob, _, _ = await resume(wires, daemon, "bob")
    bob.send({"type": "search", "query": "word"}, {"type": "history", "conversation": "c1"})
    error = await bob.receive_type("error")
    assert (error["code"], error["ref"]) == ("internal", "search")
    assert len((await bob.receive_type("history"))["messages"]) == 5
    bob.send(chat("alice", "an answer", 1))
    assert (await bob.receive_type("chat_ack"))["seq"] == 6
