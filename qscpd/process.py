"""The daemon's process before it serves: its user, its limits, its memory."""

import contextlib
import ctypes
import os
import resource
from pathlib import Path
from typing import Final

import structlog

from qscpd.config import Config
from qscpd.config.kinds import check_kinds
from qscpd.config.places import check_places
from qscpd.config.ports import explain_privileged, privileged_addresses
from qscpd.errors import PermissionDeniedError
from qscpd.files import file_errors
from qscpd.privileges import become, daemon_user, user_name
from qscpd.reach import closed_directory
from qscpd.store import lock_store, store_url

_M_ARENA_MAX: Final = -8
"""Of <malloc.h>; see mallopt(3)."""

_log = structlog.stdlib.get_logger("qscpd")


def take_user(config: Config) -> None:
    """Become the daemon's user if root has started us, and check what that user can use.

    Raises:
        PermissionDeniedError: The user can't use something that is needed, or others can misuse it.
        QscpdError: A directory is missing, or something else is in the place of a file.
    """
    check_kinds(config)
    left_root = _leave_root(config)
    check_places(config)
    user = user_name(os.geteuid())
    if low := privileged_addresses(config):
        raise PermissionDeniedError(explain_privileged(low, user))
    if left_root:
        reason = f"root has started qscpd; {config.store.path} belongs to this user"
        _log.warning("daemon.user", user=user, reason=reason)


def _leave_root(config: Config) -> bool:
    """Become the store's owner if root has started us: what root makes, the service could not open.

    Returns:
        Whether the user is another one now.

    Raises:
        PermissionDeniedError: root can't become that user, or that user can't use this program.
    """
    user = daemon_user(config.store.path)
    if os.geteuid() != 0 or user.uid == 0:
        return False
    lock_store(store_url(config.store.path))  # imports the driver
    directory = config.server.admin_socket.parent
    with file_errors(directory):
        # /run is empty after a boot, and only root can make a directory there.
        if not directory.exists() and directory.parent.is_dir() and directory.parent.stat().st_uid == 0:
            directory.mkdir(mode=0o755)
            os.chown(directory, user.uid, user.gid, follow_symlinks=False)
    become(user)
    for program in (Path(__file__), Path(os.__file__)):
        closed = closed_directory(program)
        if closed is not None:
            raise PermissionDeniedError(
                f"the store {config.store.path} belongs to user {user.name}, who can't enter {closed}, "
                "where qscpd or its Python is; install it for all users (`make install`), and run it as "
                "that user"
            )
    return True


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us; each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def share_memory() -> None:
    """Let all threads allocate from one heap.

    glibc gives each thread a heap of its own and keeps freed memory there: for us the 19 MiB of a
    password hash, twice. Because of Python's lock, our threads hardly ever allocate at the same time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have no such heaps
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def release_memory() -> None:
    """Return free memory in the middle of the heap to the system.

    After logins these are the blocks of password hashes, 19 MiB each; connections that came later keep the
    heap from shrinking. See malloc_trim(3), which is glibc's.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
