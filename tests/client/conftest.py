"""A temporary CA, a scripted server, and the real client as a process."""

import asyncio
import dataclasses
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from tests.support.scripted_server import ScriptedServer, scripted_server
from tests.support.waiting import patiently

REPOSITORY = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Finished:
    """Result of a client process."""

    exit_code: int | None
    stdout: str
    stderr: str


ClientRunner = Callable[..., Awaitable[Finished]]


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return the CA that clients trust."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the CA's certificate as a file."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def certificate(ca: trustme.CA) -> trustme.LeafCert:
    """Return a valid certificate for the loopback."""
    return ca.issue_cert("localhost", "127.0.0.1")


@pytest.fixture
async def server(certificate: trustme.LeafCert) -> AsyncIterator[ScriptedServer]:
    """Run a server with the accounts alice, bob and carol."""
    async with scripted_server(certificate) as script:
        yield script


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment without the settings of the user running the tests."""
    return os.environ | {
        "XDG_CONFIG_HOME": str(tmp_path / "no-config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONWARNINGS": "error",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "TERM": "xterm",
        "TZ": "UTC",
    }


@pytest.fixture
def client_command(ca_file: Path, server: ScriptedServer) -> list[str]:
    """Return the command line of a client of the server, run from the checkout."""
    address = f"127.0.0.1:{server.port}"
    return [sys.executable, "-m", "client", "--ca", str(ca_file), "--server", address]


@pytest.fixture
def run_client(client_command: list[str], environment: dict[str, str]) -> ClientRunner:
    """Return a function that runs a client with piped input until it exits."""

    async def run(*lines: str | bytes, options: tuple[str, ...] = ()) -> Finished:
        process = await asyncio.create_subprocess_exec(
            *client_command,
            *options,
            cwd=REPOSITORY,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        given = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
        async with patiently():
            stdout, stderr = await process.communicate(given)
        return Finished(process.returncode, stdout.decode(), stderr.decode())

    return run
