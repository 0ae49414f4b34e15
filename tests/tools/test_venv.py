"""`tools/venv.sh`: what is installed is what was locked, and a refusal says what to do."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wheels import lock_line, make_wheel

_ROOT = Path(__file__).resolve().parents[2]
_VERSION = ".".join(platform.python_version_tuple()[:2])
_TARGET = f"Python {_VERSION} on {platform.machine()}"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Return an empty folder that stands for a wheelhouse."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


def install(tmp_path: Path, wheels: Path, lock: str) -> subprocess.CompletedProcess[str]:
    """Make a virtual environment of a lock and a wheelhouse."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(lock)
    return subprocess.run(
        [_ROOT / "tools/venv.sh", tmp_path / "venv", requirements],
        cwd=_ROOT,
        env=os.environ | {"PYTHON": sys.executable, "WHEELS": str(wheels)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_locked_wheels_are_installed_without_a_network(tmp_path: Path, wheels: Path) -> None:
    """The index is not asked when there is a wheelhouse."""
    done = install(tmp_path, wheels, lock_line("parsley==1.0", make_wheel(wheels, "parsley", "1.0")))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    packages = [path.name for path in tmp_path.glob("venv/lib/python*/site-packages/parsley*")]
    assert packages == ["parsley-1.0.dist-info"]


def test_a_changed_hash_is_refused_with_a_sentence(tmp_path: Path, wheels: Path) -> None:
    """It says which package, where its hashes are, where it came from, and what to do."""
    locked = lock_line("parsley==1.0", make_wheel(wheels, "parsley", "1.0", "py3-none-any"))
    lock = locked.replace("sha256:", "sha256:" + "0" * 8)[: -1 - 8] + "\n"
    done = install(tmp_path, wheels, f"# a comment\n{lock}")
    assert done.returncode == 1
    requirements = tmp_path / "requirements.txt"
    assert f"parsley==1.0 is not the file that was locked: no hash at {requirements}:2 fits." in done.stderr
    assert f"from file://{wheels}/parsley-1.0-py3-none-any.whl" in done.stderr
    assert "Nothing was installed." in done.stderr
    assert f"restore it: git checkout {requirements}" in done.stderr
    assert "THESE PACKAGES" not in done.stderr
    assert not list(tmp_path.glob("venv/lib/python*/site-packages/parsley*"))


def test_a_requirement_without_a_hash_is_refused(tmp_path: Path, wheels: Path) -> None:
    """A lock edited by hand is no lock."""
    make_wheel(wheels, "parsley", "1.0")
    assert install(tmp_path, wheels, "parsley==1.0\n").returncode == 1


def test_a_wheelhouse_that_lacks_a_wheel_is_named(tmp_path: Path, wheels: Path) -> None:
    """With the command that makes one for this Python and machine."""
    done = install(tmp_path, wheels, lock_line("parsley==1.1", make_wheel(wheels, "parsley", "1.0")))
    assert done.returncode == 1
    assert f"{wheels} has no wheel of parsley==1.1 for {_TARGET}." in done.stderr
    assert f"make wheelhouse PYTHON_VERSION={_VERSION} ARCH={platform.machine()}" in done.stderr
