"""One session: a peer's protocol state, identity and counters, on top of a link.

A session owns its `ServerConnection`. Its input is `qscpd.sessions.inbound`, its output is queued by its
`Outbound`.

    after login:  catching up --Replay.run--> live
    at the end:   open --close(graceful=True)--> draining --last answer of the store--> closed
                  open --close()--> closed
"""

import logging
import secrets
from collections.abc import Sequence

import structlog

from qscp import codec, frames
from qscp.connection import ServerConnection
from qscp.errors import ErrorCode, RemoteProtocolError
from qscp.states import State
from qscpd.net.link import Link
from qscpd.net.pause import Pause
from qscpd.sessions.answers import last_frame
from qscpd.sessions.identity import Identity
from qscpd.sessions.inbound import Inbound
from qscpd.sessions.keepalive import KeepAlive
from qscpd.sessions.outbound import Outbound
from qscpd.sessions.owner import HandlerTable, SessionOwner

_log = structlog.stdlib.get_logger("qscpd.sessions.session")


class Session:
    """One connection that is, or can become, logged in.

    Attributes:
        id: For the session log and `auth_ack`.
        outbound: Its queued output.
        identity: The account and device; None before the login. Set by `Router.register`.
        status: The presence that this session asked for; set by its handler, with the text.
        text: The away text that goes with it.
        attempts: Failed logins so far.
        inbound: Its input.
        receive: Handles plaintext that has come in; called by the link, once per read.
        refused: Whether the store refused a message of the session.
        messages_in: Messages sent by this session and stored.
        opened: Loop time of the handshake's end.
        typed: Loop time of its last typing indicator.
    """

    __slots__ = (
        "_closing_code",
        "_keepalive",
        "_owner",
        "attempts",
        "connection",
        "id",
        "identity",
        "inbound",
        "link",
        "messages_in",
        "opened",
        "outbound",
        "receive",
        "refused",
        "status",
        "text",
        "typed",
    )

    def __init__(self, owner: SessionOwner["Session"], handlers: HandlerTable["Session"], link: Link) -> None:
        self._owner = owner
        self.link = link
        self.connection = ServerConnection()
        self.outbound = Outbound(owner, self.connection, link)
        self.id = secrets.token_hex(8)
        self.identity: Identity | None = None
        self.status: frames.Status = "online"
        self.text = ""
        self.attempts = self.messages_in = 0
        self.opened = link.last_in
        self._keepalive = KeepAlive(link.last_in)
        self.refused = False
        self.typed = float("-inf")
        self.inbound = Inbound(self, handlers, owner.turns, owner.rates)
        self.receive = self.inbound.receive
        self.outbound.drained = self.inbound.after_output
        self._closing_code: ErrorCode | None = None

    @property
    def closed(self) -> bool:
        """Whether the session has ended; its link may linger."""
        return self.outbound.closed

    @property
    def frames_in(self) -> int:
        """Frames received."""
        return self.connection.frames_in

    @property
    def pending(self) -> int:
        """Messages, positions and skips that the store has not processed yet."""
        return self.inbound.pending

    @property
    def frames_out(self) -> int:
        """Frames sent."""
        return self.outbound.frames_out

    @property
    def messages_out(self) -> int:
        """Messages delivered to this session."""
        return self.outbound.messages_out

    def supports(self, feature: str) -> bool:
        """Return whether both sides support an optional part of the protocol."""
        return self.identity is not None and feature in self.identity.features

    def report(
        self, log: structlog.stdlib.BoundLogger, event: str, *, level: int = logging.INFO, **fields: object
    ) -> None:
        """Log what the peer has caused; a peer that causes much gets a count instead of lines."""
        account = self.identity.account if self.identity else None
        remote = self.link.remote[0]
        self._owner.peer_log.write(log, event, remote, account, level=level, session=self.id, **fields)

    # --- called by the link

    def receive_eof(self) -> None:
        """Answer what is under way, then close: the peer sends nothing more."""
        self.inbound.receive_eof()

    def writable(self) -> None:
        """Continue with output that waited for the peer."""
        self.outbound.writable()

    def lost(self, reason: str) -> None:
        """End: the link is gone."""
        self.inbound.close()
        self.outbound.lost()
        self._owner.link_lost(self, reason)
        self._skip_refused()

    def tick(self, now: float) -> None:
        """Ping a silent peer; end one that does not answer or never logs in."""
        config = self._owner.config
        if self.closed:
            return
        if self.identity is None:
            if now - self.opened >= config.login.timeout_s and not self.connection.paused:
                self.close(ErrorCode.LOGIN_TIMEOUT, error=True)
            return
        if self.link.paused:  # What we do not read is no silence of the peer.
            self.inbound.tick()
            return
        match self._keepalive.check(now, self.link.last_in, config.limits.ping_after_s):
            case "ping":
                self.send(frames.ServerPing())
            case "timeout":
                self.link.abort("ping_timeout")

    # --- output

    def send(self, frame: frames.ServerFrame) -> None:
        """Queue any frame; a closed session drops it.

        Raises:
            LocalProtocolError: The frame is not allowed in the state of the connection.
        """
        if not self.closed:
            self.connection.send(frame)
            self.outbound.answer(self.connection.data_to_send(), 1)

    def send_answers(
        self, answers: Sequence[frames.ServerFrame], *, stored: int, blocks: bool = False
    ) -> bool:
        """Queue the store's answers to messages; return whether `resume` has to follow.

        Args:
            answers: One for each message.
            stored: How many of them are newly stored.
            blocks: Whether later messages wait for a refused one.
        """
        self.inbound.pending -= len(answers)
        self.messages_in += stored
        self.refused |= blocks
        self.outbound.answer(codec.encode_lines(answers), len(answers))
        return (
            bool(self.link.paused)
            or self.connection.eof
            or self.outbound.closed
            or self._closing_code is not None
        )

    # --- the end

    def resume(self) -> None:
        """Continue with what waited for answers of the store: the end, or frames that came in meanwhile."""
        paused = self.link.paused
        if self.closed:
            self._skip_refused()
        elif Pause.REPLACED in paused:
            return
        elif self._closing_code is not None:
            self.close(graceful=True)
        elif Pause.ANSWERS in paused:
            self.inbound.relieve()
        elif self.connection.eof and not paused:
            self.close(graceful=True)

    def processed(self, count: int) -> None:
        """Note that the store has processed positions or skips of the session."""
        self.inbound.pending -= count
        self.resume()

    def violated(self, error: RemoteProtocolError) -> None:
        """End: the peer broke the protocol."""
        self.report(_log, "session.violation", code=error.code, where=error.detail)
        self.outbound.put(self.connection.data_to_send(), 1)
        self.close(reason=error.code)

    def failed(self, error: Exception) -> None:
        """End: a handler has a bug."""
        self.report(_log, "session.bug", level=logging.ERROR, exc_info=error)
        self.close(ErrorCode.INTERNAL, error=True)

    def close(
        self, code: ErrorCode | None = None, *, reason: str = "", error: bool = False, graceful: bool = False
    ) -> None:
        """End the session: write what is queued and a last frame, then close the link.

        Args:
            code: Sent to the peer in a `bye`; None if the peer gets no last frame.
            reason: For the session log; the code if empty, or `lost` without one.
            error: Send the code in an `error` instead: the peer did something wrong, or we did.
            graceful: Wait for the store's answers; the first code of such calls is sent.
        """
        if graceful:
            self._closing_code = self._closing_code or code
            code = self._closing_code
            if self.pending:
                self._owner.flush_marks()
                return
        if self.closed:
            return
        if code is not None and self.connection.state is not State.CLOSED:
            self.send(last_frame(code, error=error))
        reason = reason or code or "lost"
        self.inbound.close()
        self.outbound.closed = True
        self._owner.unregister(self, reason)
        self.outbound.finish(reason)

    def _skip_refused(self) -> None:
        """After the end: let nothing wait for messages of this session that were refused.

        Only after the last answer. Until then, messages in flight must not overtake the refused
        ones, which the peer sends again on its next connection.
        """
        if self.refused and not self.pending:
            self._owner.skip_refused(self)
