"""Folder in memory, where a flush costs nothing, for tests with thousands of examples."""

import os
import tempfile
from typing import Final

__all__ = ["memory_folder"]

_SHARED: Final = "/dev/shm"  # noqa: S108 - only for folders that TemporaryDirectory makes


def memory_folder() -> "tempfile.TemporaryDirectory[str]":
    """Make a temporary folder in memory, or on disk if that is not possible."""
    return tempfile.TemporaryDirectory(dir=_SHARED if os.access(_SHARED, os.W_OK) else None)
