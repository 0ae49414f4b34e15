"""Build of this program: the commit that it was made from.

`hatch_build.py` writes the commit into a wheel. In a checkout it is read from `.git`, without running git.
"""

import contextlib
import re
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parent
_COMMIT_FILE: Final = "commit.txt"
_HASH: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

_SHOWN: Final = 12
"""Digits of a commit that are shown; git finds it by them."""


def commit() -> str | None:
    """Return the abbreviated commit of this program; None if neither a wheel nor a checkout has it."""
    with contextlib.suppress(OSError):
        built = (_PACKAGE / _COMMIT_FILE).read_text(encoding="utf-8").strip()
        return built[:_SHOWN] if _HASH.fullmatch(built) else None
    full = commit_of_checkout(_PACKAGE.parent)
    return full[:_SHOWN] if full else None


def commit_of_checkout(root: Path) -> str | None:
    """Return the commit that a checkout is at; None if the folder is no checkout (gitrepository-layout(5)).

    Args:
        root: Top folder of the checkout, with `.git` and `pyproject.toml`.
    """
    if not (root / "pyproject.toml").is_file():
        return None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        git = root / ".git"
        if git.is_file():  # a worktree of its own
            git = root / git.read_text(encoding="utf-8").strip().removeprefix("gitdir: ")
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        found = _resolve(git, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
        return found if _HASH.fullmatch(found) else None
    return None


def _resolve(git: Path, ref: str) -> str:
    """Return the commit of a branch; an empty text if it has none."""
    common = git
    with contextlib.suppress(OSError):
        common = git / (git / "commondir").read_text(encoding="utf-8").strip()
    for place in (git, common):
        with contextlib.suppress(OSError):
            return (place / ref).read_text(encoding="utf-8").strip()
    for line in (common / "packed-refs").read_text(encoding="utf-8").splitlines():
        found, _, name = line.partition(" ")
        if name == ref:
            return found
    return ""
