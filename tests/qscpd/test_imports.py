import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.programs import reports_imports, unmeasured
from tests.support.waiting import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
SLOW = {"argon2", "cryptography", "passlib", "sqlite3", "uvloop"}
"""What only some commands need, and all would wait for."""


@pytest.mark.parametrize("arguments", [("status",), ("--help",)])
def test_a_command_waits_for_no_library_that_it_does_not_need(
    daemon: Daemon, arguments: tuple[str, ...]
) -> None:
    """Nor for the daemon itself."""
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
