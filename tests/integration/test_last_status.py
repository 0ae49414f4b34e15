"""Status that `systemctl status` keeps of a daemon that has ended."""

import asyncio
import contextlib
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.errors import ExitCode
from qscpd.setup.pki import AuthorityFiles
from tests.integration.test_start import refused
from tests.support.daemon import StartDaemon
from tests.support.waiting import until
from tests.support.wire import Wires, chat


class Manager:
    """Service manager that keeps what it is sent."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def received(self) -> list[str]:
        """Return the assignments received so far."""
        assignments: list[str] = []
        while True:
            try:
                assignments += self._listener.recv(4096).decode().split("\n")
            except BlockingIOError:
                return assignments


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A service manager, whose socket the next daemon finds in its environment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield Manager(listener)


def test_a_clean_end_leaves_stopped(start_daemon: StartDaemon, manager: Manager) -> None:
    """After a clean end nothing says that the daemon is still busy with it."""
    daemon = start_daemon()
    assert daemon.stop(signal.SIGTERM) == 0
    assert manager.received()[-3:] == ["STOPPING=1", "STATUS=Saying good-bye", "STATUS=Stopped"]


async def test_the_status_names_a_missing_address(
    start_daemon: StartDaemon, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first status on, `systemctl status` shows an address that nobody can connect to."""
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    daemon = start_daemon("server.listen=203.0.113.7:0, 127.0.0.1:0")
    address = daemon.wait_for_log("listen.missing")["address"]
    missing = f"; this machine lacks {address}; see `qscpd status`"
    received: list[str] = []

    def watched() -> bool:
        received.extend(manager.received())
        return f"STATUS=0 people online, 0 sessions{missing}" in received

    await until(watched)
    ready = next(each for each in received if each.startswith("STATUS="))
    assert ready.startswith(f"STATUS=Listening on {address}, 127.0.0.1:")
    assert ready.endswith(missing)


async def test_a_store_that_fails_leaves_its_reason(
    start_daemon: StartDaemon, wires: Wires, manager: Manager
) -> None:
    """While it stops and after that, the status is the error of the store."""
    daemon = start_daemon()
    daemon.expected_errors.add("store.failed")
    (alice,) = await wires.login(daemon, "alice")
    with contextlib.closing(sqlite3.connect(daemon.store)) as db:
        db.execute("CREATE TRIGGER broken BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'broken'); END")
        db.commit()
    alice.send(chat("bob", "hello", 1), {"type": "bye"})
    await alice.rest()
    await alice.close()
    assert await asyncio.to_thread(daemon.wait) == ExitCode.FAILED
    stopping, failing, failed = manager.received()[-3:]
    assert stopping == "STOPPING=1"
    assert failing.startswith("STATUS=Failing: ")
    assert failed == failing.replace("Failing", "Failed")
    assert "broken" in failed


@pytest.mark.parametrize(
    ("setting", "status"),
    [
        ("store.path=/nowhere/qscpd.db", "/nowhere"),
        ("tls.key=none.key", "none.key: the private key can't be read"),
        ("server.listen=no.such.host.invalid:7727", "server.listen: no.such.host.invalid:7727"),
        (
            "log.session_log=/nowhere/sessions.log",
            "log.session_log: the directory of /nowhere/sessions.log does",
        ),
        ("log.level=loud", "'loud' is not allowed"),
    ],
)
def test_a_start_that_fails_leaves_its_reason(
    tmp_path: Path, authority: AuthorityFiles, manager: Manager, setting: str, status: str
) -> None:
    """The last status is the error, from the configuration to the port."""
    code, text = refused(tmp_path, authority, setting)
    assert code != 0
    (last,) = manager.received()
    assert last.startswith("STATUS=Failed: ")
    assert status in last
    assert last.removeprefix("STATUS=Failed: ").strip() in text
