"""The session log: connections, logins and how sessions ended.

One JSON object a line: `session.open`, `auth.ok`, `auth.fail`, `auth.deferred`, `session.close`.
Tools read it (fail2ban, jq), so its keys and their order are part of the daemon's interface
(docs/operations.md). No line has a message or a password in it. A name is logged only if an account
has it: people type their password into the wrong prompt.

An address, and after the login an account, has some lines of each kind in a minute. The rest are
counted; a line at the end of the minute, with the same first keys, has their `count`.
"""

import contextlib
import datetime as dt
import errno
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec
import structlog

from qscp.characters import mark_forbidden
from qscp.errors import ErrorCode
from qscpd.domain.model import Account
from qscpd.errors import PermissionDeniedError, QscpdError
from qscpd.net.address_policy import shown_address
from qscpd.net.address_share import source_of
from qscpd.net.line_budget import OTHERS, LineBudget
from qscpd.net.link import Link
from qscpd.net.peer_log import PeerLog
from qscpd.outage import CALM_S, Outage
from qscpd.sessions.identity import Identity

_CLIENT_LIMIT: Final = 60
"""Characters of the client's name that are logged."""

_LINES_PER_MINUTE: Final = 10
"""Default of `log.lines_per_minute`."""

_WAITING_LIMIT: Final = 10_000
"""Lines that wait for a disk that hangs: some megabytes of memory."""

_PATIENCE_S: Final = 5.0
"""How long the end of the daemon waits until the last lines are written."""

_log = structlog.stdlib.get_logger("qscpd.sessions.log")


class LoggedSession(Protocol):
    """Interface of a session that the log needs."""

    id: str
    link: Link
    identity: Identity | None
    opened: float
    messages_in: int

    @property
    def frames_in(self) -> int:
        """Frames received."""

    @property
    def frames_out(self) -> int:
        """Frames sent."""

    @property
    def messages_out(self) -> int:
        """Messages delivered."""


