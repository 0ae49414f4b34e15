"""Files that a configuration names: what this user can't use, and what others can misuse."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from qscpd.config import Config, LogConfig, ServerConfig, StoreConfig, TlsConfig
from qscpd.config.places import check_places, find_open_places, find_refusals
from qscpd.errors import PermissionDeniedError
from tests.support.users import NOBODY, as_user


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def config(place: Path) -> Config:
    """A configuration whose files have the modes that the daemon makes, each in a directory of its own."""
    for name in ("certs", "var", "log", "run"):
        (place / name).mkdir(mode=0o755)
    for name, mode in (
        ("certs/server.pem", 0o644),
        ("certs/server.key", 0o600),
        ("var/qscpd.db", 0o600),
        ("log/sessions.log", 0o640),
    ):
        (place / name).touch()
        (place / name).chmod(mode)
    return Config(
        tls=TlsConfig(certificate=place / "certs/server.pem", key=place / "certs/server.key"),
        store=StoreConfig(path=place / "var/qscpd.db"),
        log=LogConfig(session_log=place / "log/sessions.log"),
        server=ServerConfig(admin_socket=place / "run/admin.sock"),
    )


def give(place: Path, *names: str) -> None:
    """Make another user the owner of files."""
    for name in names:
        os.chown(place / name, NOBODY, NOBODY)


def mend(sentence: str) -> None:
    """Run the command of a sentence."""
    subprocess.run(["sh", "-c", re.findall("`(.*?)`", sentence)[0]], check=True)


def test_what_the_daemon_makes_is_fine(config: Config) -> None:
    """With the modes of the daemon's own files there is nothing to say."""
    check_places(config)
    assert list(find_open_places(config)) == []


# --- what others can misuse


@pytest.mark.parametrize("beside", ["", "-wal", "-shm", ".schema3", "-wal.unusable"])
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602, 0o666, 0o660])
def test_an_open_store_is_refused(config: Config, beside: str, mode: int) -> None:
    """All files that have messages count; the command closes them."""
    opened = Path(f"{config.store.path}{beside}")
    opened.touch(mode=0o600)
    opened.chmod(mode)
    with pytest.raises(
        PermissionDeniedError, match=rf"^store.path: {opened}: other users can .*{mode:04o}"
    ) as e:
        check_places(config)
    mend(str(e.value))
    check_places(config)


def test_one_command_closes_all(config: Config) -> None:
    """A store that was open while it was in use has an open journal, too."""
    for beside in ("", "-wal", "-shm"):
        path = Path(f"{config.store.path}{beside}")
        path.touch()
        path.chmod(0o644)
    (place,) = find_open_places(config)
    mend(place.sentence)
    check_places(config)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_group_may_read_the_store(config: Config, mode: int) -> None:
    """As with the key, a group can be let in on purpose, such as that of a backup."""
    config.store.path.chmod(mode)
    assert list(find_open_places(config)) == []


@pytest.mark.parametrize("name", ["var", "run"])
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_a_directory_that_all_can_write_to_is_refused(
    config: Config, place: Path, name: str, mode: int
) -> None:
    """Others could put a journal there, or a socket that gets hashes of passwords; sticky or not."""
    (place / name).chmod(mode)
    with pytest.raises(
        PermissionDeniedError, match=rf"put files of their own into {place / name} "
    ) as caught:
        check_places(config)
    mend(str(caught.value))
    check_places(config)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775])
def test_a_group_may_write_to_the_directory(config: Config, place: Path, mode: int) -> None:
    """With umask 002 each directory of a user is so; with 022 all can list it."""
    (place / "var").chmod(mode)
    assert list(find_open_places(config)) == []


@pytest.mark.parametrize(("mode", "refused"), [(0o644, False), (0o660, False), (0o666, True), (0o642, True)])
def test_an_open_session_log(config: Config, mode: int, refused: bool) -> None:
    """A user who can write to it decides whom fail2ban bans; reading is up to the operator."""
    config.log.session_log.chmod(mode)
    (found,) = find_open_places(config)
    assert found.refused is refused
    assert found.sentence.startswith(f"log.session_log: {config.log.session_log}: other users can")
    mend(found.sentence)
    assert list(find_open_places(config)) == []


def test_a_shared_directory_of_the_session_log(config: Config, place: Path) -> None:
    """In a sticky directory, only its owner can replace the log."""
    (place / "log").chmod(0o1777)
    assert list(find_open_places(config)) == []
    (place / "log").chmod(0o777)
    assert [found.refused for found in find_open_places(config)] == [True]


