"""Input of one session: frames that have come in, handled in order.

Input is handled at once, unless something has to finish first: a login, a request, or the answers to
too many messages. Then the link is read no further.
"""

from typing import Final, Generic, Protocol, TypeVar

from qscp import frames
from qscp.connection import ServerConnection
from qscp.errors import ErrorCode, RemoteProtocolError
from qscpd.net.link import Link
from qscpd.sessions.identity import Identity
from qscpd.sessions.owner import HandlerTable

_PENDING_LIMIT: Final = 1000
"""Unanswered messages of a session at which it is read no further, until half of them are answered."""


class InboundSession(Protocol):
    """Interface of the session that its input needs."""

    connection: ServerConnection
    link: Link
    identity: Identity | None
    closed: bool

    @property
    def ending(self) -> bool:
        """Whether the session is closed, or will be when it has its answers."""

    def violated(self, error: RemoteProtocolError) -> None:
        """End: the peer broke the protocol."""

    def failed(self, error: Exception) -> None:
        """End: a handler has a bug."""

    def close(self, code: ErrorCode | None = None, *, graceful: bool = False) -> None:
        """End the session."""


S = TypeVar("S", bound=InboundSession)


class Inbound(Generic[S]):
    """Frames of a peer on their way to the handlers.

    Args:
        session: The session.
        handlers: What to do with its frames.

    Attributes:
        pending: Messages submitted to the store and not answered yet.
        throttled: Whether there are too many of them.
        requesting: Whether a request is being answered.
        frozen: Whether nothing is handled any more.
    """

    __slots__ = (
        "_connection",
        "_handlers",
        "_link",
        "_session",
        "frozen",
        "pending",
        "requesting",
        "throttled",
    )

    def __init__(self, session: S, handlers: HandlerTable[S]) -> None:
        self._session: S | None = session
        self._connection = session.connection
        self._link = session.link
        self._handlers = handlers
        self.pending = 0
        self.throttled = self.requesting = self.frozen = False

    def begin_request(self) -> None:
        """Handle no more frames until `end_request`."""
        self.requesting = True

    def end_request(self) -> None:
        """Continue with the frames that came in meanwhile, unless the session is ending."""
        self.requesting = False
        session = self._session
        if session is not None and not self.frozen and not session.ending:
            self._link.resume_reading()
            self.handle_frames()

    def freeze(self) -> None:
        """Handle nothing more: another session of the device is about to replace this one."""
        self.frozen = True
        self._link.pause_reading()

    def close(self) -> None:
        """Handle nothing more: the link is gone."""
        self._session = None  # two objects that refer to each other would wait for the garbage collector

    def handle_frames(self, plaintext: bytes = b"") -> None:
        """Handle the frames that have come in, unless something has to finish first.

        Args:
            plaintext: What has come in since the last call.
        """
        session = self._session
        if session is None:
            return
        self._connection.receive_data(plaintext)
        if self.throttled or self.frozen or self.requesting:
            return
        try:
            waiting = self._handle_events(session)
        except RemoteProtocolError as error:
            session.violated(error)
            return
        except Exception as error:  # noqa: BLE001 - a bug of ours ends one session, not the daemon
            session.failed(error)
            return
        if waiting:
            self._link.pause_reading()
        elif self._connection.eof:
            session.close(graceful=True)

    def _handle_events(self, session: S) -> bool:
        """Handle frames; return whether the next ones have to wait for an answer."""
        login, after_login = self._handlers
        connection = self._connection
        while connection.lines and (frame := connection.next_event()) is not None:
            identity = session.identity
            if identity is not None:
                if after_login[type(frame)](session, identity, frame):
                    self.pending += 1
            elif isinstance(frame, frames.Auth):
                login(session, frame)
            if self.pending >= _PENDING_LIMIT:
                self.throttled = True
            if self.throttled or self.requesting:
                break
        return self.throttled or self.requesting or (session.identity is None and connection.paused)

    def relieve(self) -> None:
        """Continue if enough messages were answered meanwhile."""
        if self.throttled and self.pending <= _PENDING_LIMIT // 2:
            self.throttled = False
            self._link.resume_reading()
            self.handle_frames()
