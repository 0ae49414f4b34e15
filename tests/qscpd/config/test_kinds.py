import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qscpd.config import Config, LogConfig, ServerConfig, StoreConfig
from qscpd.config.kinds import check_kinds, find_wrong_kinds
from qscpd.errors import QscpdError

KEYS = {
    "var/qscpd.db": "store.path",
    "log/sessions.log": "log.session_log",
    "run/qscpd/admin.sock": "server.admin_socket",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration whose directories exist."""
    for name in ("var", "log", "run/qscpd"):
        (tmp_path / name).mkdir(parents=True)
    store, log, socket = (tmp_path / name for name in KEYS)
    return Config(
        store=StoreConfig(path=store),
        log=LogConfig(session_log=log),
        server=ServerConfig(admin_socket=socket),
    )


def test_files_that_are_to_be_made_are_fine(config: Config, tmp_path: Path) -> None:
    """Before the first start there are only directories, and the last one of the socket can be missing."""
    check_kinds(config)
    (tmp_path / "run/qscpd").rmdir()
    check_kinds(config)


@pytest.mark.parametrize(
    ("directory", "setting", "place"),
    [
        ("var", "store.path", "var/qscpd.db"),
        ("log", "log.session_log", "log/sessions.log"),
        ("run", "server.admin_socket", "run/qscpd"),
    ],
)
def test_a_missing_directory(
    config: Config, tmp_path: Path, directory: str, setting: str, place: str
) -> None:
    """It is named with its setting; a file in its place is no missing directory."""
    (tmp_path / directory).rename(tmp_path / "away")
    (problem,) = find_wrong_kinds(config)
    assert problem.startswith(f"{setting}: the directory of {tmp_path / place} does not exist; mount it")
    (tmp_path / directory).touch()
    problem = next(find_wrong_kinds(config))
    assert problem.startswith(f"{setting}: {tmp_path / directory} is not a directory; move it")


def test_the_target_of_a_link_counts(config: Config, tmp_path: Path) -> None:
    """A store that is linked to a disk needs that disk."""
    config.store.path.symlink_to(tmp_path / "disk/qscpd.db")
    (problem,) = find_wrong_kinds(config)
    assert f"the directory of {tmp_path / 'disk/qscpd.db'} does not exist" in problem


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_no_file(config: Config, tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    """A container makes a directory where a file to mount is missing; a pipe would take no messages."""
    make(tmp_path / name)
    with pytest.raises(QscpdError, match=f"^{KEYS[name]}: {tmp_path / name} exists and is not a ") as caught:
        check_kinds(config)
    assert [str(caught.value)] == list(find_wrong_kinds(config))


def test_a_device_can_be_the_session_log(config: Config) -> None:
    """`/dev/null` is for operators who want none."""
    config.log.session_log.symlink_to("/dev/null")
    check_kinds(config)
