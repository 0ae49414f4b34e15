import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from qscpd.reach import closed_directory, explain_closed, way_to
from tests.support.users import NOBODY, as_user


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach, with `live/cert.pem`, a link to `archive/cert1.pem`."""
    with TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o755)
        for name in ("live", "archive"):
            (place / name).mkdir(mode=0o755)
        (place / "archive/cert1.pem").touch(mode=0o644)
        (place / "live/cert.pem").symlink_to("../archive/cert1.pem")
        yield place


def test_links_are_followed(place: Path) -> None:
    """Each directory is entered in its turn, also that of a link, also behind an absolute one."""
    ways = [each.relative_to(place) for each in way_to(place / "live/cert.pem") if each.is_relative_to(place)]
    assert ways == [Path(), Path("live"), Path("live"), Path(), Path("archive")]
    (place / "far").symlink_to(place / "live")
    assert list(way_to(place / "far/cert.pem"))[-2:] == [place, place / "archive"]
    assert next(way_to(place)) == Path("/")


def test_a_link_to_itself_ends(place: Path) -> None:
    """A loop of links is no endless way."""
    (place / "loop").symlink_to("loop")
    assert list(way_to(place / "loop"))[-1] == place


@pytest.mark.parametrize("closed", ["live", "archive"])
def test_the_first_closed_directory_is_found(place: Path, closed: str) -> None:
    """It can be that of the link or that of the file."""
    (place / closed).chmod(0o700)
    with as_user(place):
        assert closed_directory(place / "live/cert.pem") == place / closed
    assert closed_directory(place / "live/cert.pem") is None  # for root
    (place / closed).chmod(0o711)
    with as_user(place):
        assert closed_directory(place / "live/cert.pem") is None


def test_what_is_missing_is_not_closed(place: Path) -> None:
    """A directory that does not exist is no matter of permission."""
    with as_user(place):
        assert closed_directory(place / "nowhere/at/all") is None


@pytest.mark.parametrize(
    ("name", "mode", "owner", "needed"),
    [
        ("archive", 0o700, (0, 0), os.X_OK),
        ("archive", 0o600, (NOBODY, NOBODY), os.X_OK),
        ("archive", 0o700, (0, NOBODY), os.X_OK),
        ("archive/cert1.pem", 0o600, (0, 0), os.R_OK),
        ("archive/cert1.pem", 0o600, (0, 0), os.R_OK | os.W_OK),
        ("archive", 0o755, (0, 0), os.W_OK),
    ],
)
def test_the_command_mends_it(place: Path, name: str, mode: int, owner: tuple[int, int], needed: int) -> None:
    """The sentence has the owner, and a command after which this user can use the file, and others can't."""
    path = place / name
    path.chmod(mode)
    os.chown(path, *owner)
    others = path.stat().st_mode & 0o007
    with as_user(place):
        assert not os.access(path, needed, effective_ids=True)
        sentence = explain_closed(path, needed)
    assert f"user nobody can't {'enter' if needed == os.X_OK else ''}" in sentence
    assert f"(mode {mode:04o}, owner {'nobody' if owner[0] else 'root'})" in sentence
    (command,) = re.findall("`(.*)`", sentence)
    subprocess.run(["sh", "-c", command], check=True)
    with as_user(place):
        assert os.access(path, needed, effective_ids=True)
    assert path.stat().st_mode & 0o007 == others


@pytest.mark.parametrize(("directory", "needed"), [("/", os.W_OK), ("/var/log", os.W_OK), ("/root", os.X_OK)])
def test_directories_of_the_system_stay_as_they_are(place: Path, directory: str, needed: int) -> None:
    """No command changes who owns /var/log, or lets others into /root."""
    with as_user(place):
        sentence = explain_closed(Path(directory), needed)
    assert "`" not in sentence
    assert "; choose " in sentence


def test_a_directory_of_a_group_keeps_its_group(place: Path) -> None:
    """Another group that can enter it stays, so the user gets an entry of its own (setfacl(1))."""
    (place / "archive").chmod(0o750)
    os.chown(place / "archive", 0, 4)
    with as_user(place):
        assert f"`setfacl -m u:nobody:x {place}/archive`" in explain_closed(place / "archive", os.X_OK)