def test_files_of_another_user(config: Config, place: Path) -> None:
    """The owner of a file or of its directory can read and replace it."""
    give(place, "var", "var/qscpd.db", "run", "log")
    found = list(find_open_places(config))
    assert [each.refused for each in found] == [True, True, True, False]
    assert f"{place}/var/qscpd.db: belongs to nobody, who can read and change it" in found[0].sentence
    assert f"nobody can replace {place}/var/qscpd.db, because {place}/var belongs to" in found[1].sentence
    with as_user(place):
        assert list(find_open_places(config)) == []


def test_a_device_is_nobodys_log(config: Config) -> None:
    """A session log that goes to /dev/null is written by all."""
    assert (
        list(find_open_places(Config(store=config.store, log=LogConfig(session_log=Path("/dev/null"))))) == []
    )


# --- what this user can't use


@pytest.fixture
def theirs(config: Config, place: Path) -> Config:
    """The same for another user."""
    give(place, "var", "var/qscpd.db", "log", "log/sessions.log", "run", "certs/server.key")
    return config


@pytest.mark.parametrize(
    ("name", "mode", "key"),
    [
        ("certs", 0o700, "tls.certificate"),
        ("certs/server.pem", 0o600, "tls.certificate"),
        ("certs/server.key", 0o600, "tls.key"),
        ("var", 0o700, "store.path"),
        ("var", 0o755, "store.path"),
        ("var/qscpd.db", 0o600, "store.path"),
        ("var/qscpd.db", 0o640, "store.path"),
        ("log", 0o700, "log.session_log"),
        ("log/sessions.log", 0o640, "log.session_log"),
        ("run", 0o755, "server.admin_socket"),
        ("run", 0o700, "server.admin_socket"),
    ],
)
def test_what_root_has_closed(theirs: Config, place: Path, name: str, mode: int, key: str) -> None:
    """Each place is named with its setting and its owner; the commands mend it."""
    os.chown(place / name, 0, 0)
    (place / name).chmod(mode)
    with as_user(place):
        refusals = list(find_refusals(theirs))
    assert refusals[0].startswith(f"{key}: "), refusals
    assert f"{place / name} (mode {mode:04o}, owner root)" in refusals[0]
    for _ in range(3):  # a directory that can be entered need not be writable yet
        with as_user(place):
            refusals = list(find_refusals(theirs))
        for refusal in refusals:
            mend(refusal)
    with as_user(place):
        check_places(theirs)


def test_what_root_has_left_beside_the_store(theirs: Config, place: Path) -> None:
    """One command gives all of it to the daemon's user."""
    for name in ("var/qscpd.db-wal", "var/qscpd.db-shm", "var/qscpd.db.reserve"):
        (place / name).touch(mode=0o600)
    with as_user(place):
        (refusal,) = find_refusals(theirs)
    mend(refusal)
    with as_user(place):
        check_places(theirs)


def test_what_is_not_there_yet(theirs: Config, place: Path) -> None:
    """Before the first start there is no store, no log and no directory of the socket."""
    (place / "var/qscpd.db").unlink()
    (place / "log/sessions.log").unlink()
    (place / "run").rmdir()
    with as_user(place):
        (refusal,) = find_refusals(theirs)
        assert refusal.startswith(f"server.admin_socket: user nobody can't write {place} ")
    give(place, ".")
    with as_user(place):
        check_places(theirs)


def test_the_unit_makes_its_directory_in_run(theirs: Config, place: Path) -> None:
    """/run is root's, and empty after a boot."""
    there = Config(
        tls=theirs.tls,
        store=theirs.store,
        log=theirs.log,
        server=ServerConfig(admin_socket=Path("/run/qscpd-that-is-not-there/admin.sock")),
    )
    with as_user(place):
        check_places(there)


def test_further_files(theirs: Config, place: Path) -> None:
    """The configuration is read by the daemon's user, too."""
    (place / "etc").mkdir(mode=0o700)
    (place / "etc/qscpd.yaml").touch(mode=0o644)
    with as_user(place):
        (refusal,) = find_refusals(theirs, ("the configuration", place / "etc/qscpd.yaml"))
    assert refusal.startswith(
        f"the configuration: {place}/etc/qscpd.yaml: user nobody can't enter {place}/etc "
    )
