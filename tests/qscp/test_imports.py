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
    """Every module that importing the protocol loads, beyond Python's start and msgspec."""
    command = [sys.executable, "-c", PROGRAM]
    run = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_protocol_loads_nothing_that_does_input_or_output(imported: set[str]) -> None:
    """Neither directly nor through others does it import a network, randomness, a thread or a program."""
    assert not imported & set(FORBIDDEN)


def test_the_protocol_needs_nothing_but_msgspec(imported: set[str]) -> None:
    """Everything else that is loaded is its own or in the standard library."""
    foreign = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("_")} == {"qscp"}
