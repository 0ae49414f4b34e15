"""Logs of the daemon: the fields of the session log, and no secrets."""

import asyncio
from pathlib import Path

from tests.support.daemon import Daemon, StartDaemon
from tests.support.waiting import until
from tests.support.wire import Wires, chat

CANARY_PASSWORD = "canary-password-4711"
CANARY_BODY = "canary-body-0815"
CANARY_NAME = "typed-my-password-here"

KEYS = {
    "session.open": ["time", "event", "remote", "session", "tls", "cipher"],
    "auth.ok": ["time", "event", "remote", "session", "user", "device", "client"],
    "auth.fail": ["time", "event", "remote", "session", "reason", "user"],
    "session.close": [
        *(
            "time",
            "event",
            "remote",
            "session",
            "user",
            "device",
            "tls",
            "cipher",
            "duration_s",
            "frames_in",
            "frames_out",
        ),
        *("bytes_in", "bytes_out", "messages_in", "messages_out", "reason"),
    ],
}


async def until_logged(daemon: Daemon, event: str, count: int = 1) -> None:
    """Wait until the session log has that many lines of an event."""
    await until(lambda: [entry["event"] for entry in daemon.sessions()].count(event) >= count)


async def test_fields_of_the_session_log(start_daemon: StartDaemon, wires: Wires) -> None:
    """Each event of the session log has its fields in order, with the right values."""
    daemon = start_daemon()
    alice = await wires.connect(daemon)
    alice.send({"type": "auth", "user": "alice", "password": "wrong"})
    await alice.receive_type("auth_nack")
    alice.send({"type": "auth", "user": CANARY_NAME, "password": "wrong"})
    await alice.receive_type("auth_nack")
    alice.send(
        {"type": "auth", "user": "alice", "password": "correct horse battery", "client": "test/1\x1b[2J"}
    )
    await alice.receive_type("auth_ack")
    (bob,) = await wires.login(daemon, "bob")
    alice.send(chat("bob", "one", 1), chat("bob", "two", 2))
    await bob.receive_count("chat", 2)
    await alice.bye()
    await until_logged(daemon, "session.close")
    entries = daemon.sessions()
    assert {entry["event"]: list(entry) for entry in entries} == KEYS
    mine = [entry for entry in entries if entry["session"] == entries[0]["session"]]
    assert [(entry["event"], entry.get("user"), entry.get("reason")) for entry in mine] == [
        ("session.open", None, None),
        ("auth.fail", "alice", "bad_credentials"),
        ("auth.fail", None, "bad_credentials"),
        ("auth.ok", "alice", None),
        ("session.close", "alice", "bye"),
    ]
    opened, close = mine[0], mine[-1]
    assert (opened["remote"], opened["tls"]) == ("127.0.0.1", "TLSv1.3")
    assert mine[3]["client"] == "test/1<U+001B>[2J"
    assert (close["messages_in"], close["messages_out"], close["frames_in"]) == (2, 0, 6)
    assert close["frames_out"] >= 7
    assert close["bytes_in"] > 0 < close["bytes_out"]
    assert (daemon.directory / "sessions.log").stat().st_mode & 0o777 == 0o640


async def test_a_moved_session_log_is_made_anew(start_daemon: StartDaemon, wires: Wires) -> None:
    """After a rotation the next line is in a new file, and none is lost."""
    daemon = start_daemon()
    log = daemon.directory / "sessions.log"
    await wires.connect(daemon)
    await until_logged(daemon, "session.open")
    log.rename(daemon.directory / "sessions.log.1")
    await wires.connect(daemon)
    await until(lambda: log.exists() and daemon.sessions())
    assert len(daemon.sessions()) == 1


async def test_secrets_are_in_the_store_only(start_daemon: StartDaemon, wires: Wires) -> None:
    """Passwords are in no file, and messages only in the store, even when everything is logged."""
    daemon = start_daemon("log.level=debug")
    done = await asyncio.to_thread(
        daemon.run, "adduser", "--password-stdin", "dora", password=CANARY_PASSWORD + "\n"
    )
    assert done.returncode == 0
    (bob,) = await wires.login(daemon, "bob")
    dora = await wires.connect(daemon)
    for user, password, answer in (
        ("dora", "not " + CANARY_PASSWORD, "auth_nack"),
        (CANARY_PASSWORD, "x", "auth_nack"),
        ("dora", CANARY_PASSWORD, "auth_ack"),
    ):
        dora.send({"type": "auth", "user": user, "password": password})
        assert (await dora.receive())["type"] == answer
    dora.send(
        chat("bob", CANARY_BODY), chat("nobody-here", CANARY_BODY, 2), chat("bob", CANARY_BODY + "\0", 3)
    )
    await bob.receive_type("chat")
    dora.send({"type": "auth", "user": "dora", "password": CANARY_PASSWORD})
    assert (await dora.rest())[-1]["code"] == "already_logged_in"
    for line in (
        f'{{"type":"chat","to":"{CANARY_BODY}"',
        f'{{"type":"chat","to":"bob","x":"{CANARY_BODY}"}}',
    ):
        (carol,) = await wires.login(daemon, "carol")
        carol.send_plaintext(line.encode() + b"\n")
        await carol.rest()
    await wires.close()
    await asyncio.to_thread(daemon.stop)
    assert found(daemon.directory, CANARY_PASSWORD) == []
    assert CANARY_PASSWORD not in "".join(daemon.text)
    assert found(daemon.directory, CANARY_BODY) == ["qscpd.db"]
    assert CANARY_BODY not in "".join(daemon.text)


def found(directory: Path, canary: str) -> list[str]:
    """Return the names of the files that contain a text."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if canary.encode() in path.read_bytes()]


async def test_the_address_policy(start_daemon: StartDaemon, wires: Wires) -> None:
    """With `failures` only failed logins have an address."""
    daemon = start_daemon("log.addresses=failures")
    wire = await wires.connect(daemon)
    wire.send({"type": "auth", "user": "alice", "password": "wrong"})
    await wire.receive_type("auth_nack")
    await until_logged(daemon, "auth.fail")
    assert [entry["remote"] for entry in daemon.sessions()] == [None, "127.0.0.1"]
