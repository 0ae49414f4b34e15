"""Run code as another user than root, who passes every permission check."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

__all__ = ["NOBODY", "as_user", "passable"]

NOBODY: Final = 65534
"""Id of a user and a group that own nothing (the kernel's overflow id)."""


@contextlib.contextmanager
def passable(reach: Path) -> Iterator[None]:
    """Let every user pass the directories down to `reach` for a while; pytest makes them private."""
    closed = [directory for directory in (reach, *reach.parents) if not directory.stat().st_mode & 0o001]
    modes = {directory: directory.stat().st_mode & 0o7777 for directory in closed}
    for directory, mode in modes.items():
        directory.chmod(mode | 0o011)
    try:
        yield
    finally:
        for directory, mode in modes.items():
            directory.chmod(mode)


@contextlib.contextmanager
def as_user(reach: Path, user: int = NOBODY) -> Iterator[None]:
    """Run a block as another user, who can reach a directory.

    Skip the test unless it runs as root: other users can't change who they are.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    groups = os.getgroups()
    with passable(reach):
        os.setgroups([])
        os.setegid(user)
        os.seteuid(user)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
