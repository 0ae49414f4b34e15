"""An installation and a backup of it."""

import contextlib
import shutil
from pathlib import Path

import pytest

from qscpd.backup import make_backup
from qscpd.config import LoadedConfig, load_config
from qscpd.domain.model import NewMessage
from qscpd.setup.pki import AuthorityFiles
from qscpd.store.sqlite.store import SqliteStore
from tests.support.daemon import add_accounts, write_config
from tests.support.ids import IdMaker

make_id = IdMaker()


@pytest.fixture
def loaded(tmp_path: Path, authority: AuthorityFiles) -> LoadedConfig:
    """An installation with two accounts and three messages, whose daemon is stopped."""
    home = tmp_path / "home"
    home.mkdir()
    certs = AuthorityFiles(home / "certs")
    shutil.copytree(authority.directory, certs.directory)
    config = load_config(write_config(home, certs), environ={})
    add_accounts(config.config.store.path, {"alice": "correct horse", "bob": "battery staple"})
    with contextlib.closing(SqliteStore(config.config.store.path)) as store:
        store.append([NewMessage(1, 2, make_id(), body) for body in ("one", "two", "three")])
    return config


@pytest.fixture
def backup(loaded: LoadedConfig, tmp_path: Path) -> Path:
    """A backup of the installation."""
    return make_backup(tmp_path / "backups", loaded)
