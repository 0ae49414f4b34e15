"""What a session needs of the daemon around it, and what the daemon does with its frames."""

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from qscp import frames
from qscpd.config import Config
from qscpd.net.peer_log import PeerLog
from qscpd.sessions.identity import Identity
from qscpd.sessions.output import FlushQueue
from qscpd.sessions.rates import Rates
from qscpd.sessions.turns import TurnQueue

S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)


class SessionOwner(Protocol[S_contra]):
    """What a session needs of the daemon around it."""

    config: Config
    output: FlushQueue
    """Sessions with queued output."""
    turns: TurnQueue
    """Sessions whose input waits for their turn."""
    rates: Rates
    """How fast sessions and accounts may send."""
    peer_log: PeerLog
    """Where sessions report what their peers cause."""

    def unregister(self, session: S_contra, reason: str) -> None:
        """Stop delivering to a session that is closed; its link may linger."""

    def link_lost(self, session: S_contra, reason: str) -> None:
        """Forget a session whose link is gone."""

    def flush_marks(self) -> None:
        """Hand positions to the store now: a session waits for its own."""

    def skip_refused(self, session: S_contra) -> None:
        """Let no message wait any longer for those of this session that the store refused."""


Handler = Callable[[S, Identity, frames.ClientFrame], bool | None]
"""Handles a frame of a session; returns True if the store owes it an answer."""


class HandlerTable(NamedTuple, Generic[S]):
    """What to do with each frame of a client; `qscp.states` decides which is legal when."""

    login: Callable[[S, frames.Auth], None]
    """For `auth`, the one frame before the login."""
    after_login: dict[type[frames.ClientFrame], Handler[S]]
    """For all others, by their class."""
