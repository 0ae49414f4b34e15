"""The files that `make lock` writes agree with pyproject.toml."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qscp import __version__

_ROOT = Path(__file__).resolve().parents[1]
_FILES = ("requirements.txt", "requirements-dev.txt", "requirements-fuzz.txt")
_SUPPORTED = ("3.11", "3.12", "3.13", "3.14")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """Content of pyproject.toml."""
    return tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked(name: str) -> dict[str, Requirement]:
    """Return the pins of a file, by name of the package."""
    entries = re.findall(r"^(\w[^\\\n]*)", (_ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name((pin := Requirement(entry)).name): pin for entry in entries}


def assert_holds(name: str, requirements: list[str]) -> None:
    """Assert that a file pins an allowed version of each requirement."""
    pins = locked(name)
    for text in requirements:
        requirement = Requirement(text)
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{name} lacks {text}: make lock"
        version = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{name} has {pin}, not {text}: make lock"
        )


def test_the_locks_pin_the_requirements_of_the_project(project: dict[str, Any]) -> None:
    """Each lock pins the project's dependencies, build requirements and groups that it covers."""
    groups = project["dependency-groups"]
    run = project["project"]["dependencies"] + project["build-system"]["requires"] + groups["build"]
    assert_holds("requirements.txt", run)
    assert_holds("requirements-dev.txt", run + groups["test"] + groups["check"] + groups["release"])
    assert_holds("requirements-fuzz.txt", groups["fuzz"])


def test_both_locks_pin_the_same_versions() -> None:
    """The development lock pins the same versions as the installation's."""
    run, dev = locked("requirements.txt"), locked("requirements-dev.txt")
    assert {name: str(pin) for name, pin in run.items()} == {name: str(dev[name]) for name in run}


@pytest.mark.parametrize("name", _FILES)
def test_each_pin_has_hashes_and_no_address(name: str) -> None:
    """Pins have hashes and no index or address, which users choose by pip's configuration."""
    text = (_ROOT / name).read_text(encoding="utf-8")
    entries = re.findall(r"^\w.*(?:\n +--hash=sha256:[0-9a-f]{64}(?: \\)?$)+", text, re.MULTILINE)
    assert len(entries) == len(locked(name)) > 0
    assert all(str(pin.specifier).startswith("==") for pin in locked(name).values())
    assert not re.search(r"://|^-", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml"])
def test_no_other_lock_is_in_the_tree(name: str) -> None:
    """Lock formats that name the host of the registry in each entry are not in the tree."""
    assert not (_ROOT / name).exists()


def test_ci_runs_each_supported_python(project: dict[str, Any]) -> None:
    """Classifiers, the oldest version and the loop in `.ci/run` agree."""
    prefix = "Programming Language :: Python :: "
    classifiers = [text.removeprefix(prefix) for text in project["project"]["classifiers"] if prefix in text]
    assert tuple(classifiers) == _SUPPORTED
    assert project["project"]["requires-python"] == f">={_SUPPORTED[0]}"
    assert f"for version in {' '.join(_SUPPORTED)}; do" in (_ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_bill_of_materials_lists_the_lock(project: dict[str, Any], tmp_path: Path) -> None:
    """`make sbom` lists QSCP, its version, and each package of requirements.txt with its hashes."""
    file = tmp_path / "qscp.cdx.json"
    subprocess.run(
        [_ROOT / "tools/sbom.sh", sys.executable, file], cwd=_ROOT, check=True, capture_output=True
    )
    bill = json.loads(file.read_text(encoding="utf-8"))
    main = bill["metadata"]["component"]
    assert (bill["bomFormat"], main["name"], main["version"]) == (
        "CycloneDX",
        project["project"]["name"],
        __version__,
    )
    components = {component["name"]: component for component in bill["components"]}
    pins = locked("requirements.txt")
    assert {name: f"=={each['version']}" for name, each in components.items()} == {
        name: str(pin.specifier) for name, pin in pins.items()
    }
    assert all(each["externalReferences"][0]["hashes"] for each in components.values())
