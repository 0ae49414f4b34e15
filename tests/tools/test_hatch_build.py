"""The build hook: a wheel and a source archive have the commit that they were built from."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

from qscpd.build import commit_of_checkout

_ROOT: Final = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a wheel and a source archive of this checkout."""
    if commit_of_checkout(_ROOT) is None:
        pytest.skip("no git checkout: git clone the repository")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)
    return folder


def test_a_wheel_has_the_commit(built: Path) -> None:
    """`qscpd version` of an installed wheel needs no checkout and no git."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("qscpd/commit.txt").decode().strip() == commit_of_checkout(_ROOT)


def test_a_source_archive_has_the_commit_and_the_hook(built: Path) -> None:
    """A wheel that is built from it has the commit, too."""
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"hatch_build.py", "qscpd/commit.txt", "qscpd/build.py"} <= names
