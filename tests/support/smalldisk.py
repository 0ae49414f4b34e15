"""Small disk that a test can fill: a real file system of a few hundred KiB, in memory; and small files."""

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

__all__ = ["fill", "largest_file", "small_disk"]

_FILLER: Final = "filler"


@contextlib.contextmanager
def small_disk(directory: Path, size_kib: int) -> Iterator[Path]:
    """Mount a file system of so many KiB; skip the test where that is not allowed.

    Args:
        directory: Mount point; it is made.
        size_kib: Size of the disk.
    """
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system (tmpfs) to fill")
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k,mode=0700", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, check=False, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"this root is not allowed to mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        # Lazily: a daemon that uses the disk might end only after this.
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path, leave: int = 0) -> Path:
    """Fill a small disk with a file, except for some bytes; return the file."""
    filler = directory / _FILLER
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    filler.open("r+b").close()
    if leave:
        os.truncate(filler, max(0, filler.stat().st_size - leave))
    return filler


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: writes fail with EFBIG, which is no ENOSPC."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
