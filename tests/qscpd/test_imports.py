import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.programs import reports_imports, unmeasured
from tests.support.waiting import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
SLOW = {"argon2", "cryptography", "passlib", "sqlite3", "uvloop"}
"""Modules that take long to import and that only some commands need."""


@pytest.mark.parametrize("arguments", [("status",), ("--help",)])
def test_a_command_imports_no_slow_module_without_need(daemon: Daemon, arguments: tuple[str, ...]) -> None:
    """`status` and `--help` import neither slow modules nor the daemon."""
    done = subprocess.run(
        [*reports_imports("qscpd.cli"), "-c", daemon.config, *arguments],
        cwd=REPOSITORY,
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    modules = set(done.stderr.splitlines()[-1].split())
    assert done.stdout
    assert "qscpd.cli.service" in modules
    assert not modules & (SLOW | {"qscpd.app"})
