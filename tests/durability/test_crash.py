"""Crash test: the daemon is killed under load, and nothing acknowledged is lost. `make soak` is longer."""

from pathlib import Path
from random import SystemRandom

from qscpd.setup.pki import AuthorityFiles
from tests.support.crash_test import CrashTest


def test_kill_it_under_load(tmp_path: Path, authority: AuthorityFiles) -> None:
    """After SIGKILL at random moments, acked messages exist once and others at most once, in order."""
    report = CrashTest(tmp_path, authority, SystemRandom().getrandbits(32)).run(4, (0.4, 0.9), least=3)
    assert report.kills >= 3, report
    assert report.acked > 100, report
