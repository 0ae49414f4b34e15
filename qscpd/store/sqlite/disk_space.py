"""Whether the disk has space: of three errors that mean it has none, SQLite names one.

ENOSPC is `SQLITE_FULL`. A used-up quota (EDQUOT) and a file at its largest size (EFBIG) are "disk I/O
error", as is a disk that fails, and Python's `sqlite3` does not give the system's error.
"""

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import Final

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of the system that mean: no space; nothing is broken."""

_PROBE_BYTES: Final = 64 * 1024
"""More than a page: some file systems refuse a write whole although a part of it would fit."""


def lacks_space(file: Path, count: int = _PROBE_BYTES) -> bool:
    """Return whether a file can't grow now, because the disk, a quota or the file itself is full.

    What is written to find out goes to a nameless file beside it: a store's own files have locks, and may
    have other writers. It begins where the file ends, because a limit on the size of files depends on that.

    Args:
        file: The file; it need not exist.
        count: By how many bytes it has to grow.
    """
    end = 0
    with contextlib.suppress(OSError):
        end = file.stat().st_size
    data = os.urandom(_PROBE_BYTES)  # zeros need no space where files are compressed
    allocate = getattr(os, "posix_fallocate", None)  # macOS has none
    try:
        with tempfile.TemporaryFile(dir=file.parent, buffering=0) as probe:
            if allocate is not None:
                allocate(probe.fileno(), end, max(count, _PROBE_BYTES))
            probe.seek(end)
            while data:
                data = data[probe.write(data) :]
    except OSError as error:
        return error.errno in NO_SPACE
    return False


def temporary_directory() -> Path:
    """Return the folder in which SQLite makes temporary files (https://sqlite.org/tempfiles.html#tempdir)."""
    named = (os.environ.get(name) for name in ("SQLITE_TMPDIR", "TMPDIR"))
    for each in (*named, "/var/tmp", "/usr/tmp", "/tmp"):  # noqa: S108 - nothing is made there by us
        if each and Path(each).is_dir() and os.access(each, os.W_OK | os.X_OK):
            return Path(each)
    return Path()
