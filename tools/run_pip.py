"""Run pip on locked requirements, and explain its failure.

    tools/run_pip.py REQUIREMENTS COMMAND...

COMMAND is a pip command that reads the file REQUIREMENTS. What it writes to standard error is
passed on at once, except for its list of wrong hashes, which becomes a sentence for each
package. The exit code is pip's. WHEELS in the environment is the folder that pip installs from.
"""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

_HASHES_DIFFER: Final = "THESE PACKAGES DO NOT MATCH THE HASHES"
_UNREACHABLE: Final = "WARNING: Retrying"

_WRONG_HASH: Final = re.compile(
    r"^ {4}(?P<package>\S+) from (?P<source>\S+).*\(from -r .+ \(line (?P<line>\d+)\)\):$"
    r"(?:\n {8}Expected .*)+"
    r"\n {8,}Got +(?P<got>\w+)$",
    re.MULTILINE,
)
NOT_FOUND: Final = re.compile(r"^ERROR: No matching distribution found for (?P<package>\S+)", re.MULTILINE)


def _wrong_hashes(log: str, requirements: str) -> list[str]:
    """Return what to know about packages that are not the ones that were locked."""
    lines = [
        f"{found['package']} is not the file that was locked: no hash at {requirements}:{found['line']} fits."
        f"\n  from {found['source']}\n  sha256 {found['got']}"
        for found in _WRONG_HASH.finditer(log)
    ]
    return [
        *lines,
        "Nothing was installed.",
        f"If {requirements} was edited, restore it: git checkout {requirements}",
        "If not, the index, mirror or folder serves another file under this name: don't use it.",
    ]


def _not_found(log: str, package: str) -> list[str]:
    """Return what to do about a package that pip looked for in vain."""
    version = ".".join(platform.python_version_tuple()[:2])
    target = f"Python {version} on {platform.machine()}"
    if folder := os.environ.get("WHEELS"):
        return [
            f"{folder} has no wheel of {package} for {target}.",
            f"On a machine with internet: make wheelhouse PYTHON_VERSION={version} ARCH={platform.machine()}",
        ]
    if _UNREACHABLE in log:
        return [
            f"The package index was not reached, so {package} could not be fetched.",
            "Without internet, install from a wheelhouse: see Air-gapped in docs/installation.md",
        ]
    return [
        f"There is no wheel of {package} for {target}.",
        "To build what has none from source: export PIP_ONLY_BINARY=:none: and try again.",
    ]


def explain(log: str, requirements: str) -> list[str]:
    """Return the sentences that pip's own words lack, none for a failure that is not known."""
    if _HASHES_DIFFER in log:
        return _wrong_hashes(log, requirements)
    if found := NOT_FOUND.search(log):
        return _not_found(log, found["package"])
    return []


def run(command: Sequence[str]) -> tuple[int, str]:
    """Run pip, pass its errors on but for the hashes, and return its exit code and all of the errors."""
    log = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as pip:
        assert pip.stderr is not None  # noqa: S101 - a pipe was asked for
        for line in pip.stderr:
            log += line
            if _HASHES_DIFFER not in log:
                sys.stderr.write(line)
                sys.stderr.flush()
    return pip.returncode, log


def _main() -> int:
    requirements, *command = sys.argv[1:]
    code, log = run(command)
    if code:
        print(*explain(log, requirements), sep="\n", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(_main())
