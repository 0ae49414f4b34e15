"""One process at a time: the lock file beside the store."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from qscpd.errors import PermissionDeniedError, StoreBusyError, StoreError


class StoreLock:
    """An exclusive `flock` on `<store>.lock`, held as a context manager.

    The kernel drops it with the process, so a crash leaves nothing to clean up. SQLite's
    own locks are per transaction and would let two writers take turns.

    Raises (on entering):
        StoreBusyError: Another process holds it.
        PermissionDeniedError: This user has no permission to open the file.
        StoreError: The directory does not exist, or the like.
    """

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(store.name + ".lock")
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise StoreBusyError(f"{self.path}: another qscpd process is using this store") from error
        except PermissionError as error:
            raise PermissionDeniedError(f"{self.path}: this user has no permission to open it") from error
        except OSError as error:
            self._close()
            raise StoreError(f"{self.path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
