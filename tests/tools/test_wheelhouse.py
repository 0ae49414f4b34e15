"""`tools/wheelhouse.sh`: the wheels of the lock for another Python and architecture, or none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wheels import lock_line, make_wheel

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that pip fetches from in place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def fetch(tmp_path: Path, lock: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Fill the folder `house`."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(lock)
    return subprocess.run(
        [sys.executable, "-m", "tools.wheelhouse", requirements, tmp_path / "house", *arguments],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def contents(tmp_path: Path) -> list[str]:
    """List the folder `house`."""
    return sorted(path.name for path in (tmp_path / "house").iterdir())


def test_wheels_fit_the_python_and_the_architecture_that_are_named(tmp_path: Path, index: Path) -> None:
    """Of several that fit, the one for the oldest glibc is taken; markers are those of the target."""
    old, new, other = (
        make_wheel(index, "celery", "2.0", f"cp313-cp313-{platform}")
        for platform in (
            "manylinux2014_aarch64.manylinux_2_17_aarch64",
            "manylinux_2_34_aarch64",
            "manylinux_2_17_x86_64",
        )
    )
    stable = make_wheel(index, "fennel", "1.0", "cp311-abi3-manylinux_2_26_aarch64")
    make_wheel(index, "celery", "2.1rc1", "cp313-cp313-manylinux_2_17_aarch64")
    backport = make_wheel(index, "leek", "1.0")
    colours = make_wheel(index, "colours", "1.0")
    lock = (
        lock_line("celery==2.0 ; sys_platform == 'linux'", old, new, other)
        + lock_line("colours==1.0 ; sys_platform == 'win32'", colours)
        + lock_line("fennel==1.0", stable)
        + lock_line("leek==1.0 ; python_full_version < '3.13'", backport)
    )
    done = fetch(tmp_path, lock, "--python", "3.13", "--arch", "aarch64")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == [old.name, stable.name]
    assert done.stdout == (
        f"{tmp_path}/house is complete: 2 wheels for Python 3.13 on aarch64 with glibc 2.26 or newer.\n"
    )


def test_all_that_has_no_wheel_is_named_and_the_folder_stays(tmp_path: Path, index: Path) -> None:
    """Half a set, or another version, is never called complete."""
    make_wheel(index, "celery", "1.9", "cp313-cp313-manylinux_2_17_aarch64")
    celery = make_wheel(index, "celery", "2.0", "cp313-cp313-manylinux_2_17_x86_64")
    fennel = make_wheel(index, "fennel", "1.0", "cp312-cp312-manylinux_2_17_aarch64")
    leek = make_wheel(index, "leek", "1.0")
    house = tmp_path / "house"
    house.mkdir()
    make_wheel(house, "leek", "0.9")
    lock = lock_line("celery==2.0", celery) + lock_line("fennel==1.0", fennel) + lock_line("leek==1.0", leek)
    done = fetch(tmp_path, lock, "--python", "3.13", "--arch", "aarch64")
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"No wheel for Python 3.13 on aarch64: celery 2.0, fennel 1.0.\n{house} is as it was before.\n"
    )
    assert contents(tmp_path) == ["leek-0.9-py3-none-any.whl"]


def test_wheels_of_an_older_lock_are_replaced(tmp_path: Path, index: Path) -> None:
    """The folder holds the versions of the lock, and no others."""
    house = tmp_path / "house"
    house.mkdir()
    make_wheel(house, "leek", "0.9")
    (house / "notes.txt").touch()
    done = fetch(tmp_path, lock_line("leek==1.0", make_wheel(index, "leek", "1.0")))
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == ["leek-1.0-py3-none-any.whl", "notes.txt"]


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, index: Path) -> None:
    """The line is that of the lock, though pip reads a copy without what the target does not need."""
    leek = make_wheel(index, "leek", "1.0")
    lock = lock_line("colours==1.0 ; sys_platform == 'win32'", leek) + lock_line("leek==1.0", leek)
    done = fetch(tmp_path, re.sub(r"sha256:\w{8}", "sha256:00000000", lock))
    assert done.returncode == 1
    assert "leek==1.0 is not the file that was locked: no hash at requirements.txt:3 fits." in done.stderr
    assert contents(tmp_path) == []


def test_a_version_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    """`313` is how wheels write it, and not how people do."""
    done = fetch(tmp_path, "", "--python", "313")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--python 313: give two numbers, such as 3.13" in done.stderr
