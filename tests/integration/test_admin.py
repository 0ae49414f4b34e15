"""Account commands of the operator take effect on the running daemon at once."""

import asyncio

import pytest

from tests.support.daemon import PASSWORD, Daemon, StartDaemon
from tests.support.wire import Frame, Wires, chat


async def attempt(wires: Wires, daemon: Daemon, user: str, password: str = PASSWORD) -> Frame:
    """Return the answer to a login."""
    wire = await wires.connect(daemon)
    wire.send({"type": "auth", "user": user, "password": password})
    answer = await wire.receive()
    await wire.close()
    return answer


async def command(daemon: Daemon, *arguments: str, password: str = "") -> None:
    """Run a command of qscpd that succeeds."""
    done = await asyncio.to_thread(daemon.run, *arguments, password=password)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("verb", "reason"), [(("lock",), "locked"), (("deluser", "--yes"), "deleted")])
async def test_lock_and_delete_end_the_sessions(
    start_daemon: StartDaemon, wires: Wires, verb: tuple[str, ...], reason: str
) -> None:
    """Locking or deleting an account ends its sessions with a reason, and refuses its logins.

    Messages to a locked account are stored; a deleted one is an unknown recipient.
    """
    daemon = start_daemon()
    first, second, bob = await wires.login(daemon, "alice", "alice", "bob")
    await command(daemon, *verb, "alice")
    for wire in (first, second):
        bye = await wire.receive_type("bye")
        assert (bye["reason"], bye.get("reconnect", False)) == (reason, False)
        assert await wire.rest() == []
    bob.send(chat("alice", "are you there?"))
    locked = reason == "locked"
    answer = await bob.receive_type("chat_ack" if locked else "chat_nack")
    assert answer.get("code") == (None if locked else "unknown_recipient")
    assert (await attempt(wires, daemon, "alice", "wrong"))["code"] == "bad_credentials"
    right = await attempt(wires, daemon, "alice")
    assert right["code"] == ("account_locked" if locked else "bad_credentials")
    if locked:
        await command(daemon, "unlock", "alice")
        (alice,) = await wires.login(daemon, "alice", resume=False)
        alice.send({"type": "resume", "positions": []})
        assert (await alice.receive_type("chat"))["body"] == "are you there?"


async def test_a_new_password_counts_at_once(start_daemon: StartDaemon, wires: Wires) -> None:
    """The old password is refused at once; the open session goes on."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    await command(daemon, "passwd", "--password-stdin", "alice", password="something else\n")
    assert (await attempt(wires, daemon, "alice"))["code"] == "bad_credentials"
    assert (await attempt(wires, daemon, "alice", "something else"))["type"] == "auth_ack"
    assert (await alice.bye())[-1]["type"] == "bye"


async def test_a_new_account_can_log_in_and_be_written_to(start_daemon: StartDaemon, wires: Wires) -> None:
    """A new account works without a restart; a reused name is another account."""
    daemon = start_daemon()
    (bob,) = await wires.login(daemon, "bob")
    await command(daemon, "deluser", "--yes", "alice")
    await command(daemon, "adduser", "--reuse-name", "--password-stdin", "alice", password="a new person\n")
    assert (await attempt(wires, daemon, "alice"))["code"] == "bad_credentials"
    wire = await wires.connect(daemon)
    wire.send({"type": "auth", "user": "alice", "password": "a new person"})
    assert (await wire.receive())["account"] == "a4"
    wire.send({"type": "resume", "positions": []})
    await wire.receive_type("resumed")
    bob.send(chat("alice", "hello, new one"))
    assert (await wire.receive_type("chat"))["body"] == "hello, new one"


async def test_status_counts(start_daemon: StartDaemon, wires: Wires) -> None:
    """`status` counts connections, sessions and users."""
    daemon = start_daemon()
    await wires.login(daemon, "alice", "alice", "bob")
    await wires.connect(daemon)
    done = await asyncio.to_thread(daemon.run, "status")
    assert {"connections: 4", "sessions: 3", "users_online: 2"} <= set(done.stdout.splitlines())
