"""Keep-alive of a session: when a silent peer is pinged, and when its session ends."""

from typing import Final, Literal

_PINGS: Final = 2
"""Unanswered pings after which the peer is gone, as the protocol says."""


class KeepAlive:
    """Unanswered pings of one session.

    Args:
        now: Loop time.
    """

    __slots__ = ("_pinged_at", "_pings")

    def __init__(self, now: float) -> None:
        self._pinged_at = now
        self._pings = 0

    def check(self, now: float, last_in: float, interval_s: float) -> Literal["", "ping", "timeout"]:
        """Return what is due; a ping that is due counts as sent.

        Args:
            now: Loop time.
            last_in: Loop time when the last byte came in; any byte answers a ping.
            interval_s: Silence before the first ping, between pings, and after the last one.
        """
        if last_in > self._pinged_at:
            self._pings = 0
        if now - last_in < interval_s * (self._pings + 1):
            return ""
        if self._pings == _PINGS:
            return "timeout"
        self._pings += 1
        self._pinged_at = now
        return "ping"
