"""What the daemon says to systemd, and what systemd says to it.

`sd_notify(3)` is a datagram on a unix socket whose protocol systemd promises to keep, so it is
spoken here in a few lines: `sdnotify` and `sd-notify` had their last releases in 2017 and 2020,
and `systemd-python` and `cysystemd` are bound to the C library for the same datagram.

Everything here does nothing, quietly, when systemd did not start the process.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final, Self

__all__ = ["Notifier", "logs_to_journal", "watchdog_interval_s"]

_WATCHDOG_SHARE: Final = 1 / 3
"""How much of systemd's patience passes between two signs of life: one may be late, none is missed."""

_READY_WAIT_S: Final = 5.0
"""How long `Notifier.ready` waits for a service manager whose queue is full."""


class Notifier:
    """Tells systemd how the service is doing.

    Signs of life and status lines are sent without waiting: a service manager that does not
    read must not stop the loop, and the next one replaces what is lost. `ready` is sent once
    and decides over the whole start, so it alone may wait.
    """

    def __init__(self, address: str) -> None:
        """Open a socket to send from.

        Args:
            address: What `$NOTIFY_SOCKET` holds: a path, or `@name` for Linux's abstract
                namespace. Anything else makes a notifier that sends nothing.
        """
        # Sent to by address each time, not connected: the manager may have made it anew.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """A notifier for `$NOTIFY_SOCKET`."""
        return cls(environ.get("NOTIFY_SOCKET", ""))

    def ready(self, status: str) -> None:
        """The service answers now; `systemctl start` returns."""
        self._send("READY=1", _status(status), wait_s=_READY_WAIT_S)

    def status(self, status: str) -> None:
        """Show one line in `systemctl status`."""
        self._send(_status(status))

    def stopping(self, status: str) -> None:
        """The service has begun to stop."""
        self._send("STOPPING=1", _status(status))

    def alive(self) -> None:
        """Give the watchdog its sign of life; see `watchdog_interval_s`."""
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
        # A stale variable, a full queue or a vanished socket is no reason not to serve.
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(assignments).encode(), self._address)


def watchdog_interval_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """How often to call `Notifier.alive`; None if nobody waits for it.

    `$WATCHDOG_PID` names the process that is watched. Another one that merely inherited
    the variables, such as a command run by the daemon, is not.
    """
    patience_us = environ.get("WATCHDOG_USEC", "")
    if not (patience_us.isascii() and patience_us.isdigit() and int(patience_us)):
        return None
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(patience_us) / 1_000_000 * _WATCHDOG_SHARE


def logs_to_journal(fd: int = 2, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a file descriptor, standard error by default, goes to systemd's journal.

    `$JOURNAL_STREAM` is inherited and outlives a redirection, so its device and inode are
    compared with the descriptor's, as systemd.exec(5) asks for. On such a descriptor a line
    may begin with its priority, `<3>`.
    """
    try:
        stat = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{stat.st_dev}:{stat.st_ino}"


def _status(text: str) -> str:
    """One line: a newline in it would start another assignment."""
    return "STATUS=" + " ".join(text.split())
