"""The backlog of a session, as the session sees it; `qscpd.sessions.replay` is the one there is."""

from collections.abc import Coroutine, Iterable
from typing import Protocol

from qscp import frames


class Backlog(Protocol):
    """Messages that a session missed, sent between its `resume` and the moment it is live.

    Attributes:
        started: Whether the replay has begun, so that no more positions are accepted.
    """

    started: bool

    def add_positions(self, positions: Iterable[frames.Position]) -> bool:
        """Add a page of the device's positions; return False if there are too many by now."""

    def start(self) -> Coroutine[None, None, None]:
        """Start the replay; the coroutine sends everything and makes the session live."""

    def buffer(self, conversation: int, seq: int, line: bytes) -> None:
        """Keep a message that was committed meanwhile."""

    def joined(self, conversation: int, last_seq: int) -> None:
        """Note that the account joined a room, before the session is notified."""

    def left(self, conversation: int) -> None:
        """Note that the account left a room, before the session is notified."""

    def writable(self) -> None:
        """Continue: the peer took what waited for it, or its link is gone."""
