"""One session: a peer's protocol state, identity and counters, on top of a link.

A session owns its `ServerConnection`. Input is handled at once; output is collected and goes
out once per loop tick (`qscpd.chat.router.Router.flush`), as one TLS record if it fits.
"""

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from qscp import codec, frames
from qscp.connection import ServerConnection
from qscp.errors import ERROR_CODES, ErrorCode, RemoteProtocolError
from qscp.states import State
from qscpd.domain.model import Account
from qscpd.net.link import Link
from qscpd.store.writer import PendingSkip

if TYPE_CHECKING:  # both are made of sessions, so they can't be imported here
    from qscpd.chat.router import Router
    from qscpd.sessions.replay import Replay

__all__ = ["Session"]

_PENDING_LIMIT: Final = 1000
"""Messages of a session that may wait for the store; it is not read further until half of them came back."""

_OPEN: Final = (State.READY, State.DRAINING)

_log = structlog.stdlib.get_logger("qscpd.sessions.session")


class Session:
    """One connection that may be, or become, logged in.

    Attributes:
        id: For the session log and `auth_ack`.
        account: Who it is, after login.
        status: The presence that this session asked for.
        text: The away text that goes with it.
        attempts: Failed logins so far.
        pending: Messages handed to the store and not answered yet.
        device: The device's id; empty for one that keeps nothing.
        features: The optional parts of the protocol that both sides know.
        live: Whether messages go out as they come; before that, `replay` holds them.
        replay: The way from login to live, once the device has said what it has.
        replaying: Whether the device has said all of it.
        refused: Whether a message of the session was refused by the store.
        messages_in: Messages sent by this session and stored.
        messages_out: Messages delivered to this session.
        frames_out: Frames sent.
        opened: Loop time of the handshake's end.
        typed: Loop time when it last said that its person is typing.
    """

    __slots__ = (
        "_asking",
        "_finish",
        "_frozen",
        "_held",
        "_pages",
        "_pinged_at",
        "_pings",
        "_stale_presence",
        "account",
        "attempts",
        "closed",
        "connection",
        "device",
        "features",
        "frames_out",
        "id",
        "link",
        "live",
        "messages_in",
        "messages_out",
        "opened",
        "pending",
        "refused",
        "replay",
        "replaying",
        "router",
        "status",
        "text",
        "typed",
    )

    def __init__(self, router: "Router", link: Link) -> None:
        self.router = router
        self.link = link
        self.connection = ServerConnection()
        self.id = secrets.token_hex(8)
        self.account: Account | None = None
        self.status: frames.Status = "online"
        self.text = ""
        self.attempts = self.pending = 0
        self.messages_in = self.messages_out = self.frames_out = 0
        self.opened = link.last_in
        self.closed = self.live = self.replaying = self.refused = False
        self.device = ""
        self.typed = float("-inf")
        self.features: frozenset[str] = frozenset()
        self.replay: Replay | None = None
        self._asking = False
        self._held = False
        self._frozen = False
        self._pings = 0
        self._pinged_at = link.last_in
        self._pages: Iterator[bytes] | None = None
        self._stale_presence = False
        self._finish: ErrorCode | None = None

    @property
    def name(self) -> str:
        """Who it is; empty before login."""
        return self.account.name if self.account else ""

    @property
    def frames_in(self) -> int:
        """Frames received."""
        return self.connection.frames_in

    # --- called by the link

    def receive(self, plaintext: bytes) -> None:
        """Handle every frame that has come in."""
        self.connection.receive_data(plaintext)
        self.handle_frames()

    def receive_eof(self) -> None:
        """The peer sends nothing more: answer what is under way, then close."""
        self.connection.receive_eof()
        self.handle_frames()

    def writable(self) -> None:
        """Go on with pages that were held back."""
        if self.replay is not None:
            self.replay.writable()
        if self._stale_presence and self.account is not None:
            self._stale_presence = False
            self._pages = self.router.presence.pages(self.account.name)
        if self._pages is not None:
            self.router.dirty.add(self)
            self.router.wake()

    def lost(self, reason: str) -> None:
        """The link is gone."""
        self.closed = True
        self._pages = None
        if self.replay is not None:
            self.replay.writable()  # it must not wait for a peer that is gone
        self.router.forget(self, reason)

    def tick(self, now: float) -> None:
        """Ping a silent peer, and end one that does not answer or never logs in."""
        config = self.router.config
        if self.account is None:
            if now - self.opened >= config.login.timeout_s and not self.connection.paused:
                self.fail(ErrorCode.LOGIN_TIMEOUT)
            return
        silence = now - self.link.last_in
        if self.link.last_in > self._pinged_at:
            self._pings = 0
        if silence < config.limits.ping_after_s * (self._pings + 1):
            return
        if self._pings == 2:  # noqa: PLR2004 - two unanswered pings, as the protocol says
            self.link.abort("ping_timeout")
            return
        self._pings += 1
        self._pinged_at = now
        self.send(frames.ServerPing())

    # --- called by handlers and router

    def send(self, frame: frames.ServerFrame) -> None:
        """Queue a frame; it leaves at the end of the tick."""
        if not self.closed:
            self.connection.send(frame)
            self.frames_out += 1
            self.router.dirty.add(self)
            self.router.wake()

    def send_lines(self, lines: list[bytes]) -> None:
        """Queue encoded frames; the caller has marked the session dirty."""
        if not self.closed and self.connection.state in _OPEN:
            self.connection.send_encoded(lines)
            self.frames_out += len(lines)

    def queue(self, batch: list[frames.ServerFrame | msgspec.Raw]) -> None:
        """Queue frames, encoded together; the caller has marked the session dirty."""
        if not self.closed and self.connection.state in _OPEN:
            self.connection.send_encoded((codec.encode_lines(batch),))
            self.frames_out += len(batch)

    def send_piece(self, piece: bytes, count: int) -> None:
        """Send some encoded messages to somebody who is logged in, in one piece, behind what is queued."""
        if self.closed:
            return
        self.frames_out += count
        self.messages_out += count
        if self in self.router.dirty:
            self.connection.send_encoded((piece,))
        else:
            self.link.write(piece)

    def push(self, lines: list[bytes]) -> None:
        """Queue encoded frames; they leave at the end of the tick."""
        if lines:
            self.send_lines(lines)
            self.router.dirty.add(self)
            self.router.wake()

    def go_live(self) -> None:
        """From now on messages go out as they come."""
        self.live = True
        self.replay = None

    def hold(self) -> None:
        """Handle no more frames until `release`: one is being answered."""
        self._asking = True

    def release(self) -> None:
        """Go on with the frames that came in meanwhile, unless nothing more is taken from the peer."""
        self._asking = False
        if not self.closed and not self._frozen and self._finish is None:
            self.link.resume_reading()
            self.handle_frames()

    def freeze(self) -> None:
        """Take nothing more from the peer: another session of its device comes in its place."""
        self._frozen = True
        self.link.pause_reading()

    def stream(self, pages: Iterator[bytes]) -> None:
        """Send frames that are made one by one, each when the peer took the one before."""
        self._pages = pages
        self.router.dirty.add(self)
        self.router.wake()

    def send_presence(self, lines: list[bytes]) -> None:
        """Queue presence changes; to a congested peer they are dropped and a snapshot follows."""
        if self.link.congested:
            self._stale_presence = True
        else:
            self.send_lines(lines)

    def fail(self, code: ErrorCode) -> None:
        """End the session with an `error`."""
        if not self.closed and self.connection.state is not State.CLOSED:
            self.send(frames.Error(code=code, message=ERROR_CODES[code].sentence))
        self.end(code)

    def say_bye(self, code: ErrorCode, reason: str = "") -> None:
        """End the session with a `bye`; only when the daemon ends should the client come back by itself.

        Args:
            code: What the peer hears.
            reason: What the session log says, if that is something else.
        """
        if not self.closed and self.connection.state is not State.CLOSED:
            reconnect = code in (ErrorCode.SHUTDOWN, ErrorCode.INTERNAL)
            self.send(frames.ServerBye(code, ERROR_CODES[code].sentence, reconnect))
        self.end(reason or code)

    def finish(self, code: ErrorCode | None) -> None:
        """Close once everything that was handled is answered; with `bye` if there is a code.

        None means that the peer just ended its stream: its session is lost, not left.
        """
        self._finish = self._finish or code
        if self.pending:
            return
        if self._finish is not None:
            self.say_bye(self._finish)
        else:
            self.end("lost")

    def end(self, reason: str) -> None:
        """Send what is queued, then close the link."""
        if not self.closed:
            self.closed = True
            self.router.left(self, reason)
            self.flush()
            self.link.close(reason)

    def answered(self, count: int) -> None:
        """The store came back with that many of this session's messages."""
        self.pending -= count
        if self.closed:
            self.give_up()
        if self.closed or self._frozen:
            return
        if self._finish is not None:
            self.finish(self._finish)
        elif self._held and self.pending <= _PENDING_LIMIT // 2:
            self._held = False
            self.link.resume_reading()
            self.handle_frames()
        elif self.connection.eof and not self._held and not self._asking:
            self.finish(None)

    def give_up(self) -> None:
        """Let nothing wait any more for messages of this session that were refused: it has ended.

        Only when the last one is answered: until then those that are on their way must not overtake the
        refused ones, which the peer sends again on its next connection.
        """
        if self.refused and not self.pending:
            self.router.submissions.submit(PendingSkip(self, None))

    def handle_frames(self) -> None:
        """Handle what has come in, as far as it may be handled now."""
        if self._held or self._frozen or self._asking:
            return
        connection, handle = self.connection, self.router.handlers
        try:
            for frame in connection.events():
                handle[type(frame)](self, frame)
                if self.pending >= _PENDING_LIMIT:
                    self._held = True
                if self._held or self._asking:
                    break
        except RemoteProtocolError as error:
            _log.info("session.violation", session=self.id, code=error.code, where=error.detail)
            self.frames_out += 1
            self.end(error.code)
            return
        except Exception as error:  # noqa: BLE001 - a bug of ours ends one session, not the daemon
            _log.error("session.bug", session=self.id, exc_info=error)
            self.fail(ErrorCode.INTERNAL)
            return
        if connection.paused or self._held or self._asking:
            self.link.pause_reading()
        elif connection.eof:
            self.finish(self._finish)

    def flush(self) -> None:
        """Write everything that is queued, and as many pages as the peer has room for."""
        data = self.connection.data_to_send()
        if data:
            self.link.write(data)
        if self._pages is not None:
            self._send_pages(self._pages)

    def _send_pages(self, pages: Iterator[bytes]) -> None:
        while not self.link.congested and not self.closed:
            page = next(pages, None)
            if page is None:
                self._pages = None
                return
            self.send_lines([page])
            self.link.write(self.connection.data_to_send())
