"""Fixtures for tests that need a certificate authority or a daemon."""

import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from qscpd.setup.pki import AuthorityFiles
from tests.support.asyncio_debug import DEBUG, recorded_findings, relax_programs
from tests.support.authority import make_local_authority
from tests.support.daemon import Daemon, StartDaemon, running_daemon
from tests.support.wire import Wires


def pytest_configure() -> None:
    """Let signals reach the programs under test, and set no deadline for property tests."""
    _ignore_no_signal()
    # The time of an example depends on the load of the machine; a test that hangs is ended anyway.
    settings.register_profile("qscp", deadline=None)
    settings.load_profile("qscp")
    if DEBUG:
        relax_programs()


def _ignore_no_signal() -> None:
    """Ignore neither SIGINT nor SIGHUP, because programs under test inherit that.

    A shell without job control starts background jobs with SIGINT ignored, and nohup(1) ignores SIGHUP.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Undo what `qscpd run` in this process has left: it ignores SIGHUP without a terminal."""
    yield
    _ignore_no_signal()


@pytest.fixture(autouse=True)
def _asyncio_findings() -> Iterator[None]:
    """Fail a test in which asyncio's debug mode has found something; `make test ASYNCIO_DEBUG=1`."""
    with contextlib.ExitStack() as stack:
        findings = stack.enter_context(recorded_findings()) if DEBUG else []
        yield
    assert findings == []


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> AuthorityFiles:
    """Certificate authority and server certificate, made once per run."""
    return make_local_authority(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def _shared_daemon(tmp_path_factory: pytest.TempPathFactory, authority: AuthorityFiles) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("daemon"), authority) as running:
        yield running


@pytest.fixture
def daemon(_shared_daemon: Daemon) -> Iterator[Daemon]:
    """Daemon with accounts alice, bob and carol, shared by many tests: leave it as you found it."""
    assert _shared_daemon.process.poll() is None, f"an earlier test ended the daemon: {_shared_daemon.text}"
    yield _shared_daemon
    _shared_daemon.check_log()


@pytest.fixture
def start_daemon(tmp_path: Path, authority: AuthorityFiles) -> Iterator[StartDaemon]:
    """Function that starts a daemon for one test; a later call uses the same store."""
    with contextlib.ExitStack() as stack:

        def start(*settings: str, accounts: tuple[str, ...] = ("alice", "bob", "carol")) -> Daemon:
            return stack.enter_context(running_daemon(tmp_path, authority, accounts, settings))

        yield start


@pytest.fixture
async def wires(authority: AuthorityFiles) -> AsyncIterator[Wires]:
    """Connections to daemons."""
    made = Wires(authority.ca_certificate)
    yield made
    await made.close()
