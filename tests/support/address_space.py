"""Limit on the memory of this process, and a password hash that needs more."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

__all__ = ["HUGE_HASH", "no_gigabytes"]

HUGE_HASH = f"$argon2id$v=19$m=4194304,t=1,p=1${'uTdGqLV2bo2RMmbM+T8HAA'}${'A' * 43}"
"""Hash that takes 4 GiB to check."""


@contextlib.contextmanager
def no_gigabytes() -> Iterator[None]:
    """Let this process have one more gibibyte of memory at most."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
