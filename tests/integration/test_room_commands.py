"""Room commands of the operator, with the daemon running and stopped."""

import asyncio
import contextlib
import json
import subprocess
from typing import Any

import pytest

from qscpd.errors import ExitCode
from qscpd.store import open_reader, store_url
from tests.support.daemon import Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.waiting import patiently
from tests.support.wire import Frame, Wire, Wires, chat


async def command(daemon: Daemon, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run a verb of `qscpd room`."""
    done = await asyncio.to_thread(daemon.run, "room", *arguments)
    assert done.returncode == code, done.stderr
    return done


async def shown(daemon: Daemon, name: str) -> dict[str, Any]:
    """Return the output of `room show`."""
    room: dict[str, Any] = json.loads((await command(daemon, "show", name, "--json")).stdout)
    return room


async def listed(daemon: Daemon) -> list[str]:
    """Return the names of all rooms."""
    return [room["name"] for room in json.loads((await command(daemon, "list", "--json")).stdout)]


async def join(wire: Wire, name: str) -> None:
    """Join a room."""
    wire.send({"type": "join", "room": name})
    assert (await wire.receive_type("room"))["room"]["name"] == name


async def answer(wire: Wire, sent: Frame) -> Frame:
    """Send a message, and return its ack or nack."""
    wire.send(sent)
    while (frame := await wire.receive())["type"] not in ("chat_ack", "chat_nack"):
        pass
    return frame


async def receive_until(wire: Wire, kind: str) -> list[Frame]:
    """Return the frames up to the first one of a type."""
    frames = [await wire.receive()]
    while frames[-1]["type"] != kind:
        frames.append(await wire.receive())
    return frames


async def test_commands_while_the_daemon_runs(start_daemon: StartDaemon, wires: Wires) -> None:
    """Each command takes effect at once, on sessions and on the store."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    await command(daemon, "create", "#dev", "--owner", "Alice", "--history", "full", "--topic", "Talk")
    made = await alice.receive_type("room")
    assert (made["room"]["name"], made["room"]["role"], made["room"]["topic"]) == ("#dev", "owner", "Talk")
    await join(bob, "#dev")
    assert (await answer(bob, chat("#dev", "hello @alice")))["type"] == "chat_ack"
    assert (await alice.receive_type("chat"))["mentions"] == ["alice"]

    room = await shown(daemon, "dev")
    assert [(each["name"], each["role"]) for each in room["people"]] == [
        ("alice", "owner"),
        ("bob", "member"),
    ]
    assert (room["messages"], room["state"]) == (1, "active")
    lines = [json.loads(line) for line in (await command(daemon, "export", "dev")).stdout.splitlines()]
    assert [line["type"] for line in lines] == ["room", "person", "person", "log", "message"]
    assert lines[-1]["mentions"] == [{"name": "alice", "account": "a1"}]

    await command(daemon, "archive", "dev")
    async with patiently():
        while not (await bob.receive_type("room"))["room"]["archived"]:
            pass
    assert (await answer(bob, chat("#dev", "too late")))["code"] == "room_archived"
    await command(daemon, "archive", "dev", code=ExitCode.FAILED)

    await command(daemon, "delete", "dev", "--yes")
    for wire in (alice, bob):
        left = await wire.receive_type("room_left")
        assert (left["name"], left["reason"], left.get("by", "")) == ("#dev", "deleted", "")
    assert (await answer(alice, chat("#dev", "anybody?")))["code"] == "unknown_room"
    assert await listed(daemon) == []

    await command(daemon, "create", "dev", "--owner", "bob")
    again = await bob.receive_type("room")
    assert again["room"]["conversation"] != made["room"]["conversation"]
    assert (await shown(daemon, "dev"))["messages"] == 0


async def test_commands_while_the_daemon_is_stopped(start_daemon: StartDaemon, wires: Wires) -> None:
    """The daemon starts with the changes that were made while it was stopped."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    await command(daemon, "create", "old", "--owner", "alice")
    await alice.receive_type("room")
    assert (await answer(alice, chat("#old", "kept")))["type"] == "chat_ack"
    await alice.bye()
    assert daemon.stop() == 0

    await command(daemon, "create", "new", "--owner", "bob", "--kind", "closed")
    await command(daemon, "create", "gone", "--owner", "bob")
    await command(daemon, "archive", "old")
    await command(daemon, "delete", "gone", "--yes")
    await command(daemon, "create", "new", "--owner", "bob", code=ExitCode.EXISTS)
    assert await listed(daemon) == ["#new", "#old"]
    export = (await command(daemon, "export", "old")).stdout.splitlines()
    assert json.loads(export[-1])["body"] == "kept"

    again = start_daemon()
    alice, _, missed = await resume(wires, again, "alice", {"c1": 0})
    assert [frame["body"] for frame in missed if frame["type"] == "chat"] == ["kept"]
    assert (await answer(alice, chat("#old", "more")))["code"] == "room_archived"
    assert (await answer(alice, chat("#new", "more")))["code"] == "unknown_room"
    (bob,) = await wires.login(again, "bob")
    assert (await answer(bob, chat("#new", "mine")))["type"] == "chat_ack"
    assert (await answer(bob, chat("#gone", "x")))["code"] == "unknown_room"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("create", "dev", "--owner", "bob"), ExitCode.EXISTS, "room #dev already exists"),
        (("create", "ops", "--owner", "zoe"), ExitCode.NOT_FOUND, "account zoe not found"),
        (("create", "o/p", "--owner", "bob"), ExitCode.USAGE, "is not a valid name"),
        (("archive", "ops"), ExitCode.NOT_FOUND, "room #ops not found; `qscpd room list` shows all"),
        (("delete", "ops", "--yes"), ExitCode.NOT_FOUND, "room #ops not found"),
    ],
)
async def test_an_error_is_the_same_running_and_stopped(
    start_daemon: StartDaemon, arguments: tuple[str, ...], code: ExitCode, sentence: str
) -> None:
    """An error has the same text and exit code with the daemon running and stopped, and changes nothing."""
    daemon = start_daemon()
    await command(daemon, "create", "dev", "--owner", "alice")
    running = await command(daemon, *arguments, code=code)
    assert daemon.stop() == 0
    stopped = await command(daemon, *arguments, code=code)
    assert running.stderr == stopped.stderr
    assert sentence in running.stderr
    assert await listed(daemon) == ["#dev"]


async def test_nothing_comes_from_a_room_after_its_end(start_daemon: StartDaemon, wires: Wires) -> None:
    """Members receive all messages stored before the deletion of a room, and none after it."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    await command(daemon, "create", "dev", "--owner", "alice")
    await alice.receive_type("room")
    await join(bob, "#dev")
    deleting = asyncio.create_task(command(daemon, "delete", "dev", "--yes"))
    sent = 0
    while not deleting.done():
        bob.send(*(chat("#dev", f"message {sent + number}") for number in range(20)))
        sent += 20
        await asyncio.sleep(0.01)
    answers: list[Frame] = []
    async with patiently():
        while len(answers) < sent + len(["room_left"]):
            frame = await bob.receive()
            if frame["type"] in ("chat_ack", "chat_nack", "room_left"):
                answers.append(frame)
    kinds = [frame["type"] for frame in answers]
    stored = kinds.index("room_left")
    assert set(kinds[:stored]) <= {"chat_ack"}
    assert set(kinds[stored + 1 :]) <= {"chat_nack"}
    assert {frame["code"] for frame in answers[stored + 1 :]} <= {"unknown_room"}
    received = await receive_until(alice, "room_left")
    assert sum(frame["type"] == "chat" for frame in received) == stored
    assert [frame["type"] for frame in await alice.bye() if frame["type"] in ("chat", "members")] == []


async def test_changes_by_the_operator_are_logged(start_daemon: StartDaemon) -> None:
    """The log has a line for each change, without its text, and none for commands that only read."""
    daemon = start_daemon()
    await command(daemon, "create", "dev", "--owner", "alice", "--topic", "canary")
    await command(daemon, "archive", "ops", code=ExitCode.NOT_FOUND)
    await command(daemon, "list")
    await command(daemon, "delete", "dev", "--yes")
    daemon.wait_for_log("admin.request", 3)
    logged = [(each["request"], each["outcome"]) for each in daemon.log if each["event"] == "admin.request"]
    assert logged == [
        ("CreateRoom #dev", "done"),
        ("ArchiveRoom #ops", "room #ops not found; `qscpd room list` shows all"),
        ("DeleteRoom #dev", "done"),
    ]
    assert "canary" not in str(daemon.text)


async def test_the_messages_of_a_deleted_room_are_removed(start_daemon: StartDaemon, wires: Wires) -> None:
    """Housekeeping removes the messages of a room that was deleted while the daemon was stopped."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    await command(daemon, "create", "dev", "--owner", "alice")
    await alice.receive_type("room")
    alice.send(*(chat("#dev", f"number {number} canary") for number in range(1000)))
    await alice.receive_count("chat_ack", 1000)
    assert (await answer(bob, chat("alice", "some sparrow")))["type"] == "chat_ack"
    for wire in (alice, bob):
        await wire.bye()
    assert daemon.stop() == 0
    await command(daemon, "delete", "dev", "--yes")
    assert b" canary" in daemon.store.read_bytes()

    def kept() -> int:
        with contextlib.closing(open_reader(store_url(daemon.store))) as reader:
            return sum(1 for _ in reader.export_room(1))

    again = start_daemon()
    async with patiently():
        while await asyncio.to_thread(kept):
            pass
    assert again.stop() == 0
    assert b" canary" not in daemon.store.read_bytes()
    assert b" sparrow" in daemon.store.read_bytes()
