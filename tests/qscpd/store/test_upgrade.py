"""Reports of an upgrade: in the log, to systemd, and on a terminal."""

import io
import socket
from pathlib import Path

import structlog

from qscpd.store.damage import DamagedPlace
from qscpd.store.upgrade import UpgradeLine, UpgradeLog, UpgradeProgress
from qscpd.systemd import Notifier

STORE = Path("/var/lib/qscpd/qscpd.db")


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return that it is."""
        return True


def test_the_log_and_systemd_follow_an_upgrade(tmp_path: Path) -> None:
    """Each report is an event of the log, and lets systemd wait for the next one."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        structlog.testing.capture_logs() as logs,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        notifier = Notifier(str(tmp_path / "notify"))
        report = UpgradeLog(notifier.starting)
        report(UpgradeProgress(STORE, 0, 0, 0.0))
        report(UpgradeProgress(STORE, 120_000, 500_000, 1.5))
        notifier.close()
        assert [manager.recv(4096).decode().splitlines() for _ in range(2)] == [
            ["EXTEND_TIMEOUT_USEC=60000000", "STATUS=Upgrading qscpd.db"],
            ["EXTEND_TIMEOUT_USEC=60000000", "STATUS=Upgrading qscpd.db: 120,000 of 500,000 messages (24 %)"],
        ]
    event = {"event": "store.migrating", "log_level": "info", "store": str(STORE)}
    assert logs == [
        {**event, "messages": 0, "total": 0, "per_second": 0},
        {**event, "messages": 120_000, "total": 500_000, "per_second": 80_000},
    ]


def test_a_terminal_has_one_line_that_is_erased() -> None:
    """Reports replace each other on the terminal, below what is damaged; the last is erased."""
    stream = Terminal()
    with UpgradeLine(stream) as report:
        report(UpgradeProgress(STORE, 0, 0, 0.0))
        report.damaged(DamagedPlace("is missing", 1, 2, 3))
        report(UpgradeProgress(STORE, 500_000, 500_000, 4.0))
    erase = "\r\x1b[K"
    assert stream.getvalue().split(erase) == [
        "",
        "Upgrading qscpd.db",
        "qscpd: damaged: messages 2 to 3 of c1: is missing\n",
        "Upgrading qscpd.db: 500,000 of 500,000 messages (100 %)",
        "",
    ]


def test_without_a_terminal_or_an_upgrade_nothing_is_shown() -> None:
    """A pipe has no line, and a store that needs no upgrade none on a terminal."""
    pipe, terminal = io.StringIO(), Terminal()
    with UpgradeLine(pipe) as report:
        report(UpgradeProgress(STORE, 1, 2, 1.0))
    with UpgradeLine(terminal):
        pass
    assert pipe.getvalue() == terminal.getvalue() == ""
