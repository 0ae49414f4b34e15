"""One session: a peer's protocol state, identity and counters, on top of a link.

A session owns its `ServerConnection`. Input is handled at once. Output is queued and written at
the end of the loop's tick (`qscpd.sessions.output`).

    after login:  catching up --Replay.run--> live
    at the end:   open --close(graceful=True)--> draining --last answer of the store--> closed
                  open --close()--> closed
"""

import logging
import secrets
from collections.abc import Iterator, Sequence
from typing import Final

import structlog

from qscp import codec, frames
from qscp.connection import ServerConnection
from qscp.errors import ErrorCode, RemoteProtocolError
from qscp.states import State
from qscpd.net.link import Link
from qscpd.sessions.answers import last_frame
from qscpd.sessions.backlog import Backlog
from qscpd.sessions.identity import Identity
from qscpd.sessions.keepalive import KeepAlive
from qscpd.sessions.owner import HandlerTable, SessionOwner

_PENDING_LIMIT: Final = 1000
"""Unanswered messages of a session at which it is read no further, until half of them are answered."""

_OPEN: Final = (State.READY, State.DRAINING)

_log = structlog.stdlib.get_logger("qscpd.sessions.session")


class Session:
    """One connection that is, or can become, logged in.

    Attributes:
        id: For the session log and `auth_ack`.
        identity: The account and device; None before the login. Set by `Router.register`.
        status: The presence that this session asked for; set by its handler, with the text.
        text: The away text that goes with it.
        attempts: Failed logins so far.
        pending: Messages submitted to the store and not answered yet.
        live: Whether messages are sent as they are committed; set by the replay, like the backlog.
        backlog: What the session missed, from its first `resume` until it has all of it.
        refused: Whether the store refused a message of the session.
        closed: Whether the session has ended; its link may linger.
        messages_in: Messages sent by this session and stored.
        messages_out: Messages delivered to this session.
        frames_out: Frames sent.
        opened: Loop time of the handshake's end.
        typed: Loop time of its last typing indicator.
    """

    __slots__ = (
        "_closing_code",
        "_frozen",
        "_handlers",
        "_keepalive",
        "_output",
        "_owner",
        "_pages",
        "_queued",
        "_requesting",
        "_stale_presence",
        "_throttled",
        "attempts",
        "backlog",
        "closed",
        "connection",
        "frames_out",
        "id",
        "identity",
        "link",
        "live",
        "messages_in",
        "messages_out",
        "opened",
        "pending",
        "refused",
        "status",
        "text",
        "typed",
    )

    def __init__(self, owner: SessionOwner["Session"], handlers: HandlerTable["Session"], link: Link) -> None:
        self._owner = owner
        self._handlers = handlers
        self._output = owner.output
        self.link = link
        self.connection = ServerConnection()
        self.id = secrets.token_hex(8)
        self.identity: Identity | None = None
        self.status: frames.Status = "online"
        self.text = ""
        self.attempts = self.pending = 0
        self.messages_in = self.messages_out = self.frames_out = 0
        self.opened = link.last_in
        self._keepalive = KeepAlive(link.last_in)
        self.closed = self.live = self.refused = False
        self.typed = float("-inf")
        self.backlog: Backlog | None = None
        self._requesting = self._throttled = self._frozen = False
        self._queued: list[bytes] = []
        self._pages: Iterator[bytes] | None = None
        self._stale_presence = False
        self._closing_code: ErrorCode | None = None

    @property
    def frames_in(self) -> int:
        """Frames received."""
        return self.connection.frames_in

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

    def receive(self, plaintext: bytes) -> None:
        """Handle every frame that has come in."""
        self.handle_frames(plaintext)

    def receive_eof(self) -> None:
        """Answer what is under way, then close: the peer sends nothing more."""
        self.connection.receive_eof()
        self.handle_frames()

    def writable(self) -> None:
        """Continue with pages that waited for the peer."""
        if self.backlog is not None:
            self.backlog.writable()
        if self._stale_presence and self.identity is not None:
            self._stale_presence = False
            self._pages = self._owner.presence_pages(self.identity)
        if self._pages is not None:
            self._output.add(self)

    def lost(self, reason: str) -> None:
        """End: the link is gone."""
        self.closed = True
        self._pages = None
        if self.backlog is not None:
            self.backlog.writable()  # It must not wait for a peer that is gone.
        self._owner.link_lost(self, reason)
        self._skip_refused()

    def tick(self, now: float) -> None:
        """Ping a silent peer; end one that does not answer or never logs in."""
        config = self._owner.config
        if self.identity is None:
            if now - self.opened >= config.login.timeout_s and not self.connection.paused:
                self.close(ErrorCode.LOGIN_TIMEOUT, error=True)
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
            self._queue(self.connection.data_to_send(), 1)

    def send_lines(self, lines: Sequence[bytes]) -> None:
        """Queue encoded frames of a logged-in session; a closed one drops them."""
        if lines and self.connection.state in _OPEN:
            self._queue(b"".join(lines), len(lines))

    def send_all(self, batch: Sequence[frames.ServerFrame]) -> None:
        """Queue frames of a logged-in session, encoded together; a closed one drops them."""
        if batch and self.connection.state in _OPEN:
            self._queue(codec.encode_lines(batch), len(batch))

    def send_messages(self, batch: Sequence[frames.ServerFrame]) -> None:
        """Queue delivered messages, encoded together."""
        self.messages_out += len(batch)
        self.send_all(batch)

    def send_message_lines(self, lines: Sequence[bytes]) -> None:
        """Queue encoded messages."""
        self.messages_out += len(lines)
        self.send_lines(lines)

    def send_answers(
        self, answers: Sequence[frames.ServerFrame], *, stored: int, blocks: bool = False
    ) -> bool:
        """Queue the store's answers to messages; return whether `resume` has to follow.

        Args:
            answers: One for each message.
            stored: How many of them are newly stored.
            blocks: Whether later messages wait for a refused one.
        """
        self.pending -= len(answers)
        self.messages_in += stored
        self.refused |= blocks
        self.send_all(answers)
        return self.closed or self._throttled or self._closing_code is not None or self.connection.eof

    def _queue(self, payload: bytes, count: int) -> None:
        """Queue encoded frames; a closed session drops them."""
        if not self.closed:
            self._queued.append(payload)
            self.frames_out += count
            self._output.add(self)

    def deliver(self, conversation: int, seq: int, line: bytes) -> None:
        """Deliver a committed message: now to a live session, after the rest to one that is catching up.

        A session that has not resumed gets nothing: the store has the message for it.
        """
        if self.live:
            self.send_message_lines((line,))
        elif self.backlog is not None:
            self.backlog.buffer(conversation, seq, line)

    def deliver_all(self, conversation: int, messages: Sequence[tuple[int, bytes]], payload: bytes) -> None:
        """Deliver several messages; they are written at once if nothing is queued before them.

        Args:
            conversation: Their conversation.
            messages: Seq and line of each.
            payload: All lines, joined once for all sessions that get them.
        """
        if self.live and not self.closed and not self._queued:
            self.frames_out += len(messages)
            self.messages_out += len(messages)
            self.link.write(payload)
        else:
            for seq, line in messages:
                self.deliver(conversation, seq, line)

    def stream(self, pages: Iterator[bytes]) -> None:
        """Send frames that are made one by one, each when the peer took the one before."""
        self._pages = pages
        self._output.add(self)

    def send_presence(self, lines: list[bytes]) -> None:
        """Queue presence changes; a congested peer gets a snapshot later instead."""
        if self.link.congested:
            self._stale_presence = True
        else:
            self.send_lines(lines)

    def flush(self) -> None:
        """Write everything that is queued, and as many pages as the peer has room for."""
        if self._queued:
            self.link.write(b"".join(self._queued))
            self._queued.clear()
        if self._pages is not None:
            self._write_pages(self._pages)

    def _write_pages(self, pages: Iterator[bytes]) -> None:
        while not self.link.congested and not self.closed:
            page = next(pages, None)
            if page is None:
                self._pages = None
                return
            self.frames_out += 1
            self.link.write(page)

    # --- input

    def begin_request(self) -> None:
        """Handle no more frames until `end_request`."""
        self._requesting = True

    def end_request(self) -> None:
        """Continue with the frames that came in meanwhile, unless the session is ending."""
        self._requesting = False
        if not self.closed and not self._frozen and self._closing_code is None:
            self.link.resume_reading()
            self.handle_frames()

    def freeze(self) -> None:
        """Handle nothing more: another session of the device is about to replace this one."""
        self._frozen = True
        self.link.pause_reading()

    def handle_frames(self, plaintext: bytes = b"") -> None:
        """Handle the frames that have come in, unless something has to finish first.

        Args:
            plaintext: What has come in since the last call.
        """
        if self._throttled or self._frozen or self._requesting:
            self.connection.receive_data(plaintext)
            return
        try:
            waiting = self._handle_events(plaintext)
        except RemoteProtocolError as error:
            self.report(_log, "session.violation", code=error.code, where=error.detail)
            self._queue(self.connection.data_to_send(), 1)
            self.close(reason=error.code)
            return
        except Exception as error:  # noqa: BLE001 - a bug of ours ends one session, not the daemon
            self.report(_log, "session.bug", level=logging.ERROR, exc_info=error)
            self.close(ErrorCode.INTERNAL, error=True)
            return
        if waiting:
            self.link.pause_reading()
        elif self.connection.eof:
            self.close(graceful=True)

    def _handle_events(self, plaintext: bytes) -> bool:
        """Handle frames; return whether the next ones have to wait for an answer."""
        login, after_login = self._handlers
        connection = self.connection
        connection.receive_data(plaintext)
        while connection.lines and (frame := connection.next_event()) is not None:
            identity = self.identity
            if identity is not None:
                if after_login[type(frame)](self, identity, frame):
                    self.pending += 1
            elif isinstance(frame, frames.Auth):
                login(self, frame)
            if self.pending >= _PENDING_LIMIT:
                self._throttled = True
            if self._throttled or self._requesting:
                break
        return self._throttled or self._requesting or (self.identity is None and connection.paused)

    def resume(self) -> None:
        """Continue with what waited for answers of the store: the end, or frames that came in meanwhile."""
        if self.closed:
            self._skip_refused()
        elif self._frozen:
            return
        elif self._closing_code is not None:
            self.close(graceful=True)
        elif self._throttled and self.pending <= _PENDING_LIMIT // 2:
            self._throttled = False
            self.link.resume_reading()
            self.handle_frames()
        elif self.connection.eof and not self._throttled and not self._requesting:
            self.close(graceful=True)

    # --- the end

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
                return
        if self.closed:
            return
        if code is not None and self.connection.state is not State.CLOSED:
            self.send(last_frame(code, error=error))
        reason = reason or code or "lost"
        self.closed = True
        self._owner.unregister(self, reason)
        self.flush()
        self.link.close(reason)

    def _skip_refused(self) -> None:
        """After the end: let nothing wait for messages of this session that were refused.

        Only after the last answer. Until then, messages in flight must not overtake the refused
        ones, which the peer sends again on its next connection.
        """
        if self.refused and not self.pending:
            self._owner.skip_refused(self)
