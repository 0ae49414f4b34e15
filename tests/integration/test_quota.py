"""Quota that is used up under a running daemon: a full disk, not the end."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import PASSWORD, Daemon, add_accounts, supervised, write_config
from tests.support.logged_in import resume
from tests.support.quota import Quota
from tests.support.storage import stored_messages
from tests.support.waiting import PATIENCE_S
from tests.support.wire import Frame, Wire, Wires, chat, message_id

BODY = "x" * 4000
QSCPD = (sys.executable, "-m", "qscpd")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store in a folder of its own."""
    folder = tmp_path / "store"
    folder.mkdir()
    add_accounts(folder / "qscpd.db", dict.fromkeys(("alice", "bob"), PASSWORD))
    return folder / "qscpd.db"


@pytest.fixture
def quota(store: Path, tmp_path: Path) -> Quota:
    """The quota of the store's folder."""
    return Quota(store.parent, tmp_path / "quota")


@pytest.fixture
def daemon(store: Path, quota: Quota, tmp_path: Path, authority: AuthorityFiles) -> Iterator[Daemon]:
    """A daemon under the quota."""
    with started(store, quota, tmp_path, authority) as daemon:
        yield daemon


@contextlib.contextmanager
def started(store: Path, quota: Quota, folder: Path, authority: AuthorityFiles) -> Iterator[Daemon]:
    """Start a daemon under a quota; at the end it must be as it should, unless the test has killed it."""
    settings = (f"store.path={store}",)
    daemon = Daemon(folder, write_config(folder, authority), settings, command=(*quota.command, *QSCPD))
    daemon.expected_errors |= {"store.refused"}
    with supervised(daemon):
        yield daemon