class SessionLog:
    """Writer of the session log, with its own thread, so that a slow disk never stops the loop.

    A context manager. The file is opened again when it was moved or removed, as by logrotate.

    Args:
        path: The file; it is created for its owner to write and its group to read.
        addresses: `log.addresses` of the configuration.
        per_minute: `log.lines_per_minute` of the configuration.
        clock: Seconds that never go back.

    Attributes:
        addresses: The same; a change is in force at once.
        journal: What peers cause in the daemon's own log, with a budget of its own.

    Raises (on entering):
        QscpdError: The file can't be written.
    """

    def __init__(
        self,
        path: Path,
        addresses: str,
        per_minute: int = _LINES_PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self.addresses = addresses
        self.journal = PeerLog(addresses, per_minute, clock)
        self._budget = LineBudget(clock, per_minute)
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="qscpd-sessionlog", daemon=True)
        self._file: FileIO | None = None
        self._outage = Outage(_log, "sessionlog.failed", "lines", calm_s=CALM_S)
        self._jam = Outage(_log, "sessionlog.dropped", "lines", calm_s=CALM_S)
        self._wait_s: float | None = None
        """Wait so long for a line, then look whether a fault is over; None if none is to end."""

    def __enter__(self) -> Self:
        try:
            self._file = _open(self._path)
        except PermissionError as error:
            raise PermissionDeniedError(
                f"{self._path}: this user has no permission to write the session log"
            ) from error
        except OSError as error:
            place = os.path.realpath(self._path)
            link = f" (a link to {place})" if self._path.is_symlink() else ""
            raise QscpdError(
                f"{self._path}{link}: the session log can't be written: {error.strerror}"
            ) from error
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.journal.close()
        self._put_repeats(now=True)
        self._jam.close()
        self._queue.put(None)
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            _log.error("sessionlog.unfinished", path=str(self._path), lines=self._queue.qsize())

    # --- events

    def opened(self, session: LoggedSession) -> None:
        """Log that a handshake is done."""
        tls = session.link.tls
        self._put("session.open", session, tls=tls.version, cipher=tls.cipher)

    def auth_ok(self, session: LoggedSession, client: str) -> None:
        """Log a login."""
        self._put(
            "auth.ok",
            session,
            user=_user(session),
            device=_device(session),
            client=mark_forbidden(client)[:_CLIENT_LIMIT],
        )

    def auth_failed(self, session: LoggedSession, code: ErrorCode, account: Account | None) -> None:
        """Log a failed login; `account` has the name that was given, if any account has it."""
        self._put("auth.fail", session, failure=True, reason=code, user=account.name if account else None)

    def auth_refused(self, session: LoggedSession, code: ErrorCode, account: Account) -> None:
        """Log a login that was refused although the password was right: no reason to ban the address."""
        self._put("auth.refused", session, reason=code, user=account.name)

    def auth_deferred(
        self, session: LoggedSession, code: ErrorCode, account: Account | None, retry_after: float | None
    ) -> None:
        """Log a login that was not decided: too many of them, or an error of ours. It is no failure."""
        user = account.name if account else None
        self._put("auth.deferred", session, reason=code, user=user, retry_after=retry_after)

    def closed(self, session: LoggedSession, reason: str) -> None:
        """Log that a link is gone."""
        link = session.link
        self._put(
            "session.close",
            session,
            user=_user(session),
            device=_device(session),
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

    def tick(self) -> None:
        """Write the summaries of a minute that is over, of both logs; called once a second."""
        self.journal.tick()
        self._put_repeats(now=False)
        self._jam.works()

    def _put(self, event: str, session: LoggedSession, *, failure: bool = False, **fields: object) -> None:
        remote = session.link.remote[0]
        shown = shown_address(remote, self.addresses, failure=failure)
        identity = session.identity
        source = source_of(remote, identity.account if identity else None)
        # How many logins fail is limited already, by what a password's hash costs.
        all_sources = event != "auth.fail"
        if self._budget.spend(event, source, (shown, _repeated(session, fields)), all_sources=all_sources):
            self._write_line(event, shown, session.id, fields)

    def _put_repeats(self, *, now: bool) -> None:
        for event, source, count, last in self._budget.collect(now=now):
            shown, fields = last if source != OTHERS and isinstance(last, tuple) else (None, {"others": True})
            self._write_line(event, shown, None, {**fields, "count": count})

    def _write_line(
        self, event: str, remote: str | None, session: str | None, fields: dict[str, Any]
    ) -> None:
        if self._queue.qsize() >= _WAITING_LIMIT:
            self._jam.failed("the disk takes no lines", path=str(self._path))
            return
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        self._queue.put({"time": now, "event": event, "remote": remote, "session": session, **fields})

    # --- on the thread

    def _run(self) -> None:
        ended = False
        while not ended:
            taken = self._take()
            ended = taken[-1:] == [None]
            lines = [msgspec.json.encode(line) + b"\n" for line in taken if line is not None]
            if lines:
                self._write_all(lines)
            elif self._wait_s is not None:
                self._look_if_over()
        self._outage.close()
        if self._file is not None:
            self._file.close()

    def _take(self) -> list[dict[str, Any] | None]:
        """Wait for lines, and return all there are; none if it takes too long."""
        taken: list[dict[str, Any] | None] = []
        with contextlib.suppress(queue.Empty):
            taken.append(self._queue.get(timeout=self._wait_s))
            while taken[-1] is not None:
                taken.append(self._queue.get_nowait())
        return taken

    def _look_if_over(self) -> None:
        """After a success: end a fault that was long enough ago, or look again later."""
        self._outage.works()
        self._wait_s = CALM_S if self._outage.lasts else None

    def _write_all(self, lines: Sequence[bytes]) -> None:
        try:
            self._write(b"".join(lines))
        except OSError as error:
            self._wait_s = None
            self._outage.failed(error.strerror or str(error), len(lines), path=str(self._path))
        else:
            self._look_if_over()

    def _write(self, data: bytes) -> None:
        if self._file is None or self._moved(self._file):
            if self._file is not None:
                self._file.close()
                self._file = None  # If opening fails now, the next line tries again.
            self._file = _open(self._path)
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError:
            # Half a line would spoil the next one, once the disk has room again.
            half = written - data.rfind(b"\n", 0, written) - 1
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), os.fstat(self._file.fileno()).st_size - half)
            raise

    def _moved(self, file: FileIO) -> bool:
        try:
            return not os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return True


def _open(path: Path) -> FileIO:
    """Open a file for appending, without a buffer: lines that a full disk refuses are dropped.

    A link is followed, and a file that it names is made like any other. Nothing that would block is opened.
    """
    path = Path(os.path.realpath(path))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o640)
        os.fchmod(descriptor, 0o640)  # whatever the umask is: the group reads logs
    except FileExistsError:
        descriptor = os.open(path, flags)
    file = FileIO(descriptor, "ab")
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
        file.close()
        raise OSError(errno.EINVAL, "it is not a file")
    os.set_blocking(descriptor, True)
    return file


def _repeated(session: LoggedSession, fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a summary, in the order of a line: what is the same in most of them."""
    if session.identity:
        return {"user": session.identity.name}
    return {"reason": fields["reason"], "user": None} if "user" in fields and "reason" in fields else {}


def _user(session: LoggedSession) -> str | None:
    return session.identity.name if session.identity else None


def _device(session: LoggedSession) -> str | None:
    return (session.identity.device if session.identity else "") or None
