import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.errors import ConfigError, StoreFullError
from qscpd.systemd import (
    Notifier,
    failure_status,
    logs_to_journal,
    watchdog_interval_s,
)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Datagram socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    """A notifier of the manager."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.getsockname()})
    yield notifier
    notifier.close()


def test_each_call_is_one_datagram(manager: socket.socket, notifier: Notifier) -> None:
    """The datagrams are as in sd_notify(3), in the order of the calls."""
    notifier.starting("upgrading", 60)
    notifier.ready("listening on port 7727")
    notifier.status("2 users online")
    notifier.alive()
    notifier.stopping("saying goodbye")
    assert [manager.recv(4096) for _ in range(5)] == [
        b"EXTEND_TIMEOUT_USEC=60000000\nSTATUS=upgrading",
        b"READY=1\nSTATUS=listening on port 7727",
        b"STATUS=2 users online",
        b"WATCHDOG=1",
        b"STOPPING=1\nSTATUS=saying goodbye",
    ]


def test_a_status_cannot_contain_an_assignment(manager: socket.socket, notifier: Notifier) -> None:
    """A line break in a status becomes a blank."""
    notifier.status("fine\nMAINPID=1\r\n")
    assert manager.recv(4096) == b"STATUS=fine MAINPID=1"


def test_the_last_status_says_how_it_ended(manager: socket.socket, notifier: Notifier) -> None:
    """A status is kept by systemd, so the last one must be true of an ended service."""
    notifier.stopped()
    notifier.failed("no room on the disk\n" + "x" * 10_000)
    assert manager.recv(4096) == b"STATUS=Stopped"
    assert manager.recv(4096) == b"STATUS=Failed: no room on the disk " + b"x" * 472


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreFullError("the disk is full"), b"STATUS=Failed: the disk is full"),
        (ConfigError(["a:1: is wrong", "a:2: too"]), b"STATUS=Failed: a:1: is wrong a:2: too"),
        (ValueError("a secret"), b"STATUS=Failed: internal error; the log has the details"),
    ],
)
def test_a_failure_is_shown_and_goes_on(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, error: Exception, status: bytes
) -> None:
    """An error of ours is shown as it is; a bug has its text in the log only."""
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    with pytest.raises(type(error)), failure_status():
        raise error
    assert manager.recv(4096) == status


def test_an_abstract_address_is_reached() -> None:
    """`@name` in $NOTIFY_SOCKET is Linux's abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the kernel chooses an abstract name
        manager.setblocking(False)
        address = manager.getsockname()
        assert address.startswith(b"\0")
        notifier = Notifier("@" + address[1:].decode())
        notifier.alive()
        notifier.close()
        assert manager.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path", "/no/such/socket"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    """Without a manager, or with a stale variable, calls do nothing."""
    notifier = Notifier(address)
    notifier.ready("up")
    notifier.alive()
    notifier.close()


def test_a_closed_notifier_is_silent(manager: socket.socket, notifier: Notifier) -> None:
    """Calls after close() send nothing."""
    notifier.close()
    notifier.alive()
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


def test_a_manager_that_does_not_read_does_not_stop_the_loop(
    manager: socket.socket, notifier: Notifier
) -> None:
    """With a full queue, notifications are dropped and the call returns."""
    queue_length = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    for _ in range(queue_length + 10):
        notifier.alive()
    assert manager.recv(4096) == b"WATCHDOG=1"


def test_a_recreated_manager_gets_notifications(tmp_path: Path) -> None:
    """A recreated socket at the same path gets later notifications."""
    address = tmp_path / "notify"
    notifier = Notifier(str(address))
    notifier.alive()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        notifier.alive()
        assert manager.recv(4096) == b"WATCHDOG=1"
    notifier.close()


def test_the_watchdog_gets_three_notifications_in_its_timeout() -> None:
    """A timeout of 30 s means a notification every 10 s."""
    environ = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    assert watchdog_interval_s(environ) == pytest.approx(10)
    del environ["WATCHDOG_PID"]
    assert watchdog_interval_s(environ) == pytest.approx(10)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_watchdog_there_is_no_interval(environ: dict[str, str]) -> None:
    """Without a watchdog, or with one of another process, there is no interval."""
    assert watchdog_interval_s(environ) is None


def test_the_journal_is_known_by_device_and_inode() -> None:
    """Only the stream of $JOURNAL_STREAM, by device and inode, counts as the journal."""
    reader, writer = os.pipe()
    try:
        stat = os.fstat(writer)
        environ = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        assert logs_to_journal(writer, environ)
        assert not logs_to_journal(2, environ)
        assert not logs_to_journal(writer, {})
        assert not logs_to_journal(writer, {"JOURNAL_STREAM": "garbage"})
    finally:
        os.close(reader)
        os.close(writer)
    assert not logs_to_journal(writer, environ)
