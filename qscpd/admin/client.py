"""Client of the admin socket: the running daemon performs a request, or else this process.

There are never two writers: the daemon holds the store's lock while it runs, and this
process takes the lock before it opens the store.
"""

import contextlib
import sys
import time
from pathlib import Path
from typing import Final

from qscpd.admin.actions import perform
from qscpd.admin.exchange import QUESTION_S, exchange, is_question
from qscpd.admin.messages import Failed, Reply, Request, Status, UnknownReplyError, decode_reply
from qscpd.admin.versions import check_understood, explain_reply
from qscpd.config.model import Config
from qscpd.errors import (
    NotRunningError,
    StoreBusyError,
    StoreError,
)
from qscpd.files import file_errors
from qscpd.privileges import acting_as, daemon_user
from qscpd.store import lock_store, open_store, store_url
from qscpd.store.base import Store
from qscpd.store.damage import DamageLog
from qscpd.store.upgrade import UpgradeLine

_LOCK_PATIENCE_S: Final = 10.0
"""Time to wait for another command to finish, or for a starting daemon to open its socket."""

_LOCK_INTERVAL_S: Final = 0.05


def call(config: Config, request: Request) -> Reply:
    """Perform a request by the daemon or here, and return a reply other than `Failed`.

    Raises:
        NotRunningError: The daemon is needed and does not answer.
        PermissionDeniedError: This user can use neither the socket nor the store.
        QscpdError: The error of a `Failed` reply, with its exit code.
    """
    deadline = time.monotonic() + (QUESTION_S if is_question(request) else _LOCK_PATIENCE_S)
    while (reply := _try(config, request)) is None:
        if time.monotonic() > deadline:
            raise NotRunningError(
                f"a process holds {config.store.path}, but none answers on {config.server.admin_socket}; "
                "it may be starting or stopping: see its log, check server.admin_socket, and try again"
            )
        time.sleep(_LOCK_INTERVAL_S)
    if isinstance(reply, Failed):
        raise reply.error()
    return reply


def _try(config: Config, request: Request) -> Reply | None:
    """Ask the daemon, or perform the request here; None if another process holds the store."""
    reply = _ask(config.server.admin_socket, request)
    if reply is not None:
        return reply
    if isinstance(request, Status):
        # Whether one is starting could be seen by its lock, but only by taking that for a moment.
        raise NotRunningError(
            f"no daemon answers on {config.server.admin_socket}; start it with `qscpd run`, or wait if it is "
            "starting"
        )
    directory = config.store.path.parent
    with file_errors(directory):
        if not directory.is_dir():
            raise StoreError(
                f"{directory}: the store's directory does not exist; mount it, "
                "or create it for the daemon's user. For a new installation, create it with `qscpd init`"
            )
    return _perform_here(config.store.path, request)


def _perform_here(path: Path, request: Request) -> Reply | None:
    lock = lock_store(store_url(path))  # root can import the driver where the store's owner might not
    try:
        with (
            acting_as(daemon_user(path)),
            lock,
            contextlib.closing(_open(path)) as store,
        ):
            for found in store.findings:
                if found.daemon_only:
                    continue
                print(f"qscpd: {found.text}", file=sys.stderr)  # noqa: T201 - the command goes on
            return perform(request, store)
    except StoreBusyError:
        return None


def _open(path: Path) -> Store:
    with UpgradeLine() as line:
        return open_store(store_url(path), on_damage=DamageLog(line.damaged), on_upgrade=line)


def _ask(path: Path, request: Request) -> Reply | None:
    """Return the daemon's reply; None if no daemon listens."""
    line = exchange(path, request)
    if line is None:
        return None
    try:
        reply = decode_reply(line)
    except UnknownReplyError as error:
        raise explain_reply(path, error) from None
    if isinstance(reply, Failed):
        check_understood(path, reply)
    return reply
