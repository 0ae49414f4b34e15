"""The memory of the daemon's process."""

import ctypes
import subprocess
import sys
from typing import Final

import pytest

_BLOCK_KIB: Final = 19 * 1024
"""Of a password hash."""

_SCRIPT: Final = f"""
import ctypes
from qscpd.process import release_memory, share_memory

libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def use() -> int:
    block = libc.malloc({_BLOCK_KIB} * 1024)
    ctypes.memset(block, 1, {_BLOCK_KIB} * 1024)
    return block

def rss() -> int:
    with open("/proc/self/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Rss:"))

share_memory()
libc.free(use())  # glibc maps the first block, and takes such ones from the heap from then on
blocks = [use() for _ in range(3)]
later = libc.malloc(1024 * 1024)  # connections: as the heap ends with them, it can't shrink
for block in blocks:
    libc.free(block)
before = rss()
release_memory()
print(before - rss())
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc, and keeps no heap"
)
def test_memory_of_hashes_is_returned() -> None:
    """Freed blocks below something that is in use go back to the system."""
    made = subprocess.run([sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True)
    assert int(made.stdout) > 2 * _BLOCK_KIB
