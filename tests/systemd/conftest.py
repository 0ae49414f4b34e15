"""Fixtures: machines with a real systemd, and QSCP installed by `make install`."""

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.systemd.machine import Machine, Service

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAMS = ("systemd-nspawn", "mmdebstrap", "unshare", "nsenter")
_EXTRA_PACKAGES = "make,python3-pip"
_MACHINE_PYTHON = "3.11"
"""What Debian bookworm, the machine's system, calls python3."""


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "qscp" / "systemd"


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


@pytest.fixture(scope="session")
def able() -> None:
    """Skip the tests, with a hint, where no machine can be booted."""
    if os.geteuid() != 0:
        pytest.skip("booting a machine needs root: sudo make test-systemd")
    if missing := [program for program in _PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"{', '.join(missing)} missing: sudo tests/systemd/machine.sh deps")
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("this container may not make namespaces; run it with --privileged")


@pytest.fixture(scope="session")
def rootfs(able: None) -> Path:  # noqa: ARG001 - asked first
    """The root tree of a small Debian, created once in the user's cache."""
    script = Machine.SCRIPT.read_bytes()
    tree = _cache() / f"bookworm-{_digest(script, _EXTRA_PACKAGES.encode())}"
    if not tree.exists():
        tree.parent.mkdir(parents=True, exist_ok=True)
        half = tree.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        subprocess.run([Machine.SCRIPT, "build", half, _EXTRA_PACKAGES], check=True)
        half.rename(tree)
    return tree


@pytest.fixture(scope="session")
def wheelhouse(able: None) -> Path:  # noqa: ARG001 - asked first
    """All wheels for pip inside the machine, which has no network; a new set for other requirements."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    requirements = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    folder = _cache() / f"wheels-{_digest(*(name.encode() for name in requirements))}"
    if not folder.exists():
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        arguments = ["--python-version", _MACHINE_PYTHON]
        for glibc in ("_2_34", "_2_28", "_2_17", "2014"):
            arguments += ["--platform", f"manylinux{glibc}_{platform.machine()}"]
        subprocess.run([_ROOT / "tools/wheelhouse.sh", half, *arguments], cwd=_ROOT, check=True)
        half.rename(folder)
    return folder


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree under test, without ignored files."""
    folder = tmp_path_factory.mktemp("checkout") / "qscp"
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listing.split("\0")):
        if (_ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(_ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def bare_machine(
    rootfs: Path, wheelhouse: Path, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], contextlib.AbstractContextManager[Machine]]:
    """Factory of machines with the checkout and its wheels, and nothing installed."""

    @contextlib.contextmanager
    def make() -> Iterator[Machine]:
        with Machine(rootfs, tmp_path_factory.mktemp("machine")) as machine:
            machine.put(checkout, "/opt")
            machine.put(wheelhouse, "/opt")
            machine.run("mv", f"/opt/{wheelhouse.name}", "/opt/wheels")
            yield machine

    return make


@pytest.fixture(scope="session")
def machine(bare_machine: Callable[[], contextlib.AbstractContextManager[Machine]]) -> Iterator[Machine]:
    """A machine after `make install`, whose daemon was never started."""
    with bare_machine() as machine:
        machine.run("make", "-C", "/opt/qscp", "install", "WHEELS=/opt/wheels")
        yield machine


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """The service, stopped; changes by a test are undone afterwards."""
    service = Service(machine)
    yield service
    service.stop()
