"""Handlers of frames about the connection itself: `ping`, `pong`, `bye`."""

from qscp import frames
from qscp.errors import ErrorCode
from qscpd.chat.router import Router
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session


class ConnectionHandlers:
    """Handlers of `ping`, `pong` and `bye`."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def ping(self, session: Session, _identity: Identity, _frame: frames.ClientPing) -> None:
        """Answer `ping`."""
        session.send(frames.ServerPong())

    def pong(self, _session: Session, _identity: Identity, _frame: frames.ClientPong) -> None:
        """Do nothing: any byte that comes in counts as a sign of life."""

    def bye(self, session: Session, _identity: Identity, _frame: frames.ClientBye) -> None:
        """Take the session offline at once, and close it when it has its answers."""
        self._router.unregister(session, ErrorCode.BYE)
        session.close(ErrorCode.BYE, graceful=True)
