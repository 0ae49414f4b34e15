"""Where accounts and messages are kept; `open_store` is the way in.

`base` says what a store does, `sqlite` is the one that ships, `writer` is the thread
that owns it inside the daemon, and `lock` keeps a second process out.
"""

from pathlib import Path

from qscpd.store.base import Store, StoreReader

__all__ = ["open_reader", "open_store"]


def open_store(path: Path, *, edit_within_ms: int = 0) -> Store:
    """Open the store in a file, making or upgrading it as needed.

    Hold `qscpd.store.sqlite.lock.StoreLock` for the same path while the store is open.

    Args:
        path: The file.
        edit_within_ms: How long after it was written a message may be edited.

    Raises:
        StoreError: It can't be opened; the text says why and what to do.
    """
    from qscpd.store.sqlite.store import SqliteStore  # noqa: PLC0415 - drivers are imported only when used

    return SqliteStore(path, edit_within_ms=edit_within_ms)


def open_reader(path: Path) -> StoreReader:
    """Look into the store in a file, which another process may be using; no lock is needed.

    Raises:
        StoreError: It can't be opened; the text says why and what to do.
        PermissionDeniedError: This user may not read it.
    """
    from qscpd.store.sqlite.store import SqliteReader  # noqa: PLC0415 - drivers are imported only when used

    return SqliteReader(path)
