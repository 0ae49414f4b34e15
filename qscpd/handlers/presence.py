"""Handlers of `presence` and `whois`."""

from qscp import frames
from qscp.errors import InvalidNameError, InvalidTextError
from qscp.limits import QUERY_LIMIT
from qscp.names import normalize_name
from qscp.text import check_status_text
from qscpd.chat.router import Router
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session


class PresenceHandlers:
    """Handlers of `presence` and `whois`."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def set_presence(self, session: Session, identity: Identity, frame: frames.SetPresence) -> None:
        """Set the presence of a session."""
        session.inbound.count_request()
        text = frame.text if frame.status == "away" else ""
        try:
            check_status_text(text)
        except InvalidTextError as error:
            session.send(frames.Error(code=error.code, message=str(error), ref=frame.type))
            return
        session.status, session.text = frame.status, text
        is_hidden = frame.status == "offline"
        if not is_hidden:
            self._router.hiding.end_grace(identity.account)
        self._router.update_presence(identity)
        by_another = not is_hidden and not self._router.presence.is_visible(identity.name)
        session.send(frames.PresenceAck(frame.status, text, hidden=by_another))

    def whois(self, session: Session, identity: Identity, frame: frames.WhoisRequest) -> None:
        """Answer whether a user exists, and with their presence."""
        session.inbound.count_request()
        account = self._router.directory.by_name(frame.user)
        if account is None:
            session.send(frames.Whois(_name_as_asked(frame.user), known=False))
            return
        user = self._router.visibility.of(identity.account, account)
        session.send(frames.Whois(user.user, known=True, status=user.status, text=user.text))


def _name_as_asked(text: str) -> str:
    try:
        return normalize_name(text)
    except InvalidNameError:
        # An invalid name may be up to a line long; truncate it so that the answer fits.
        return text[:QUERY_LIMIT]
