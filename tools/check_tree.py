"""Check what no linter knows about: nothing of one machine is in the tree, and modules stay readable.

Part of `make check`. Exits with 1 when a tracked file names a path of somebody's machine or the host
of a package registry, or holds a private key; long modules are reported and leave the exit code alone.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_MODULE_LINES = 400
"""More than this and a module may have more than one subject."""

_HOME = re.compile(r"(?<![\w.>)])(?:/(?:home|Users)/(?!(?:alice|bob|user|you)/)[a-z][\w-]*/|/root/\w)")
"""Somebody's home; but for the people of examples."""

_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{40}")

_REGISTRY = re.compile(
    r"\b(?:pypi[.]org|pythonhosted[.]org|registry[.]npmjs[.]org|proxy[.]golang[.]org|(?:deb|snapshot)[.]debian[.]org)\b"
)
"""Where packages come from is for the user's configuration to say: it may be a mirror."""


def _tree() -> list[Path]:
    """The files that are, or are about to be, in the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(path for name in listing.stdout.split("\0") if name and (path := Path(name)).is_file())


def _faults(path: Path, text: str) -> Iterator[str]:
    """What must not be in a file, one sentence each."""
    checkout = str(Path.cwd())
    for number, line in enumerate(text.splitlines(), start=1):
        if _HOME.search(line) or checkout in line:
            yield f"{path}:{number}: names a path of one machine: {line.strip()[:100]}"
        if _REGISTRY.search(line):
            yield f"{path}:{number}: names the host of a package registry: {line.strip()[:100]}"
    if _KEY.search(text):
        yield f"{path}: holds a private key"


def _main() -> int:
    faults: list[str] = []
    for path in _tree():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        faults += _faults(path, text)
        lines = text.count("\n")
        if path.suffix == ".py" and path.parts[0] != "tests" and lines > _MODULE_LINES:
            print(f"note: {path} has {lines} lines; is it still one subject?")
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(_main())
