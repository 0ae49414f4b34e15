"""The session log: who came from where, whether they got in, and how it ended.

One JSON object a line: `session.open`, `auth.ok`, `auth.fail`, `session.close`. Tools read it
(fail2ban, jq), so its keys and their order are part of the daemon's interface
(docs/operations.md). A line never has a message or a password in it, nor a name that nobody
here has: people type their password into the wrong prompt.
"""

import contextlib
import datetime as dt
import os
import queue
import threading
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec
import structlog

from qscp.errors import ErrorCode
from qscp.text import strip_controls
from qscpd.domain.model import Account
from qscpd.errors import PermissionDeniedError, QscpdError
from qscpd.net.address_policy import shown_address
from qscpd.net.link import Link

__all__ = ["LoggedSession", "SessionLog"]

_CLIENT_LIMIT: Final = 60
"""Characters of the client's name that are kept."""

_log = structlog.stdlib.get_logger("qscpd.sessions.log")


class LoggedSession(Protocol):
    """What the log tells of a session."""

    id: str
    link: Link
    account: Account | None
    device: str
    opened: float
    messages_in: int
    messages_out: int
    frames_out: int

    @property
    def frames_in(self) -> int:
        """Frames received."""


class SessionLog:
    """Writes the session log from a thread of its own, so that a slow disk never stops the loop.

    A context manager. The file is opened anew when it was moved or removed, as by logrotate.

    Args:
        path: The file; it is made for its owner to write and its group to read.
        addresses: `log.addresses` of the configuration.

    Raises (on entering):
        QscpdError: The file can't be written.
    """

    def __init__(self, path: Path, addresses: str) -> None:
        self._path = path
        self._addresses = addresses
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="qscpd-sessionlog", daemon=True)
        self._file: FileIO | None = None

    def __enter__(self) -> Self:
        try:
            self._file = _open(self._path)
        except PermissionError as error:
            raise PermissionDeniedError(f"{self._path}: the session log may not be written") from error
        except OSError as error:
            raise QscpdError(f"{self._path}: the session log can't be written: {error.strerror}") from error
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._file is not None:
            self._file.close()

    # --- events

    def opened(self, session: LoggedSession) -> None:
        """The handshake is done."""
        tls = session.link.tls
        self._put("session.open", session, tls=tls.version, cipher=tls.cipher)

    def auth_ok(self, session: LoggedSession, client: str) -> None:
        """Somebody logged in."""
        self._put(
            "auth.ok",
            session,
            user=_name(session.account),
            device=session.device or None,
            client=strip_controls(client)[:_CLIENT_LIMIT],
        )

    def auth_failed(self, session: LoggedSession, code: ErrorCode, account: Account | None) -> None:
        """A login failed; `account` is whose name was given, if anybody's."""
        self._put("auth.fail", session, failure=True, reason=code, user=_name(account))

    def closed(self, session: LoggedSession, reason: str) -> None:
        """The link is gone."""
        link = session.link
        self._put(
            "session.close",
            session,
            user=_name(session.account),
            device=session.device or None,
            tls=link.tls.version,
            cipher=link.tls.cipher,
            duration_s=round(link.now() - session.opened, 3),
            frames_in=session.frames_in,
            frames_out=session.frames_out,
            bytes_in=link.bytes_in,
            bytes_out=link.bytes_out,
            messages_in=session.messages_in,
            messages_out=session.messages_out,
            reason=reason,
        )

    def _put(self, event: str, session: LoggedSession, *, failure: bool = False, **fields: object) -> None:
        now = dt.datetime.now(dt.UTC)
        line = {
            "time": now.isoformat(timespec="milliseconds"),
            "event": event,
            "remote": shown_address(session.link.remote[0], self._addresses, failure=failure),
            "session": session.id,
            **fields,
        }
        self._queue.put(line)

    # --- on the thread

    def _run(self) -> None:
        ended = False
        while not ended:
            lines = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while lines[-1] is not None:
                    lines.append(self._queue.get_nowait())
            ended = lines[-1] is None
            try:
                self._write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines if line is not None))
            except OSError as error:
                _log.error("sessionlog.failed", path=str(self._path), reason=error.strerror, lines=len(lines))

    def _write(self, data: bytes) -> None:
        if self._file is None or self._moved(self._file):
            if self._file is not None:
                self._file.close()
                self._file = None  # so that it is tried again with the next line, if it fails now
            self._file = _open(self._path)
        while data:
            data = data[self._file.write(data) :]

    def _moved(self, file: FileIO) -> bool:
        try:
            return not os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return True


def _open(path: Path) -> FileIO:
    """Open for appending, without a buffer: what a full disk has not taken is not kept."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_CREAT
    try:
        descriptor = os.open(path, flags | os.O_EXCL, 0o640)
        os.fchmod(descriptor, 0o640)  # whatever the umask is: the group is there to read logs
    except FileExistsError:
        descriptor = os.open(path, flags)
    return FileIO(descriptor, "ab")


def _name(account: Account | None) -> str | None:
    return account.name if account else None
