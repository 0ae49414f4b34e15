"""Fixtures for tests of the real daemon."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.clients import Clients
from tests.support.daemon import Daemon, running_daemon
from tests.support.wall_clock import WallClock


@pytest.fixture(scope="session")
def _shared_room_daemon(
    tmp_path_factory: pytest.TempPathFactory, authority: AuthorityFiles
) -> Iterator[Daemon]:
    names = ("alice", "bob", "carol", "dave", "erin")
    # The tests share its accounts, which together do more than one user.
    much = [f"limits.{each}=1000000" for each in ("joins_per_hour", "invitations_per_day")]
    settings = ("limits.rooms_per_account=500", *much)
    with running_daemon(tmp_path_factory.mktemp("daemon"), authority, names, settings) as running:
        yield running


@pytest.fixture
def room_daemon(_shared_room_daemon: Daemon) -> Iterator[Daemon]:
    """Daemon with five accounts, for tests of rooms; each test makes its own rooms."""
    yield _shared_room_daemon
    _shared_room_daemon.check_log()


@pytest.fixture
def wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WallClock]:
    """The wall clock of all programs that the test starts."""
    clock = WallClock(tmp_path, monkeypatch)
    yield clock
    clock.close()


@pytest.fixture
async def clients(authority: AuthorityFiles, tmp_path: Path) -> AsyncIterator[Clients]:
    """Real clients that trust the daemon."""
    made = Clients(authority.ca_certificate, tmp_path / "homes")
    yield made
    await made.close()