def run(store: Path, quota: Quota, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command under the quota."""
    return subprocess.run(
        [*quota.command, *QSCPD, *arguments, "-c", folder / "qscpd.yaml", "--set", f"store.path={store}"],
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_S,
    )


async def answers(wire: Wire, count: int) -> list[Frame]:
    """Return the next acks and nacks."""
    found: list[Frame] = []
    while len(found) < count:
        frame = await wire.receive()
        if frame["type"] in ("chat_ack", "chat_nack"):
            found.append(frame)
    return found


async def fill_up(wire: Wire, begin: int = 1) -> int:
    """Send messages until one is refused; return its number."""
    for number in range(begin, begin + 5000):
        wire.send(chat("bob", BODY, number))
        (frame,) = await answers(wire, 1)
        if frame["type"] == "chat_nack":
            assert frame["code"] == "storage_full"
            return number
    pytest.fail("the quota has no end")


@pytest.fixture
async def alice(wires: Wires, daemon: Daemon) -> AsyncIterator[Wire]:
    """alice, logged in."""
    wire, _, _ = await resume(wires, daemon, "alice")
    yield wire
    await wire.close()


@pytest.mark.parametrize("left", [60_000, 300_007, 6_000_000])
async def test_messages_wait_for_space(
    daemon: Daemon, alice: Wire, store: Path, quota: Quota, left: int
) -> None:
    """Messages beyond the quota are nacked as `storage_full`; with space they are stored once, in order."""
    quota.leave(left)
    refused = await fill_up(alice)
    for _ in range(3):
        alice.send(*(chat("bob", BODY, refused + number) for number in range(50)))
        found = await answers(alice, 50)
        assert {each["code"] for each in found} <= {"storage_full", "out_of_order"}
    assert daemon.process.poll() is None
    quota.lift()
    alice.send(*(chat("bob", BODY, refused + number) for number in range(50)))
    acks = await answers(alice, 50)
    assert [each.get("seq") for each in acks] == list(range(refused, refused + 50))
    rows = stored_messages(store)
    assert [row.seq for row in rows] == list(range(1, refused + 50))
    assert [row.id for row in rows] == [message_id(number) for number in range(1, refused + 50)]


@pytest.mark.parametrize("left", [60_000, 80_011, 100_019])
async def test_a_refused_message_is_not_stored_by_a_crash(
    daemon: Daemon,
    alice: Wire,
    store: Path,
    quota: Quota,
    left: int,
    tmp_path: Path,
    authority: AuthorityFiles,
) -> None:
    """A daemon that is killed right after it refused a message has not stored it after the restart."""
    quota.leave(left)
    refused = await fill_up(alice)
    daemon.stop(signal.SIGKILL)
    with started(store, quota, tmp_path, authority):
        pass
    assert [row.id for row in stored_messages(store)] == [message_id(number) for number in range(1, refused)]


async def test_locking_the_one_who_fills_the_disk(
    daemon: Daemon,
    alice: Wire,
    wires: Wires,
    store: Path,
    quota: Quota,
    tmp_path: Path,
    authority: AuthorityFiles,
) -> None:
    """A user whose messages use up the quota can be locked, which survives a crash, and unlocked."""
    quota.leave(200_000)
    await fill_up(alice)
    done = run(store, quota, tmp_path, "lock", "alice")
    assert (done.returncode, done.stderr) == (0, "locked alice\n")
    assert (await alice.receive_type("bye"))["reason"] == "locked"
    daemon.stop(signal.SIGKILL)
    with started(store, quota, tmp_path, authority) as restarted:
        wire = await wires.connect(restarted)
        wire.send({"type": "auth", "user": "alice", "password": PASSWORD})
        assert (await wire.receive())["code"] == "account_locked"
        await wire.close()
        assert run(store, quota, tmp_path, "unlock", "alice").returncode == 0


async def test_moderators_on_a_full_disk(daemon: Daemon, alice: Wire, wires: Wires, quota: Quota) -> None:
    """Members can be banned on a full disk, are put out at once, and can leave; a topic is refused."""
    bob, _, _ = await resume(wires, daemon, "bob")
    alice.send({"type": "room", "room": "#dev", "action": "create"})
    await alice.receive_type("room_ack")
    bob.send({"type": "join", "room": "#dev"})
    await bob.receive_type("room_ack")
    quota.leave(200_000)
    refused = await fill_up(alice)
    alice.send({"type": "room", "room": "#dev", "action": "topic", "text": "x" * 400})
    while (frame := await alice.receive())["type"] not in ("error", "room_ack"):
        pass
    assert frame.get("code") in ("storage_full", None)  # a journal that was moved can have room for it
    alice.send({"type": "room", "room": "#dev", "action": "ban", "user": "bob"})
    assert (await alice.receive_type("room_ack"))["action"] == "ban"
    await bob.receive_type("room_left")
    alice.send({"type": "room", "room": "#dev", "action": "archive"})
    assert (await alice.receive_type("room_ack"))["action"] == "archive"
    quota.lift()
    alice.send(chat("bob", BODY, refused))
    assert (await alice.receive_type("chat_ack"))["id"] == message_id(refused)
    await bob.close()


async def test_commands_beside_a_stopped_daemon(
    daemon: Daemon, alice: Wire, store: Path, quota: Quota, tmp_path: Path, authority: AuthorityFiles
) -> None:
    """With the daemon stopped, by order or by force, commands work on a full disk, and it starts again."""
    quota.leave(200_000)
    refused = await fill_up(alice)
    await alice.close()
    daemon.stop(signal.SIGKILL)
    quota.leave(0)
    for number in range(20):
        done = run(store, quota, tmp_path, "unlock" if number % 2 else "lock", "alice")
        assert (done.returncode, done.stderr) == (0, f"{'un' * (number % 2)}locked alice\n")
        quota.leave(0)
    with started(store, quota, tmp_path, authority):
        pass
    for command in (("lock", "bob"), ("deluser", "bob", "--yes"), ("erase", "alice", "--yes")):
        quota.leave(0)
        done = run(store, quota, tmp_path, *command)
        assert done.returncode == 0, done.stderr
    rows = stored_messages(store)
    assert [row.body for row in rows] == [None] * (refused - 1)


async def test_adding_an_account_without_space(
    daemon: Daemon, alice: Wire, store: Path, quota: Quota, tmp_path: Path
) -> None:
    """`adduser` without space says so, and that the password it has printed is void."""
    quota.leave(200_000)
    await fill_up(alice)
    for number in range(100):
        done = run(store, quota, tmp_path, "adduser", f"carol{number}", "--generate")
        if done.returncode:
            sentences = (
                f"qscpd: the printed password of carol{number} is void, because it was not set\n"
                f"qscpd: {store}: no room on the disk, or in its quota; free some, then try again\n"
            )
            assert (done.returncode, done.stderr) == (1, sentences)
            assert daemon.process.poll() is None
            return
    pytest.fail("the quota has no end")
