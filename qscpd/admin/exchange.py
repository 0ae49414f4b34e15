"""One request to the daemon and its reply, over the admin socket; a daemon that hangs is noticed."""

import contextlib
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

from qscpd.admin.messages import CheckNewUser, CheckUser, ListUsers, Request, Status, encode
from qscpd.errors import NotRunningError, PermissionDeniedError, QscpdError, UnansweredError

QUESTION_S: Final = 2.5
"""Timeout of connecting and of a question, which a sound daemon answers in a moment: with Python's own
start, the command takes 3 s at most."""

_CHANGE_S: Final = 30.0
"""Timeout of the reply to a change; it includes a commit, which a slow disk delays."""

_RETRY_S: Final = 0.05
_ANSWER_LIMIT: Final = 64 << 20
"""Most bytes in an answer: `listusers` of half a million accounts."""

_CREDENTIALS: Final = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""


def is_question(request: Request) -> bool:
    """Return whether a request changes nothing, so that it can be given up without a doubt."""
    return isinstance(request, Status | ListUsers | CheckUser | CheckNewUser)


def exchange(path: Path, request: Request) -> bytes | None:
    """Return the line that the daemon replies; None if no daemon listens.

    Says on stderr that it waits, if the reply to a change takes long.

    Raises:
        NotRunningError: The daemon hangs or ended: it did not take the request, or did not answer a question.
        UnansweredError: It took a change, and it is unknown whether it was done.
        PermissionDeniedError: This user can't use the socket.
    """
    deadline = time.monotonic() + QUESTION_S
    with socket.socket(socket.AF_UNIX) as connection:
        if not _connect(connection, path, deadline):
            return None
        pid = _peer(connection)
        try:
            connection.settimeout(max(deadline - time.monotonic(), _RETRY_S))
            connection.sendall(encode(request))
            answer = _read_line(connection, pid, 0 if is_question(request) else _CHANGE_S)
        except TimeoutError:
            if is_question(request):
                raise NotRunningError(_hangs(path, pid, QUESTION_S)) from None
            raise UnansweredError(
                f"{_hangs(path, pid, _CHANGE_S)}. The request can still be done when it goes on"
            ) from None
        except OSError:
            answer = b""
    if not answer.endswith(b"\n"):
        if is_question(request):
            raise NotRunningError(
                "the daemon exited before it answered; see its log (`journalctl -u qscpd`), then try again"
            )
        raise UnansweredError(
            "the daemon exited before it answered; check with `qscpd listusers` or `qscpd room list` "
            "whether the request was done"
        )
    return answer


def is_listening(path: Path) -> bool:
    """Return whether a daemon has the admin socket open, whether or not it answers.

    Raises:
        PermissionDeniedError: This user can't use the socket.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            return _connect(connection, path, time.monotonic())
        except NotRunningError:  # it hangs
            return True


def _connect(connection: socket.socket, path: Path, deadline: float) -> bool:
    """Connect to the daemon; return whether one listens."""
    connection.settimeout(QUESTION_S)
    while True:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False
        except PermissionError:
            raise PermissionDeniedError(
                f"{path}: no permission for the admin socket; run this as root or as the daemon's user"
            ) from None
        except BlockingIOError:  # the queue is full: others wait for this daemon, too
            if time.monotonic() >= deadline:
                raise NotRunningError(_hangs(path, 0, QUESTION_S)) from None
            time.sleep(_RETRY_S)
        except OSError as error:
            raise QscpdError(f"{path}: {error.strerror or error}") from error
        else:
            return True


def _read_line(connection: socket.socket, pid: int, patience_s: float) -> bytes:
    """Return the line of the answer.

    Raises:
        TimeoutError: Nothing came within the socket's own timeout, and within the patience.
    """
    answer = bytearray()
    deadline = time.monotonic() + patience_s
    announced = False
    while not answer.endswith(b"\n") and len(answer) < _ANSWER_LIMIT:
        try:
            received = connection.recv(1 << 16)
        except TimeoutError:
            if time.monotonic() >= deadline:
                raise
            if not announced:
                _report(f"waiting for the daemon{_shown(pid)}, which has not answered yet")
                announced = True
            continue
        if not received:
            break
        answer += received
        deadline = time.monotonic() + patience_s
    return bytes(answer)


def _report(sentence: str) -> None:
    with contextlib.suppress(OSError):
        print(f"qscpd: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 - the command goes on


def _peer(connection: socket.socket) -> int:
    """Return the process id of the daemon; 0 if the system does not say."""
    with contextlib.suppress(OSError, AttributeError):
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(credentials)[0])
    return 0


def _shown(pid: int) -> str:
    return f" (process {pid})" if pid else ""


def _hangs(path: Path, pid: int, waited_s: float) -> str:
    """Return that the daemon hangs, and what to do about it."""
    cure = "see its log (`journalctl -u qscpd`), and restart it (`systemctl restart qscpd`)"
    if _is_stopped(pid):
        cure = f"it was stopped by a signal; continue it with `kill -CONT {pid}`"
    return f"the daemon{_shown(pid)} on {path} did not answer within {waited_s:g} s, so it hangs; {cure}"


def _is_stopped(pid: int) -> bool:
    """Return whether a process is stopped, as by Ctrl-Z (proc_pid_stat(5))."""
    with contextlib.suppress(OSError, IndexError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        return bool(pid) and state.split()[0] in ("T", "t")
    return False
