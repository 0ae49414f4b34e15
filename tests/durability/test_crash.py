"""The short form of `make soak`: the daemon is killed under load, and nothing acknowledged is lost."""

from pathlib import Path
from random import SystemRandom

from qscpd.setup.pki import AuthorityFiles
from tests.support.crash_test import CrashTest


def test_kill_it_under_load(tmp_path: Path, authority: AuthorityFiles) -> None:
    """SIGKILL at random moments: acked is exactly once, neither is at most once, order and seqs hold."""
    report = CrashTest(tmp_path, authority, SystemRandom().getrandbits(32)).fight(4, (0.4, 0.9), least=3)
    assert report.kills >= 3, report
    assert report.acked > 100, report
