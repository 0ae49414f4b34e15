import subprocess
import sys

import pytest

from tests.support.programs import unmeasured

FORBIDDEN = [
    "asyncio",
    "ssl",
    "socket",
    "selectors",
    "random",
    "secrets",
    "threading",
    "qscpd",
    "qscp_client",
]
PROGRAM = """
import sys
import msgspec
before = set(sys.modules)
import qscp, qscp.connection, qscp.ids, qscp.names, qscp.rooms, qscp.text
print(*sorted(set(sys.modules) - before))
"""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """Return the modules that importing the protocol loads, besides those of Python and msgspec."""
    command = [sys.executable, "-c", PROGRAM]
    run = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_protocol_loads_nothing_that_does_input_or_output(imported: set[str]) -> None:
    """Importing the protocol loads no module for networks, randomness, threads or processes."""
    assert not imported & set(FORBIDDEN)


def test_the_protocol_needs_nothing_but_msgspec(imported: set[str]) -> None:
    """All other loaded modules are its own or of the standard library."""
    foreign = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("_")} == {"qscp"}
