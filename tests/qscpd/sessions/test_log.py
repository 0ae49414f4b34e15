"""The session log: its lines, and a file that moves, fills up or vanishes."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog

from qscp.errors import ErrorCode
from qscpd.domain.model import Account, AccountState
from qscpd.errors import PermissionDeniedError, QscpdError
from qscpd.net.link import Link
from qscpd.sessions.identity import Identity
from qscpd.sessions.log import SessionLog
from tests.support.doubles import FakeLink
from tests.support.users import as_user
from tests.support.waiting import until


class SessionDouble:
    """A session to log."""

    def __init__(self, number: int = 1) -> None:
        self.id = f"s{number}"
        self.link: Link = FakeLink()
        self.identity: Identity | None = None
        self.opened = 0.0
        self.messages_in = self.messages_out = self.frames_in = self.frames_out = 0


def lines(path: Path) -> list[dict[str, Any]]:
    """The log's lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_failed_login_has_the_address_before_what_the_peer_chose(tmp_path: Path) -> None:
    """The form is part of the interface: fail2ban reads it."""
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
    """It is the one thing in the log that a peer chooses freely."""
    path = tmp_path / "sessions.log"
    with SessionLog(path, "always") as log:
        log.auth_ok(SessionDouble(), "x\x1b[2J\u202e" + "y" * 1000)
    (entry,) = lines(path)
    assert entry["client"] == ("x[2J" + "y" * 1000)[:60]


def test_lines_of_before_are_kept(tmp_path: Path) -> None:
    """It appends, and leaves the mode that an operator gave the file."""
    path = tmp_path / "sessions.log"
    path.write_text('{"event":"before"}\n')
    path.chmod(0o600)
    with SessionLog(path, "always") as log:
        log.auth_ok(SessionDouble(), "x")
    assert [entry["event"] for entry in lines(path)] == ["before", "auth.ok"]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_moved_is_made_anew(tmp_path: Path) -> None:
    """As logrotate moves it, removes it, or replaces it: what comes later is in the new one."""
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


async def test_a_directory_that_is_gone_for_a_while_costs_only_its_lines(tmp_path: Path) -> None:
    """The daemon goes on, says so in its own log, and writes again as soon as it can."""
    directory = tmp_path / "log"
    directory.mkdir()
    path = directory / "sessions.log"
    with structlog.testing.capture_logs() as said, SessionLog(path, "always") as log:
        directory.rename(tmp_path / "away")
        log.auth_ok(SessionDouble(1), "x")
        await until(lambda: said)
        (tmp_path / "away").rename(directory)
        log.auth_ok(SessionDouble(2), "x")
    assert [entry["session"] for entry in lines(path)] == ["s2"]
    assert [entry["event"] for entry in said] == ["sessionlog.failed"]


def test_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    """Each failure is logged, and closing is as quiet as ever."""
    with structlog.testing.capture_logs() as said, SessionLog(Path("/dev/full"), "always") as log:
        log.auth_ok(SessionDouble(), "x")
    assert [entry["reason"] for entry in said] == ["No space left on device"]
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_written_is_named_at_the_start(tmp_path: Path) -> None:
    """A missing directory, and one of another user."""
    with pytest.raises(QscpdError, match="nowhere"), SessionLog(tmp_path / "nowhere" / "x.log", "always"):
        pass
    with as_user(tmp_path), pytest.raises(PermissionDeniedError), SessionLog(tmp_path / "x.log", "always"):
        pass
