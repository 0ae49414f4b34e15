"""Deadline of leaving: how long the client waits for the server's last answers."""

import asyncio
import contextlib
from typing import Final

_REPEATED_S: Final = 10.0
"""How long after a `throttled` answers can take: the server repeats it every 5 s."""


class LeaveDeadline:
    """Deadline that moves while the server reads slowly, as long as it reads on.

    Args:
        timeout_s: Time for the answers of a server that reads everything.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._earliest = float("-inf")
        self._pending = float("inf")
        self._timeout: asyncio.Timeout | None = None
        self._moves = True

    def start(self, *, interrupted: bool = False) -> asyncio.Timeout:
        """Return the timeout, which begins now.

        Args:
            interrupted: Whether the user pressed Ctrl-C: then the deadline does not move.
        """
        self._moves = not interrupted
        end = asyncio.get_running_loop().time() + self._timeout_s
        self._timeout = asyncio.timeout_at(end if interrupted else max(end, self._earliest))
        return self._timeout

    def throttled(self, pause_s: float, pending: int) -> None:
        """Move the deadline: the server reads on in some seconds, or says again that it does not.

        Args:
            pause_s: How long it reads nothing.
            pending: Number of your messages without an answer; if it has not shrunk, nothing moves.
        """
        if pending >= self._pending or not self._moves:
            return
        self._pending = pending
        self._earliest = asyncio.get_running_loop().time() + pause_s + _REPEATED_S
        if self._timeout is not None:
            with contextlib.suppress(RuntimeError):  # it is just over
                self._timeout.reschedule(self._earliest)
