"""`tools/venv.sh`: it installs exactly the locked files; its errors say what to do."""

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
    """An empty folder for a wheelhouse."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


def install(tmp_path: Path, wheels: Path, lock: str) -> subprocess.CompletedProcess[str]:
    """Make a virtual environment from a lock and a wheelhouse."""
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
    """With a wheelhouse, packages are installed without the package index."""
    done = install(tmp_path, wheels, lock_line("parsley==1.0", make_wheel(wheels, "parsley", "1.0")))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    packages = [path.name for path in tmp_path.glob("venv/lib/python*/site-packages/parsley*")]
    assert packages == ["parsley-1.0.dist-info"]


def test_a_wheel_with_a_changed_hash_is_refused(tmp_path: Path, wheels: Path) -> None:
    """The error names the package, its line in the lock, its origin, and what to do."""
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
    """A requirement without a hash makes the installation fail."""
    make_wheel(wheels, "parsley", "1.0")
    assert install(tmp_path, wheels, "parsley==1.0\n").returncode == 1


def test_a_missing_wheel_is_named(tmp_path: Path, wheels: Path) -> None:
    """The error names the missing wheel, and the command that makes a wheelhouse for this machine."""
    done = install(tmp_path, wheels, lock_line("parsley==1.1", make_wheel(wheels, "parsley", "1.0")))
    assert done.returncode == 1
    assert f"{wheels} has no wheel of parsley==1.1 for {_TARGET}." in done.stderr
    assert f"make wheelhouse PYTHON_VERSION={_VERSION} ARCH={platform.machine()}" in done.stderr
