"""Client of the admin socket: the running daemon performs a request, or else this process.

There are never two writers: the daemon holds the store's lock while it runs, and this
process takes the lock before it opens the store.
"""

import contextlib
import socket
import sys
import time
from pathlib import Path
from typing import Final

from qscpd.admin.actions import perform
from qscpd.admin.messages import Failed, Reply, Request, Status, decode_reply, encode
from qscpd.config.model import Config
from qscpd.errors import (
    NotRunningError,
    PermissionDeniedError,
    QscpdError,
    StoreBusyError,
    StoreError,
    UnansweredError,
)
from qscpd.files import file_errors
from qscpd.owners import acting_as, owner_of
from qscpd.store import lock_store, open_store, store_url

_ANSWER_TIMEOUT_S: Final = 30.0
"""Timeout of the daemon's answer; it includes a commit, which a slow disk delays."""

_LOCK_PATIENCE_S: Final = 10.0
"""Time to wait for another command to finish, or for a starting daemon to open its socket."""

_LOCK_INTERVAL_S: Final = 0.05
_ANSWER_LIMIT: Final = 64 << 20
"""Most bytes in an answer: `listusers` of half a million accounts."""


def call(config: Config, request: Request) -> Reply:
    """Perform a request by the daemon or here, and return a reply other than `Failed`.

    Raises:
        NotRunningError: The daemon is needed and does not answer.
        PermissionDeniedError: This user can use neither the socket nor the store.
        QscpdError: The error of a `Failed` reply, with its exit code.
    """
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while (reply := _try(config, request)) is None:
        if time.monotonic() > deadline:
            raise NotRunningError(
                f"a process holds {config.store.path}, but none answers on {config.server.admin_socket}; "
                "check server.admin_socket, and whether the daemon hangs"
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
        raise NotRunningError(f"no daemon answers on {config.server.admin_socket}; start it with `qscpd run`")
    directory = config.store.path.parent
    with file_errors(directory):
        if not directory.is_dir():
            raise StoreError(
                f"{directory}: the store's directory does not exist; mount it, "
                "or create it for the daemon's user. For a new installation, create it with `qscpd init`"
            )
        owner = owner_of(directory)
    with acting_as(owner):
        return _perform_here(config.store.path, request)


def _perform_here(path: Path, request: Request) -> Reply | None:
    try:
        with lock_store(store_url(path)), contextlib.closing(open_store(store_url(path))) as store:
            for found in store.findings:
                if not found.critical:
                    continue  # It concerns a daemon, which runs for longer.
                print(f"qscpd: {found.text}", file=sys.stderr)  # noqa: T201 - the command goes on
            return perform(request, store)
    except StoreBusyError:
        return None


def _ask(path: Path, request: Request) -> Reply | None:
    """Return the daemon's reply; None if no daemon listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        except PermissionError:
            raise PermissionDeniedError(
                f"{path}: no permission for the admin socket; run this as root or as the daemon's user"
            ) from None
        except OSError as error:
            raise QscpdError(f"{path}: {error.strerror or error}") from error
        try:
            connection.sendall(encode(request))
            answer = _read_line(connection)
        except TimeoutError:
            raise UnansweredError(
                f"the daemon did not answer within {_ANSWER_TIMEOUT_S:g} s; see its log"
            ) from None
        except OSError:
            answer = b""
    if not answer.endswith(b"\n"):
        raise UnansweredError(
            "the daemon exited before it answered; check with `qscpd listusers` or `qscpd room list` "
            "whether the request was done"
        )
    return decode_reply(answer)


def _read_line(connection: socket.socket) -> bytes:
    answer = bytearray()
    while not answer.endswith(b"\n") and len(answer) < _ANSWER_LIMIT:
        received = connection.recv(1 << 16)
        if not received:
            break
        answer += received
    return bytes(answer)
