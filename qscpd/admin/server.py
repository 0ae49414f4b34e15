"""The daemon's end of the admin socket."""

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
    decode_request,
    encode,
    failed,
)
from qscpd.errors import ExistsError, ExitCode, QscpdError, UsageError
from qscpd.files import file_errors

__all__ = ["AdminServer"]

_REQUEST_TIMEOUT_S: Final = 10.0
"""How long a peer may take for its one line: it is a program on the same machine."""

_PROBE_TIMEOUT_S: Final = 2.0
"""How long to wait for whoever may be listening on a socket that was left behind."""

_CLOSE_GRACE_S: Final = 1.0
"""How long requests that are under way may take to finish when the daemon stops."""

_BACKLOG: Final = 16
_MODE: Final = 0o600

_log = structlog.stdlib.get_logger("qscpd.admin")


class AdminServer:
    """Listens on a unix socket that only the daemon's user (and root) can open; an async context manager.

    Args:
        path: Where the socket is made. One that a crash left behind is replaced.
        handle: Does what is asked for. A `QscpdError` that it raises is told to the peer.

    Raises (on entering):
        ExistsError: Somebody listens there, or it is no socket.
        PermissionDeniedError: This user may not make it.
        QscpdError: The directory is missing, or the like.
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
        # Whoever came after us may have made a socket of its own by now.
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
            pass  # the peer is gone, which is its own business
        finally:
            self._peers.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Reply | None:
        """Read the request and do it; None if the peer left without one."""
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
        except Exception:  # noqa: BLE001 - a bug in one request ends neither the daemon nor the peer's patience
            _log.exception("admin.failed", request=repr(request))
            return Failed(ExitCode.FAILED, "something went wrong in the daemon; it is in the daemon's log")
        outcome = reply.message if isinstance(reply, Failed) else "done"
        level = logging.DEBUG if isinstance(request, ListUsers | Status) else logging.INFO
        _log.log(level, "admin.request", request=repr(request), outcome=outcome)
        return reply


def _listen(path: Path) -> socket.socket:
    """Make the socket, closed to others before it can be reached."""
    with file_errors(path.parent):
        # /run is empty after a boot, and not everybody runs the unit that fills it.
        path.parent.mkdir(mode=0o755, exist_ok=True)
    with file_errors(path):
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX)
        try:
            # On Linux bind() gives the new name the mode of the socket itself (less the umask), so
            # there is no moment at which a stranger could connect.
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
    """Remove what a crashed daemon left; refuse if anybody answers."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ExistsError(f"{path}: is there and is no socket; move it away or configure another path")
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
            pass  # its queue is full, so it is alive
    raise ExistsError(f"{path}: another daemon is listening there; stop it or configure another path")
