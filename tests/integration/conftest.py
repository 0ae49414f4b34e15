"""Fixtures for tests of the real daemon."""

from collections.abc import Iterator

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import Daemon, running_daemon


@pytest.fixture(scope="session")
def _house(tmp_path_factory: pytest.TempPathFactory, authority: AuthorityFiles) -> Iterator[Daemon]:
    people = ("alice", "bob", "carol", "dave", "erin")
    with running_daemon(tmp_path_factory.mktemp("daemon"), authority, people) as running:
        yield running


@pytest.fixture
def model_room(_house: Daemon) -> Iterator[Daemon]:
    """A daemon for rooms, that knows alice, bob, carol, dave and erin; each test has its own rooms."""
    yield _house
    _house.check_log()
