"""Status and confirmation of the wall clock, as the operator reads them."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from qscpd import admin
from qscpd.cli.group import cli

STATUS = admin.DaemonStatus(
    version="1.0", pid=7, uptime_s=1.5, connections=3, sessions=2, users_online=1, clock_confirmed=False
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration file with defaults."""
    path = tmp_path / "qscpd.yaml"
    path.write_text("server: {}\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def answer(monkeypatch: pytest.MonkeyPatch, reply: object) -> None:
    """Let the daemon answer with a reply."""
    monkeypatch.setattr(admin, "call", lambda *_: reply)


@pytest.mark.parametrize(
    ("ahead_s", "sentence"),
    [(86_400 * 3, "the wall clock is 3 days ahead of"), (-7200, "the wall clock is 2 hours behind")],
)
def test_status_says_what_is_wrong_with_the_clock(
    config: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: int, sentence: str
) -> None:
    """A clock that is not trusted is explained on stderr, with what to do."""
    answer(monkeypatch, msgspec.structs.replace(STATUS, clock_ahead_s=ahead_s, clock_left_s=3600))
    result = CliRunner().invoke(cli, ["status", "-c", str(config)])
    assert result.exit_code == 0, result.output
    assert "clock_confirmed: false" in result.output
    assert sentence in result.output
    assert "qscpd confirmclock" in result.output


def test_status_names_addresses_that_nobody_can_connect_to(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses share a line, a missing one has a sentence on stderr, and an empty list has no line."""
    listen = ["0.0.0.0:7727", "192.0.2.7:7727"]
    answer(monkeypatch, msgspec.structs.replace(STATUS, listen=listen, listen_missing=listen[1:]))
    result = CliRunner().invoke(cli, ["status", "-c", str(config)])
    assert result.exit_code == 0, result.output
    assert "listen: 0.0.0.0:7727, 192.0.2.7:7727\nlisten_missing: 192.0.2.7:7727\n" in result.output
    assert "listen_skipped" not in result.output
    assert "qscpd: this machine lacks 192.0.2.7:7727 (server.listen)" in result.output


@pytest.mark.parametrize(("before", "sentence"), [(True, "was confirmed already"), (False, "is confirmed")])
def test_confirmclock_says_what_was_confirmed(
    config: Path, monkeypatch: pytest.MonkeyPatch, before: bool, sentence: str
) -> None:
    """The confirmed time is shown."""
    answer(monkeypatch, admin.ClockConfirmed(wall_ms=0, was_confirmed=before))
    result = CliRunner().invoke(cli, ["confirmclock", "-c", str(config)])
    assert result.exit_code == 0, result.output
    assert f"the wall clock {sentence}: 1970-01-01" in result.output


@pytest.mark.parametrize("command", ["status", "confirmclock"])
def test_an_unexpected_reply_is_an_error(config: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A reply of another kind is named."""
    answer(monkeypatch, admin.Failed(1, "x"))
    result = CliRunner().invoke(cli, [command, "-c", str(config)])
    assert "unexpected reply Failed" in result.output
