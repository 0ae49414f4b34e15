"""`tools/wheelhouse.sh`: it downloads all wheels of a lock for another Python and machine, or none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wheels import lock_line, make_wheel

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip uses in place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def fetch(tmp_path: Path, lock: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Download the wheels of a lock to the folder `wheelhouse`."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(lock)
    return subprocess.run(
        [sys.executable, "-m", "tools.wheelhouse", requirements, tmp_path / "wheelhouse", *arguments],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def contents(tmp_path: Path) -> list[str]:
    """Return the names of the files in the folder `wheelhouse`."""
    return sorted(path.name for path in (tmp_path / "wheelhouse").iterdir())


def test_wheels_fit_the_named_python_and_architecture(tmp_path: Path, index: Path) -> None:
    """The wheel for the oldest glibc is chosen; markers are evaluated for the target."""
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
        f"{tmp_path}/wheelhouse is complete: 2 wheels for Python 3.13 on aarch64 with glibc 2.26 or newer.\n"
    )


def test_missing_wheels_are_named_and_the_folder_is_unchanged(tmp_path: Path, index: Path) -> None:
    """If wheels are missing, all of them are named and the folder is left unchanged."""
    make_wheel(index, "celery", "1.9", "cp313-cp313-manylinux_2_17_aarch64")
    celery = make_wheel(index, "celery", "2.0", "cp313-cp313-manylinux_2_17_x86_64")
    fennel = make_wheel(index, "fennel", "1.0", "cp312-cp312-manylinux_2_17_aarch64")
    leek = make_wheel(index, "leek", "1.0")
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    make_wheel(wheelhouse, "leek", "0.9")
    lock = lock_line("celery==2.0", celery) + lock_line("fennel==1.0", fennel) + lock_line("leek==1.0", leek)
    done = fetch(tmp_path, lock, "--python", "3.13", "--arch", "aarch64")
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"No wheel for Python 3.13 on aarch64: celery 2.0, fennel 1.0.\n{wheelhouse} is as it was before.\n"
    )
    assert contents(tmp_path) == ["leek-0.9-py3-none-any.whl"]


def test_wheels_of_an_older_lock_are_replaced(tmp_path: Path, index: Path) -> None:
    """Wheels of other versions than the lock's are removed; other files stay."""
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    make_wheel(wheelhouse, "leek", "0.9")
    (wheelhouse / "notes.txt").touch()
    done = fetch(tmp_path, lock_line("leek==1.0", make_wheel(index, "leek", "1.0")))
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == ["leek-1.0-py3-none-any.whl", "notes.txt"]


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, index: Path) -> None:
    """The error names the line in the lock, although pip reads a filtered copy."""
    leek = make_wheel(index, "leek", "1.0")
    lock = lock_line("colours==1.0 ; sys_platform == 'win32'", leek) + lock_line("leek==1.0", leek)
    done = fetch(tmp_path, re.sub(r"sha256:\w{8}", "sha256:00000000", lock))
    assert done.returncode == 1
    assert "leek==1.0 is not the file that was locked: no hash at requirements.txt:3 fits." in done.stderr
    assert contents(tmp_path) == []


def test_an_invalid_python_version_is_a_usage_error(tmp_path: Path) -> None:
    """`313`, as in the names of wheels, is refused as a version of Python."""
    done = fetch(tmp_path, "", "--python", "313")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--python 313: give two numbers, such as 3.13" in done.stderr
