"""Fetch the wheels of locked requirements for one Python on one architecture of Linux.

Called by `tools/wheelhouse.sh`. The wheels of FOLDER are replaced once all of them are there,
so it never holds half a set or an older version.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from tools.run_pip import NOT_FOUND, explain, run

_OLDEST_GLIBC: Final = 5
"""manylinux1 is glibc 2.5; there are no older wheels."""

_NEWEST_GLIBC: Final = 60
"""glibc has two releases a year, and 2.42 was the second of 2025."""

_ALIASES: Final = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
"""The names that wheels had before PEP 600, by the minor version of glibc."""


class _Target(NamedTuple):
    """What the wheels are for."""

    python: str
    arch: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.arch}"

    def environment(self) -> dict[str, str]:
        """Return the values of environment markers; pip would use its own Python's."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.arch,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    def tags(self) -> Iterator[str]:
        """Yield the platform tags, the oldest glibc first: pip prefers what runs on most machines."""
        for minor in range(_OLDEST_GLIBC, _NEWEST_GLIBC):
            yield f"manylinux_2_{minor}_{self.arch}"
            if minor in _ALIASES:
                yield f"{_ALIASES[minor]}_{self.arch}"

    def arguments(self) -> list[str]:
        """Return the arguments by which `pip download` takes wheels for this target alone."""
        platforms = [argument for tag in self.tags() for argument in ("--platform", tag)]
        return [
            "--only-binary",
            ":all:",
            "--python-version",
            self.python,
            "--implementation",
            "cp",
            *platforms,
        ]


class _Package(NamedTuple):
    """One package of the lock, with its lines as pip reads them."""

    name: str
    version: str
    lines: range
    text: str


def _locked(text: str, target: _Target) -> list[_Package]:
    """Return the packages that the target needs, without markers."""
    packages = []
    for entry in re.finditer(r"^\w.*(?:\n +--hash.*)+", text, re.MULTILINE):
        head, _, hashes = entry[0].partition("\n")
        requirement = Requirement(head.rstrip("\\ "))
        if requirement.marker is None or requirement.marker.evaluate(target.environment()):
            version = str(requirement.specifier).removeprefix("==")
            first = text.count("\n", 0, entry.start())
            lines = range(first, first + entry[0].count("\n") + 1)
            pinned = f"{requirement.name}=={version} \\\n{hashes}"
            packages.append(_Package(canonicalize_name(requirement.name), version, lines, pinned))
    return packages


def _requirements(packages: list[_Package]) -> str:
    """Return a file for pip in which each package stands on the lines it has in the lock."""
    lines: list[str] = []
    for package in packages:
        lines += [""] * (package.lines.start - len(lines)) + package.text.split("\n")
    return "\n".join(lines) + "\n"


def _download(packages: list[_Package], target: _Target, folder: Path) -> list[str]:
    """Return the command that fetches the wheels of the packages into a folder."""
    lock = folder / "requirements.txt"
    lock.write_text(_requirements(packages), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    return [*pip, "--require-hashes", *target.arguments(), "--dest", str(folder), "--requirement", str(lock)]


def _explain(log: str, packages: list[_Package], target: _Target, folder: Path) -> list[str]:
    """Return what to know about a download that failed: all that is missing, not pip's first."""
    if not NOT_FOUND.search(log):
        return explain(log, "requirements.txt")
    missing = [
        f"{package.name} {package.version}"
        for package in packages
        if subprocess.run(
            _download([package], target, folder), stderr=subprocess.DEVNULL, check=False
        ).returncode
    ]
    return [f"No wheel for {target}: {', '.join(missing)}."]


def _versions(wheels: list[Path]) -> set[tuple[str, str]]:
    return {(str(name), str(version)) for name, version, *_ in (parse_wheel_filename(w.name) for w in wheels)}


def _glibc(wheels: list[Path]) -> int:
    """Return the minor version of the oldest glibc that all of the wheels run on."""
    needed = _OLDEST_GLIBC
    aliases = {alias: minor for minor, alias in _ALIASES.items()}
    for wheel in wheels:
        *_, tags = parse_wheel_filename(wheel.name)
        found = [re.match(r"manylinux_2_(\d+)_|(manylinux\d+)_", tag.platform) for tag in tags]
        minors = [int(tag[1] or aliases[tag[2]]) for tag in found if tag]
        needed = max(needed, min(minors, default=needed))
    return needed


def _replace_wheels(folder: Path, wheels: list[Path]) -> None:
    for old in folder.glob("*.whl"):
        old.unlink()
    for wheel in wheels:
        wheel.rename(folder / wheel.name)


def _fill(folder: Path, requirements: Path, target: _Target) -> str:
    """Fill a folder and return what it holds, or exit with what could not be had."""
    packages = _locked(requirements.read_text(encoding="utf-8"), target)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        fetched = Path(temporary)
        code, log = run(_download(packages, target, fetched))
        if code:
            reasons = _explain(log, packages, target, fetched)
            sys.exit("\n".join([*reasons, f"{folder} is as it was before."]))
        wheels = sorted(fetched.glob("*.whl"))
        if wrong := _versions(wheels) ^ {(package.name, package.version) for package in packages}:
            sys.exit(
                f"pip did not fetch what {requirements} has: {sorted(wrong)}. {folder} is as it was before."
            )
        _replace_wheels(folder, wheels)
    glibc = f"glibc 2.{_glibc(wheels)} or newer"
    return f"{folder} is complete: {len(wheels)} wheels for {target} with {glibc}."


def _main() -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    arch = platform.machine()
    parser = argparse.ArgumentParser(prog="tools/wheelhouse.sh")
    parser.add_argument("requirements", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--python", default=python, metavar="VERSION", help=f"such as 3.13 (here: {python})")
    parser.add_argument("--arch", default=arch, metavar="ARCH", help=f"such as aarch64 (here: {arch})")
    arguments = parser.parse_args()
    if not re.fullmatch(r"3\.\d+", arguments.python):
        parser.error(f"--python {arguments.python}: give two numbers, such as 3.13")
    target = _Target(arguments.python, arguments.arch)
    print(_fill(arguments.folder, arguments.requirements, target))


if __name__ == "__main__":
    _main()
