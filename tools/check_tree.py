"""Check what no linter checks: paths and keys of one machine, hidden import circles, long modules.

Part of `make check`. Prints a sentence for each fault, and exits with 1 if there is one.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MODULE_LINES: Final = 400
"""A longer module most likely has more than one subject. Tests may be longer: a subject has many cases."""

_HOME: Final = re.compile(r"(?<![\w.>)])(?:/(?:home|Users)/(?!(?:alice|bob|user|you)/)[a-z][\w-]*/|/root/\w)")
"""A home directory, except those of the users in examples."""

_KEY: Final = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{40}")

_PACKAGES: Final = ("qscp", "qscpd", "qscp_client")
_CODE: Final = tuple(map(Path, ("qscp", "qscpd", "client/qscp_client")))
_TYPE_CHECKING: Final = re.compile(r"^\s*(?:if|from typing import\b.*)\s*\bTYPE_CHECKING\b", re.MULTILINE)

_NUMBERED: Final = re.compile(r"""["'].*\b(?:SELECT|INSERT|UPDATE|DELETE|VALUES|WHERE)\b.*\?[0-9]""")
"""A numbered placeholder in a statement: with a sequence of values, Python 3.14 refuses it."""

_REGISTRY = re.compile(
    r"\b(?:pypi[.]org|pythonhosted[.]org|registry[.]npmjs[.]org|proxy[.]golang[.]org|(?:deb|snapshot)[.]debian[.]org)\b"
)
"""Where packages come from is for the user's configuration to say: it may be a mirror."""


def _tree() -> list[Path]:
    """Return the files that are in the repository, or will be with the next commit."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(path for name in listing.stdout.split("\0") if name and (path := Path(name)).is_file())


def _secrets(path: Path, text: str) -> Iterator[str]:
    """Find what belongs to one machine."""
    checkout = str(Path.cwd())
    for number, line in enumerate(text.splitlines(), start=1):
        if _HOME.search(line) or checkout in line:
            yield f"{path}:{number}: names a path of one machine: {line.strip()[:100]}"
        if _REGISTRY.search(line):
            yield f"{path}:{number}: names the host of a package registry: {line.strip()[:100]}"
    if _KEY.search(text):
        yield f"{path}: holds a private key"


def _module_faults(path: Path, text: str) -> Iterator[str]:
    """Find what makes a module hard to read."""
    lines = text.count("\n")
    for number, line in enumerate(text.splitlines(), start=1):
        if _NUMBERED.search(line):
            yield f"{path}:{number}: a numbered placeholder, which Python 3.14 refuses; use ? for each value"
    if path.parts[0] != "tests" and lines > _MODULE_LINES:
        yield f"{path}: has {lines} lines, {_MODULE_LINES} at most; split it by subject"
    if any(path.is_relative_to(folder) for folder in _CODE) and _TYPE_CHECKING.search(text):
        yield f"{path}: imports for TYPE_CHECKING only, which hides a circle; depend on a protocol instead"


def _hidden_circles() -> Iterator[str]:
    """Find imports between our own modules that a contract ignores: they can close a circle."""
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    for contract in settings["contracts"]:
        for entry in contract.get("ignore_imports", ()):
            if all(side.strip().partition(".")[0] in _PACKAGES for side in entry.split("->")):
                yield f"pyproject.toml: the contract {contract['name']!r} ignores {entry}; remove that import"


def _main() -> int:
    faults = list(_hidden_circles())
    for path in _tree():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        faults += _secrets(path, text)
        if path.suffix == ".py":
            faults += _module_faults(path, text)
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(_main())
