"""Modules that the client must not load."""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.support.programs import reports_imports, unmeasured
from tests.support.scripted_server import ScriptedServer
from tests.support.waiting import patiently

REPOSITORY = Path(__file__).parents[2]
CORE = """
import importlib, pkgutil, sys
sys.path.insert(0, "client")
import qscp_client.core
for module in pkgutil.walk_packages(qscp_client.core.__path__, "qscp_client.core."):
    importlib.import_module(module.name)
print(*sys.modules)
"""


async def test_a_client_in_a_pipe_loads_nothing_for_terminals(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """A session in a pipe loads no terminal or daemon libraries."""
    server.come("dave")
    process = await asyncio.create_subprocess_exec(
        *reports_imports("qscp_client.cli"),
        *client_command[client_command.index("--ca") :],
        cwd=REPOSITORY,
        env=unmeasured(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with patiently():
        _, stderr = await process.communicate(b"alice\nwonderland\ndave\nhi\nquit\n")
    modules = set(stderr.decode().splitlines()[-1].split())
    assert process.returncode == 0
    assert server.bodies() == [("dave", "hi")]
    assert "qscp_client.ui.plain" in modules
    assert not modules & {"prompt_toolkit", "textual", "argon2", "cryptography", "passlib", "uvloop"}


def test_the_core_needs_no_event_loop() -> None:
    """The core loads no event loop, socket, thread, database or terminal module."""
    done = subprocess.run(
        [sys.executable, "-c", CORE],
        cwd=REPOSITORY,
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stdout.split())
    assert "qscp_client.core.engine" in modules
    assert not modules & {
        "asyncio",
        "click",
        "prompt_toolkit",
        "selectors",
        "socket",
        "sqlite3",
        "ssl",
        "threading",
    }
