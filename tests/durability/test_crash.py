"""Crash test: the daemon is killed under load, and nothing acknowledged is lost. `make crash` is longer."""

from pathlib import Path
from random import SystemRandom

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.crash_test import CrashTest


@pytest.mark.parametrize("program", ["qscpd", "tests.durability.tiny"])
def test_kill_it_under_load(tmp_path: Path, authority: AuthorityFiles, program: str) -> None:
    """After SIGKILL at random moments, acked messages exist once and others at most once, in order.

    So do they if what arrived together is stored by many transactions, in many chunks.
    """
    crash_test = CrashTest(tmp_path, authority, SystemRandom().getrandbits(32), program=program)
    report = crash_test.run(4, (0.4, 0.9), least=3)
    assert report.kills >= 3, report
    assert report.acked > 100, report
