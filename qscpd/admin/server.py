"""Server of the admin socket."""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from qscpd.admin.messages import (
    REQUEST_LIMIT,
    Failed,
    ListUsers,
    Reply,
    Request,
    Status,
    UserCheck,
    decode_request,
    encode,
    failed,
)
from qscpd.errors import ExistsError, ExitCode, QscpdError, UsageError
from qscpd.files import file_errors

_REQUEST_TIMEOUT_S: Final = 10.0
"""Timeout of a peer's request: it is a program on the same machine."""

_PROBE_TIMEOUT_S: Final = 2.0
"""Timeout of the probe whether an existing socket is in use."""

_CLOSE_GRACE_S: Final = 1.0
"""Time for running requests to finish when the daemon stops."""

_BACKLOG: Final = 16
_MODE: Final = 0o600

_log = structlog.stdlib.get_logger("qscpd.admin")


class AdminServer:
    """Server on a unix socket that only the daemon's user and root can open; an async context manager.

    Args:
        path: Path of the socket. A stale socket is replaced.
        handle: Performs a request. The peer gets a `QscpdError` that it raises as `Failed`.

    Raises (on entering):
        ExistsError: The socket is in use, or the path is not a socket.
        PermissionDeniedError: This user has no permission to create it.
        QscpdError: Any other error, such as a missing directory.
    """

    def __init__(self, path: Path, handle: Callable[[Request], Awaitable[Reply]]) -> None:
        self._path = path
        self._handle = handle
        self._inode = 0
        self._server: asyncio.Server | None = None
        self._peers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        listener = _listen(self._path)
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=REQUEST_LIMIT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        # Another daemon might have created its own socket by now.
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        peers = set(self._peers)
        if peers:
            _, late = await asyncio.wait(peers, timeout=_CLOSE_GRACE_S)
            for peer in late:
                peer.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream's callback runs in a task")
        self._peers.add(task)
        try:
            reply = await self._answer(reader)
            if reply is not None:
                writer.write(encode(reply))
                await writer.drain()
        except OSError:
            pass  # the peer is gone
        finally:
            self._peers.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Reply | None:
        """Read and perform a request, and return the reply; None if the peer sent nothing."""
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                line = await reader.readuntil()
        except asyncio.LimitOverrunError:
            return failed(UsageError(f"the request is longer than {REQUEST_LIMIT} bytes"))
        except asyncio.IncompleteReadError as error:
            return failed(UsageError("the request has no end of line")) if error.partial else None
        except TimeoutError:
            return failed(UsageError(f"no request came within {_REQUEST_TIMEOUT_S:g} s"))
        try:
            request = decode_request(line)
        except UsageError as error:
            return failed(error)
        try:
            reply = await self._handle(request)
        except QscpdError as error:
            reply = failed(error)
        except Exception:  # noqa: BLE001 - a bug in one request must not end the daemon
            _log.exception("admin.failed", request=repr(request))
            return Failed(ExitCode.FAILED, "internal error; the daemon's log has the details")
        outcome = reply.message if isinstance(reply, Failed) else "done"
        level = logging.DEBUG if isinstance(request, ListUsers | UserCheck | Status) else logging.INFO
        _log.log(level, "admin.request", request=repr(request), outcome=outcome)
        return reply


def _listen(path: Path) -> socket.socket:
    """Return a listening socket that other users can never connect to."""
    with file_errors(path.parent):
        # /run is empty after a boot, and without the systemd unit nobody creates the directory.
        path.parent.mkdir(mode=0o755, exist_ok=True)
    with file_errors(path):
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX)
        try:
            # On Linux bind() gives the new name the mode of the socket itself (less the umask), so
            # there is no moment at which other users could connect.
            os.fchmod(listener.fileno(), _MODE)
            listener.bind(str(path))
            path.chmod(_MODE)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a stale socket; refuse if it is in use or not a socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ExistsError(f"{path}: exists and is not a socket; move it or configure another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass  # its queue is full, so it is in use
    raise ExistsError(f"{path}: another daemon listens on it; stop it or configure another path")
