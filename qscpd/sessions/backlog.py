"""The backlog of a session, as its output sees it; see `qscpd.sessions.catch_up`."""

from collections.abc import Callable, Iterator
from typing import Protocol

from qscp import frames


class Backlog(Protocol):
    """Messages that a session has to be sent before it is live.

    Attributes:
        resuming: Whether the session was never live: it knows no state of its rooms yet.
    """

    resuming: bool

    def buffer(self, conversation: int, seq: int, line: bytes) -> None:
        """Keep a message that was committed meanwhile."""

    def overtakes(self, conversation: int, seq: int) -> bool:
        """Return whether the acknowledgement of the peer's own message would overtake messages that wait.

        If so, its own message is sent with them, at its place.
        """

    def joined(self, conversation: int, last_seq: int) -> None:
        """Note that the account joined a room, before the session is notified."""

    def left(self, conversation: int) -> None:
        """Note that the account left a room, before the session is notified."""

    def writable(self) -> None:
        """Continue: the peer took what waited for it, or its link is gone."""


class Snapshots(Protocol):
    """State that an account sees, for the peers that missed changes of it."""

    def presence(self) -> Iterator[bytes]:
        """Return the frames of a presence snapshot."""

    def room(self, conversation: int, last_seq: int | None) -> frames.ServerFrame | None:
        """Return the frame of a room's state; None if the account is neither a member nor invited.

        Args:
            conversation: The room's conversation.
            last_seq: The last seq to give, if it is not the newest one.
        """


FallBehind = Callable[[], Backlog]
"""Makes the backlog of a live session whose queue is full, and starts it."""
