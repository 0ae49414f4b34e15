"""Notifications to systemd, and the settings that systemd passes by the environment.

`sd_notify(3)` is a datagram on a unix socket with a stable protocol, so a few lines are enough:
`sdnotify` and `sd-notify` had their last releases in 2017 and 2020, and `systemd-python` and
`cysystemd` need the C library for the same datagram.

Nothing here has an effect when systemd did not start the process.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Final, Self

from qscpd.errors import QscpdError

_WATCHDOG_SHARE: Final = 1 / 3
"""Interval of watchdog notifications as a share of systemd's timeout: one can be late without harm."""

_READY_WAIT_S: Final = 5.0
"""Time that `Notifier.ready` waits for a service manager with a full queue."""


_STATUS_LIMIT: Final = 500
"""Characters of a status; systemd drops datagrams of more than 4096 bytes (`NOTIFY_BUFFER_MAX`)."""


class Notifier:
    """Sender of notifications to systemd.

    Watchdog notifications and status lines are sent without waiting: a service manager that does
    not read must not stop the loop, and the next one replaces a lost one. `ready` is sent once
    and decides whether the start succeeds, so it alone waits.
    """

    def __init__(self, address: str) -> None:
        """Open a socket to send from.

        Args:
            address: Value of `$NOTIFY_SOCKET`: a path, or `@name` for Linux's abstract
                namespace. Any other value makes a notifier that sends nothing.
        """
        # Not connected: the manager might recreate its socket, so each datagram names the address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return a notifier for `$NOTIFY_SOCKET`."""
        return cls(environ.get("NOTIFY_SOCKET", ""))

    def ready(self, status: str) -> None:
        """Notify that the service is ready, so that `systemctl start` returns."""
        self._send("READY=1", _status(status), wait_s=_READY_WAIT_S)

    def starting(self, status: str, patience_s: float) -> None:
        """Notify that the start takes longer, and show how far it is.

        Args:
            status: One line.
            patience_s: Time within which the next notification comes.
        """
        # systemd waits so long from now on, even if that is after TimeoutStartSec: sd_notify(3).
        self._send(f"EXTEND_TIMEOUT_USEC={round(patience_s * 1_000_000)}", _status(status))

    def status(self, status: str) -> None:
        """Show one line in `systemctl status`."""
        self._send(_status(status))

    def stopping(self, status: str) -> None:
        """Notify that the service is stopping."""
        self._send("STOPPING=1", _status(status))

    def stopped(self) -> None:
        """Show that the service has ended as it should."""
        self._send(_status("Stopped"))

    def failed(self, reason: str) -> None:
        """Show why the service has ended; systemd keeps the last status."""
        self._send(_status(f"Failed: {reason}"))

    def alive(self) -> None:
        """Notify the watchdog; see `watchdog_interval_s`."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; later calls send nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *assignments: str, wait_s: float = 0.0) -> None:
        if self._socket is None:
            return
        self._socket.settimeout(wait_s)
        # A stale variable, a full queue or a missing socket must not stop the service.
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(assignments).encode(), self._address)


@contextlib.contextmanager
def failure_status() -> Iterator[None]:
    """Show in `systemctl status` why the block failed; a later start removes it."""
    try:
        yield
    except QscpdError as error:
        _show_failure(str(error))
        raise
    except Exception:
        _show_failure("internal error; the log has the details")
        raise


def _show_failure(reason: str) -> None:
    with contextlib.closing(Notifier.from_environment()) as notifier:
        notifier.failed(reason)


def watchdog_interval_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds between two calls of `Notifier.alive`; None without a watchdog.

    `$WATCHDOG_PID` names the watched process. Another one that only inherited the variables,
    such as a command run by the daemon, is not watched.
    """
    patience_us = environ.get("WATCHDOG_USEC", "")
    if not (patience_us.isascii() and patience_us.isdigit() and int(patience_us)):
        return None
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(patience_us) / 1_000_000 * _WATCHDOG_SHARE


def logs_to_journal(fd: int = 2, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a file descriptor, standard error by default, goes to systemd's journal.

    `$JOURNAL_STREAM` is inherited and outlives a redirection, so its device and inode are
    compared with the descriptor's, as systemd.exec(5) requires. On such a descriptor a line
    can begin with its priority, `<3>`.
    """
    try:
        stat = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{stat.st_dev}:{stat.st_ino}"


def _status(text: str) -> str:
    """Return a status assignment on one line: a newline would start another assignment."""
    return "STATUS=" + " ".join(text.split())[:_STATUS_LIMIT]
