"""Session log: its lines, and a file that is moved, full or removed."""

import asyncio
import json
import os
import ssl
import stat
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from qscp.errors import ErrorCode
from qscpd.domain.model import Account, AccountState
from qscpd.errors import PermissionDeniedError, QscpdError
from qscpd.net.link import Link
from qscpd.net.tls import TlsEngine
from qscpd.outage import Outage
from qscpd.sessions.identity import Identity
from qscpd.sessions.log import SessionLog
from tests.support.clock import ManualClock
from tests.support.doubles import FakeLink
from tests.support.smalldisk import largest_file
from tests.support.users import as_user
from tests.support.waiting import until

NO_TLS = TlsEngine(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
"""TLS before its handshake."""


class SessionDouble:
    """A session to log."""

    def __init__(self, number: int = 1) -> None:
        self.id = f"s{number}"
        self.link: Link = FakeLink()
        self.link.tls = NO_TLS
        self.link.bytes_in = self.link.bytes_out = 0
        self.identity: Identity | None = None
        self.opened = 0.0
        self.messages_in = self.messages_out = self.frames_in = self.frames_out = 0


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the log's entries."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_failed_login_logs_the_address_first(tmp_path: Path) -> None:
    """A failed login logs the address before any text of the peer, as fail2ban expects."""
    path = tmp_path / "sessions.log"
    session = SessionDouble()
    with SessionLog(path, "always") as log:
        log.auth_failed(session, ErrorCode.BAD_CREDENTIALS, None)
        log.auth_failed(session, ErrorCode.ACCOUNT_LOCKED, Account(1, "alice", AccountState.LOCKED, 0))
    first, second = lines(path)
    assert list(first) == ["time", "event", "remote", "session", "reason", "user"]
    assert (first["event"], first["remote"], first["user"]) == ("auth.fail", "192.0.2.7", None)
    assert (second["reason"], second["user"]) == ("account_locked", "alice")
    assert first["time"].endswith("+00:00")


def test_the_clients_name_is_cut_and_cleaned(tmp_path: Path) -> None:
    """The name of a client is logged without control characters, up to 60 characters."""
    path = tmp_path / "sessions.log"
    with SessionLog(path, "always") as log:
        log.auth_ok(SessionDouble(), "x\x1b[2J\u202e" + "y" * 1000)
    (entry,) = lines(path)
    assert entry["client"] == ("x<U+001B>[2J<U+202E>" + "y" * 1000)[:60]


def test_earlier_lines_are_kept(tmp_path: Path) -> None:
    """An existing file keeps its lines and its mode."""
    path = tmp_path / "sessions.log"
    path.write_text('{"event":"before"}\n')
    path.chmod(0o600)
    with SessionLog(path, "always") as log:
        log.auth_ok(SessionDouble(), "x")
    assert [entry["event"] for entry in lines(path)] == ["before", "auth.ok"]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_moved_file_is_created_again(tmp_path: Path) -> None:
    """After the file is moved, removed or replaced, as by logrotate, later lines go to a new file."""
    path = tmp_path / "sessions.log"
    with SessionLog(path, "always") as log:
        for round_ in range(2):
            log.auth_ok(SessionDouble(round_), "x")
            await until(lambda: path.exists() and path.read_text())
            assert [entry["session"] for entry in lines(path)] == [f"s{round_}"]
            if round_:
                path.unlink()
            else:
                path.rename(tmp_path / "old")
        path.write_text("")
        path.rename(tmp_path / "other")
        (tmp_path / "other").rename(path)
        log.auth_ok(SessionDouble(9), "x")
    assert [entry["session"] for entry in lines(path)] == ["s9"]


async def test_a_missing_directory_loses_only_lines_of_that_time(tmp_path: Path) -> None:
    """A missing directory is reported in the daemon's log, and only lines of that time are lost."""
    directory = tmp_path / "log"
    directory.mkdir()
    path = directory / "sessions.log"
    with structlog.testing.capture_logs() as logged, SessionLog(path, "always") as log:
        directory.rename(tmp_path / "away")
        log.auth_ok(SessionDouble(1), "x")
        await until(lambda: logged)
        (tmp_path / "away").rename(directory)
        log.auth_ok(SessionDouble(2), "x")
    assert [entry["session"] for entry in lines(path)] == ["s2"]
    assert [entry["event"] for entry in logged] == ["sessionlog.failed", "sessionlog.failed.over"]
    assert [entry["lines"] for entry in logged] == [1, 1]


async def test_a_failure_is_two_lines_whatever_is_lost(tmp_path: Path) -> None:
    """However many lines are lost, the daemon's log has its begin and its end, with their number."""
    directory = tmp_path / "log"
    directory.mkdir()
    with (
        structlog.testing.capture_logs() as logged,
        SessionLog(directory / "sessions.log", "always", 1000) as log,
    ):
        directory.rename(tmp_path / "away")
        for number in range(300):
            log.auth_ok(SessionDouble(number), "x")
            await asyncio.sleep(0)
        await until(lambda: logged)
        (tmp_path / "away").rename(directory)
        log.auth_ok(SessionDouble(300), "x")
    assert [entry["event"] for entry in logged] == ["sessionlog.failed", "sessionlog.failed.over"]
    written = lines(directory / "sessions.log")
    assert written[-1]["session"] == "s300"
    assert logged[1]["lines"] + len(written) == 301


async def test_faults_in_a_row_are_two_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that is missing ten times within a short time is one fault."""
    failures: list[int] = []
    real = Outage.failed

    def failed(outage: Outage, cause: str, count: int, **fields: object) -> None:
        real(outage, cause, count, **fields)  # type: ignore[arg-type]
        failures.append(count)

    monkeypatch.setattr(Outage, "failed", failed)
    directory = tmp_path / "log"
    directory.mkdir()
    path = directory / "sessions.log"
    with structlog.testing.capture_logs() as logged, SessionLog(path, "always", 1000) as log:
        for number in range(10):
            directory.rename(tmp_path / "away")
            log.auth_ok(SessionDouble(-1), "x")
            await until(lambda: len(failures) > number)  # noqa: B023
            (tmp_path / "away").rename(directory)
            log.auth_ok(SessionDouble(number), "x")
            await until(lambda: path.exists() and f'"s{number}"' in path.read_text())  # noqa: B023
    assert [entry["event"] for entry in logged] == ["sessionlog.failed", "sessionlog.failed.over"]
    assert logged[1]["lines"] == 10


async def test_a_fault_ends_without_another_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When lines could be written for a while, it is over, also if no session begins or ends then."""
    monkeypatch.setattr("qscpd.sessions.log.CALM_S", 0.1)
    directory = tmp_path / "log"
    directory.mkdir()
    with structlog.testing.capture_logs() as logged, SessionLog(directory / "sessions.log", "always") as log:
        directory.rename(tmp_path / "away")
        log.auth_ok(SessionDouble(1), "x")
        await until(lambda: logged)
        (tmp_path / "away").rename(directory)
        log.auth_ok(SessionDouble(2), "x")
        await until(lambda: len(logged) == 2)
    assert [entry["event"] for entry in logged] == ["sessionlog.failed", "sessionlog.failed.over"]


def test_a_full_disk_raises_no_error(tmp_path: Path) -> None:
    """A full disk is reported in the daemon's log; neither logging nor closing raises."""
    with structlog.testing.capture_logs() as logged, SessionLog(Path("/dev/full"), "always") as log:
        log.auth_ok(SessionDouble(), "x")
    assert [entry.get("reason", "") for entry in logged] == ["No space left on device", ""]
    assert [(entry["event"], entry["lines"]) for entry in logged] == [
        ("sessionlog.failed", 1),
        ("sessionlog.failed.over", 1),
    ]
    assert list(tmp_path.iterdir()) == []


async def test_no_half_line_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a full disk takes of a line is removed, so that the next one can be read."""
    tried: list[bytes] = []
    real = SessionLog._write_all

    def write_all(log: SessionLog, data: Sequence[bytes]) -> None:
        real(log, data)
        tried.extend(data)

    monkeypatch.setattr(SessionLog, "_write_all", write_all)
    path = tmp_path / "sessions.log"
    with structlog.testing.capture_logs() as logged, SessionLog(path, "always") as log:
        log.auth_ok(SessionDouble(1), "x")
        await until(lambda: path.stat().st_size)
        with largest_file(path.stat().st_size * 5 // 2):
            log.auth_ok(SessionDouble(2), "x")
            log.auth_ok(SessionDouble(3), "x")
            log.auth_ok(SessionDouble(4), "x")
            await until(lambda: len(tried) == 4)  # The thread takes them together or one by one.
        assert logged
        log.auth_ok(SessionDouble(5), "x")
    assert [entry["session"] for entry in lines(path)] == ["s1", "s2", "s5"]


async def test_a_disk_that_hangs_costs_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines wait up to a limit for a disk that hangs; later ones are dropped, and the end does not wait."""
    monkeypatch.setattr("qscpd.sessions.log._WAITING_LIMIT", 20)
    monkeypatch.setattr("qscpd.sessions.log._PATIENCE_S", 0.01)
    writes: list[bytes] = []
    real = SessionLog._write

    def write(log: SessionLog, data: bytes) -> None:
        writes.append(data)
        real(log, data)

    monkeypatch.setattr(SessionLog, "_write", write)
    keyboard, terminal = os.openpty()
    # As Ctrl-S: the terminal takes nothing more. The kernel handles a typed one some time later.
    termios.tcflow(terminal, termios.TCOOFF)
    with structlog.testing.capture_logs() as entries:
        with SessionLog(Path(os.ttyname(terminal)), "always", 1000) as log:
            log.opened(SessionDouble())
            await until(lambda: writes)
            for number in range(100):
                log.opened(SessionDouble(number))
            log.tick()
        events = [entry["event"] for entry in entries]
    termios.tcflow(terminal, termios.TCOON)
    assert events == ["sessionlog.dropped", "sessionlog.dropped.over", "sessionlog.unfinished"]
    assert entries[1]["lines"] == 80
    await until(lambda: not log._thread.is_alive())
    os.close(keyboard)
    os.close(terminal)


def test_an_unwritable_directory_is_an_error_at_the_start(tmp_path: Path) -> None:
    """A missing directory, or one of another user, is an error at the start."""
    with pytest.raises(QscpdError, match="nowhere"), SessionLog(tmp_path / "nowhere" / "x.log", "always"):
        pass
    with as_user(tmp_path), pytest.raises(PermissionDeniedError), SessionLog(tmp_path / "x.log", "always"):
        pass


@pytest.mark.parametrize("exists", [True, False])
async def test_a_link_is_followed(tmp_path: Path, exists: bool) -> None:
    """A link names another place for the log: a missing file is made there, for owner and group only."""
    (tmp_path / "disk").mkdir()
    target = tmp_path / "disk" / "log"
    if exists:
        target.touch(0o640)
    link = tmp_path / "sessions.log"
    link.symlink_to(target)
    old_umask = os.umask(0)
    try:
        with SessionLog(link, "always") as log:
            log.auth_ok(SessionDouble(), "c")
            await until(lambda: target.exists() and len(lines(target)) == 1)
            target.rename(tmp_path / "disk" / "log.1")
            log.auth_ok(SessionDouble(2), "c")
    finally:
        os.umask(old_umask)
    assert [entry["session"] for entry in lines(target)] == ["s2"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert link.is_symlink()


def test_a_link_to_nowhere_is_an_error_at_the_start(tmp_path: Path) -> None:
    """A link into a directory that is missing, or to itself, is an error that names both ends."""
    link = tmp_path / "sessions.log"
    for target in (tmp_path / "missing" / "log", link):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(QscpdError, match=r"sessions\.log \(a link to .*\): the session log"):
            SessionLog(link, "always").__enter__()


@pytest.mark.parametrize("through_link", [False, True])
def test_a_pipe_is_no_session_log(tmp_path: Path, through_link: bool) -> None:
    """A pipe or a socket, also at the end of a link, is refused at once, whether or not it is read."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path = pipe
    if through_link:
        path = tmp_path / "sessions.log"
        path.symlink_to(pipe)
    with pytest.raises(QscpdError, match="the session log can't be written"):
        SessionLog(path, "always").__enter__()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(QscpdError, match="it is not a file"):
            SessionLog(path, "always").__enter__()
    finally:
        os.close(reader)


def test_lines_beyond_ten_are_summed_up(tmp_path: Path) -> None:
    """Beyond ten a minute, failed logins of an address are one line that has their form and their number."""
    path = tmp_path / "sessions.log"
    clock = ManualClock()
    session = SessionDouble()
    with SessionLog(path, "always", clock=clock) as log:
        for minute in range(2):
            for _ in range(1000 - minute * 985):
                log.auth_failed(session, ErrorCode.BAD_CREDENTIALS, None)
            clock.now += 60
            log.tick()
    written = lines(path)
    assert [entry.get("count") for entry in written] == [*[None] * 10, 990, *[None] * 10, 5]
    assert list(written[10]) == ["time", "event", "remote", "session", "reason", "user", "count"]
    assert (written[10]["event"], written[10]["remote"]) == ("auth.fail", "192.0.2.7")
    assert (written[10]["session"], written[10]["reason"], written[10]["user"]) == (
        None,
        "bad_credentials",
        None,
    )


def test_failed_logins_of_many_addresses_all_have_their_address(tmp_path: Path) -> None:
    """However many addresses fail in a minute, fail2ban counts each failure for the one that caused it."""
    path = tmp_path / "sessions.log"
    with SessionLog(path, "always") as log:
        for number in range(3000):
            session = SessionDouble()
            session.link.remote = (f"10.0.{number // 250}.{number % 250}", 1)
            log.auth_failed(session, ErrorCode.BAD_CREDENTIALS, None)
        for _ in range(15):
            log.auth_failed(SessionDouble(), ErrorCode.BAD_CREDENTIALS, None)
    written = lines(path)
    assert all(entry["remote"] for entry in written)
    of_last = [entry for entry in written if entry["remote"] == "192.0.2.7"]
    assert [entry.get("count") for entry in of_last] == [*[None] * 10, 5]


def test_a_summary_is_written_at_the_end(tmp_path: Path) -> None:
    """What was counted when the daemon stops is written then; a deferred login is no failed one."""
    path = tmp_path / "sessions.log"
    with SessionLog(path, "failures") as log:
        for _ in range(12):
            log.auth_deferred(SessionDouble(), ErrorCode.BUSY, None, 2.0)
            log.opened(SessionDouble())
            log.auth_failed(SessionDouble(), ErrorCode.BAD_CREDENTIALS, None)
    summaries = {entry["event"]: entry for entry in lines(path) if "count" in entry}
    assert {event: entry["count"] for event, entry in summaries.items()} == {
        "auth.deferred": 2,
        "session.open": 2,
        "auth.fail": 2,
    }
    shown = {event: entry["remote"] for event, entry in summaries.items()}
    assert shown == {"auth.deferred": None, "session.open": None, "auth.fail": "192.0.2.7"}


def test_sessions_of_an_account_are_counted_for_it(tmp_path: Path) -> None:
    """After the login the account counts, whatever its address; others behind it keep their lines."""
    path = tmp_path / "sessions.log"
    with SessionLog(path, "always") as log:
        for name in ("alice", "bob"):
            for number in range(15 if name == "alice" else 5):
                session = SessionDouble(number)
                session.identity = Identity(1 if name == "alice" else 2, name)
                log.auth_ok(session, "x")
                log.closed(session, "bye")
    for event in ("auth.ok", "session.close"):
        found = [(entry["user"], entry.get("count", 1)) for entry in lines(path) if entry["event"] == event]
        assert found == [("alice", 1)] * 10 + [("bob", 1)] * 5 + [("alice", 5)]


def test_a_million_lines_of_one_address_are_few_bytes(tmp_path: Path) -> None:
    """A flood of connections that fail to log in writes some kilobytes a minute."""
    path = tmp_path / "sessions.log"
    clock = ManualClock()
    session = SessionDouble()
    with SessionLog(path, "always", clock=clock) as log:
        for number in range(100_000):
            log.opened(session)
            log.auth_failed(session, ErrorCode.BAD_CREDENTIALS, None)
            log.closed(session, "too_many_attempts")
            if number % 10_000 == 0:
                clock.now += 60
                log.tick()
    assert path.stat().st_size < 10 * 60_000 // 6
    assert sum(entry.get("count", 1) for entry in lines(path)) == 300_000
