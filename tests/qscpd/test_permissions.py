import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qscpd.config import load_config
from qscpd.errors import PermissionDeniedError
from qscpd.permissions import check_key_if_exists, check_unchangeable
from tests.support.users import as_user

_OTHER = 4711


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration in a directory of its own."""
    path = tmp_path / "etc/qscpd.yaml"
    path.parent.mkdir(mode=0o755)
    path.write_text("log: {level: debug}\n")
    path.chmod(0o644)
    return path


def check(path: Path) -> None:
    """Check a configuration as every command does."""
    load_config(path, environ={}, trusted=True)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444, 0o755])
def test_a_configuration_may_be_read_by_all(config: Path, mode: int) -> None:
    """A configuration has no secrets, so only the right to change it counts."""
    config.chmod(mode)
    check(config)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o620, 0o602, 0o777])
def test_a_configuration_that_others_can_change_is_refused(config: Path, mode: int) -> None:
    """The error has the command that mends it, for the shell."""
    config = config.rename(config.with_name("my qscpd.yaml"))
    config.chmod(mode)
    load_config(config, environ={})  # as a copy in a backup
    with pytest.raises(
        PermissionDeniedError, match=rf"other users can change it \(mode {mode:04o}\)"
    ) as caught:
        check(config)
    command = re.findall(r"`(.*?)`", str(caught.value))[0]
    assert command == f"chmod go-w '{config}'"
    subprocess.run(["sh", "-c", command], check=True)
    check(config)


def test_the_owner_is_root_or_the_user(config: Path) -> None:
    """A configuration of another unprivileged user is refused; one's own and root's are good."""
    with as_user(config):
        check(config)
    os.chown(config, 65534, 65534)
    with as_user(config):
        check(config)
    with pytest.raises(
        PermissionDeniedError, match=r"belongs to nobody, who could .*`chown root .*qscpd\.yaml`"
    ):
        check(config)
    os.chown(config, _OTHER, 0)
    with as_user(config), pytest.raises(PermissionDeniedError, match=rf"belongs to {_OTHER}.*`chown nobody "):
        check(config)


def test_the_owner_of_its_directory_is_root_or_the_user(config: Path, tmp_path: Path) -> None:
    """The owner of a directory can replace what is in it, also of the directory of a link."""
    link = tmp_path / "links/qscpd.yaml"
    link.parent.mkdir()
    link.symlink_to(config)
    for directory in (config.parent, link.parent):
        os.chown(directory, 65534, 65534)
        directory.chmod(0o1755)  # the owner may in a sticky directory, too
        with as_user(directory):
            check(link)
        command = rf"run `chown root {directory}` as root, or this command as nobody"
        with pytest.raises(PermissionDeniedError, match=rf"nobody can replace it, .*; {command}$"):
            check(link)
        os.chown(directory, _OTHER, 0)
        with as_user(directory), pytest.raises(PermissionDeniedError, match=rf"{_OTHER} can replace it"):
            check(link)
        os.chown(directory, 0, 0)
        check(link)


@pytest.mark.parametrize("mode", [0o775, 0o2775, 0o770])
def test_a_group_may_write_to_its_directory(config: Path, mode: int) -> None:
    """With umask 002 every directory of a user is so, as a checkout's `config`."""
    config.parent.chmod(mode)
    check(config)


def test_a_link_is_followed_to_the_file(config: Path, tmp_path: Path) -> None:
    """The file itself counts, and the directory of each link that leads to it."""
    links = tmp_path / "links"
    links.mkdir()
    first, second = tmp_path / "first.yaml", links / "second.yaml"
    first.symlink_to("links/second.yaml")
    second.symlink_to(config)
    check(first)
    config.chmod(0o666)
    with pytest.raises(PermissionDeniedError, match=rf"first\.yaml: other users .*`chmod go-w {config}`"):
        check(first)
    config.chmod(0o644)
    for directory in (links, config.parent, tmp_path):
        before = directory.stat().st_mode & 0o777
        directory.chmod(0o777)
        with pytest.raises(PermissionDeniedError, match=rf"can replace it.*`chmod o-w {directory}`"):
            check(first)
        directory.chmod(0o1777)  # as /tmp
        check(first)
        directory.chmod(before)


def test_a_pipe_has_no_owner_that_counts(config: Path) -> None:
    """A pipe is taken as it is, a file behind a descriptor is checked."""
    reader, writer = os.pipe()
    os.write(writer, config.read_bytes())
    os.close(writer)
    check(Path(f"/dev/fd/{reader}"))
    os.close(reader)
    config.chmod(0o666)
    with config.open("rb") as file, pytest.raises(PermissionDeniedError, match="`chmod go-w"):
        check(Path(f"/dev/fd/{file.fileno()}"))
    check_unchangeable(Path(os.devnull), Path(os.devnull).stat())


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o677])
def test_a_key_open_to_others_is_refused_unread(tmp_path: Path, mode: int) -> None:
    """A key can be checked by a user who can't read it, also behind a link."""
    key = tmp_path / "its.key"
    key.touch(mode=0o600)
    link = tmp_path / "ca.key"
    link.symlink_to(key.name)
    check_key_if_exists(link)
    key.chmod(0o640)
    with as_user(tmp_path):
        check_key_if_exists(link)
    key.chmod(mode)
    with (
        as_user(tmp_path),
        pytest.raises(PermissionDeniedError, match=rf"ca\.key: the private key is open.*`chmod 600 {link}`"),
    ):
        check_key_if_exists(link)


@pytest.mark.parametrize("missing", [Path.unlink, lambda path: path.with_name("ca.key").unlink()])
def test_a_key_that_is_elsewhere_is_no_error(tmp_path: Path, missing: Callable[[Path], None]) -> None:
    """Without the file, or with a link to nothing, there is nothing to check."""
    key, link = tmp_path / "its.key", tmp_path / "ca.key"
    key.touch()
    link.symlink_to(key.name)
    missing(key)
    check_key_if_exists(link)
