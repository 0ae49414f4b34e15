"""One TCP connection: transport, TLS, deadlines and bounded output.

A link does not know frames. It passes plaintext to its session, and sends the session's plaintext.

    connecting --handshake done--> open --close()--> lingering --peer's EOF, or 5 s--> gone
        |                           |                    |
        +---------------------------+----- abort() ------+--------------------------> gone
"""

import asyncio
import select
import ssl
from typing import Final, Protocol, cast

import structlog

from qscp import ALPN
from qscpd.config import Config
from qscpd.net.admission import Visitor
from qscpd.net.pause import Pause
from qscpd.net.peer_log import PeerLog
from qscpd.net.send_queue import unacknowledged
from qscpd.net.tls import TlsEngine, TlsError

HIGH_WATER: Final = 64 * 1024
"""Unsent bytes above which a link is congested: the session writes nothing more."""

_TURN_BYTES: Final = 16 * 1024
"""Received bytes that are decrypted at once; the rest waits for the session's next turn. They can be 700
TLS records, or a thousand frames."""

_LAST_OUTPUT_S: Final = 30.0
"""Time for which a session that has ended still sends what was queued; after that the link is cut."""

_LINGER_S: Final = 5.0
"""Time for which a closed link still reads and discards input. Closing a socket with unread input makes
the kernel send a reset, which can destroy our last output on its way (RFC 1122, 4.2.2.13)."""

_HUNG_UP: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
"""Events of poll(2); the first is Linux's."""

_log = structlog.stdlib.get_logger("qscpd.net.link")


class LinkSession(Protocol):
    """Interface of the session that a link needs."""

    def receive(self, plaintext: bytes) -> None:
        """Process plaintext from the peer."""

    def receive_eof(self) -> None:
        """Note that the peer will send nothing more."""

    def writable(self) -> None:
        """Resume output: the link is no longer congested."""

    def lost(self, reason: str) -> None:
        """Note that the link is gone; nothing can be sent any more."""

    def tick(self, now: float) -> None:
        """Check deadlines; called once a second."""


class LinkOwner(Protocol):
    """Interface of the listener that a link needs."""

    config: Config
    context: ssl.SSLContext
    peer_log: PeerLog

    def admit(self, link: "Link") -> bool:
        """Register a new link, or return False if it was evicted or the daemon is stopping."""

    def authenticated(self, link: "Link") -> None:
        """Note that the peer has logged in."""

    def open_session(self, link: "Link") -> LinkSession:
        """Create the session of a link after its handshake."""

    def schedule_handshake(self, link: "Link") -> None:
        """Call `proceed` when it is the link's turn; it has received a part of the handshake."""

    def forget(self, link: "Link") -> None:
        """Remove a link that is gone."""


class Link(asyncio.Protocol):
    """The daemon's end of a TCP connection.

    Attributes:
        remote: Address and port of the peer.
        congested: Whether more than `HIGH_WATER` bytes wait for the peer.
        paused: Reasons for which the peer's input is not read.
        undecrypted: Received bytes that wait for the session's next turn.
        last_in: Loop time since which the peer is silent: of the last byte, or when reading began again.
        bytes_in: Bytes received, as on the wire.
        bytes_out: Bytes sent or waiting to be sent, as on the wire.
        visitor: Its place in the counts of connections.
    """

    __slots__ = (
        "_closing",
        "_deadline",
        "_drained",
        "_drained_at",
        "_ending",
        "_eof",
        "_fin",
        "_loop",
        "_owner",
        "_reason",
        "_session",
        "_transport",
        "bytes_in",
        "bytes_out",
        "congested",
        "last_in",
        "paused",
        "remote",
        "tls",
        "undecrypted",
        "visitor",
    )

    def __init__(self, owner: LinkOwner, loop: asyncio.AbstractEventLoop, visitor: Visitor) -> None:
        self.visitor = visitor
        self._owner = owner
        self._loop = loop
        self._session: LinkSession | None = None
        self._reason = "lost"
        self._closing = False  # the session has ended; its last output is on the way
        self._ending = False
        self._eof = False  # the session knows that nothing more comes
        self._fin = False  # TCP received a FIN
        self._drained = 0
        self._drained_at = self.last_in = loop.time()
        self._deadline: float | None = self.last_in + owner.config.tls.handshake_timeout_s
        self.tls = TlsEngine(owner.context)
        self.remote = ("", 0)
        self.congested = False
        self.paused: set[Pause] = set()
        self.undecrypted = b""
        self.bytes_in = self.bytes_out = 0

    # --- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, or refuse it."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if peer:
            self.remote = peer[:2]
        if not self._owner.admit(self):
            self._ending = True
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        """Decrypt received bytes, and pass the plaintext to the session.

        A handshake costs a millisecond, so links without a session wait for their turn.
        """
        self.bytes_in += len(data)
        self.last_in = self._loop.time()
        if self._ending or self._eof:
            return
        if self._session is not None and not self.paused and not self.undecrypted:
            self._decrypt(data)
            return
        self.undecrypted += data
        if self._session is None:
            self._transport.pause_reading()
            self._owner.schedule_handshake(self)

    def proceed(self) -> None:
        """Continue the handshake."""
        if self._ending or self._transport.is_closing():
            return
        self._transport.resume_reading()
        while self._session is None and self.undecrypted:
            self.decrypt_more()

    def decrypt_more(self) -> None:
        """Decrypt the next part of what was received, and pass it to the session."""
        data, self.undecrypted = self.undecrypted, b""
        self._decrypt(data)

    def _decrypt(self, data: bytes) -> None:
        if len(data) > _TURN_BYTES:
            data, self.undecrypted = data[:_TURN_BYTES], data[_TURN_BYTES:]
        try:
            plaintext = self.tls.receive(data)
        except TlsError as error:
            self._fail(str(error))
            return
        if self._session is None:
            self._write(self.tls.outgoing())
            if not self.tls.established or not self._open():
                return
        session = cast("LinkSession", self._session)
        if self.tls.peer_closed:
            self.undecrypted = b""
        if plaintext or self.undecrypted:
            session.receive(plaintext)
        if (self.tls.peer_closed or (self._fin and not self.undecrypted)) and not self._ending:
            self._eof = True
            session.receive_eof()

    def eof_received(self) -> bool:
        """Note that the peer sends nothing more; earlier input is still answered."""
        if self._ending or self._session is None:
            return False
        self._fin = True
        if not self._eof and not self.undecrypted:
            self._eof = True
            self._session.receive_eof()
        return True

    def pause_writing(self) -> None:
        """Note that more than `HIGH_WATER` bytes are unsent."""
        self.congested = True

    def resume_writing(self) -> None:
        """Resume output: the peer has received most of it."""
        self.congested = False
        if self._session is not None and not self._ending:
            self._session.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify owner and session that the socket is closed."""
        del exc  # the reason matters only if we ended the link, and then it is in `_reason`
        self._owner.forget(self)
        self._ending = True
        session, self._session = self._session, None
        if session is not None:
            session.lost(self._reason)

    # --- called by the session

    def write(self, plaintext: bytes) -> None:
        """Encrypt and send, without waiting; the session writes little more once the link is congested."""
        if self._ending:
            return
        try:
            data = self.tls.send(plaintext)
        except TlsError as error:
            self._fail(str(error))
            return
        transport = self._transport
        if not transport.is_closing():
            self.bytes_out += len(data)
            transport.write(data)

    def authenticated(self) -> None:
        """Note that the peer has logged in."""
        self._owner.authenticated(self)

    def has_hung_up(self) -> bool:
        """Return whether the peer has closed its side, also while nothing is read."""
        connection = self._transport.get_extra_info("socket")
        if connection is None or self._transport.is_closing():
            return True
        poll = select.poll()
        poll.register(connection.fileno(), _HUNG_UP)
        return bool(poll.poll(0))

    @property
    def reason(self) -> str:
        """Why it ended or is about to; `lost` if it is up to the peer."""
        return self._reason

    def now(self) -> float:
        """Return the loop's clock in seconds."""
        return self._loop.time()

    def pause_reading(self, reason: Pause) -> None:
        """Stop reading until the reason is gone; TCP slows down the peer."""
        self.paused.add(reason)
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self, reason: Pause) -> None:
        """Read again, unless there is another reason not to."""
        self.paused.discard(reason)
        if not self.paused:
            self.last_in = self._loop.time()  # What we did not read is no silence of the peer.
            self._read_on()

    def _read_on(self) -> None:
        if not self._fin and not self._transport.is_closing():
            self._transport.resume_reading()

    def expect_close(self, reason: str) -> None:
        """Note that `close` follows when the peer has taken its last output; its time is limited."""
        if not self._ending and not self._closing:
            self._closing = True
            self._reason = reason
            self._deadline = self._loop.time() + _LAST_OUTPUT_S

    def close(self, reason: str) -> None:
        """Close gracefully: send all output, then `close_notify`, then the end of the stream."""
        if self._ending:
            return
        self._ending = True
        self.undecrypted = b""
        self._reason = reason
        self._deadline = self._loop.time() + _LINGER_S
        self._write(self.tls.close())
        if self._fin:  # no more input can come, so lingering is pointless
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.paused.clear()
        self._read_on()

    def abort(self, reason: str) -> None:
        """Close at once; unsent output is lost."""
        if not self._ending and not self._closing:
            self._reason = reason
        self._ending = True
        self._transport.abort()

    # --- called once a second

    def tick(self, now: float) -> None:
        """Check the deadlines of this link and its session."""
        if self._deadline is not None and now >= self._deadline:
            if self._session is None and not self._ending:
                self._owner.peer_log.write(_log, "link.timeout", self.remote[0], waiting_for="handshake")
            self.abort("handshake_timeout")
        elif self._stalled(now):
            self.abort("stalled")
        elif self._session is not None and not self._ending:
            self._session.tick(now)

    def _stalled(self, now: float) -> bool:
        """Return whether the peer has received none of the waiting output for too long."""
        waiting = self._transport.get_write_buffer_size()
        if waiting:
            waiting += unacknowledged(self._transport)
        drained = self.bytes_out - waiting
        if not waiting or drained != self._drained:
            self._drained = drained
            self._drained_at = now
        return now - self._drained_at >= self._owner.config.limits.output_stall_s

    # --- inside

    def _open(self) -> bool:
        if self.tls.alpn != ALPN:
            self._fail(f"no ALPN {ALPN}")
            return False
        self._deadline = None
        self._session = self._owner.open_session(self)
        return True

    def _fail(self, why: str) -> None:
        """Close after a TLS error with an alert; the session ends at once."""
        self._owner.peer_log.write(_log, "link.tls_failed", self.remote[0], reason=why)
        self.close("tls_failed")
        session, self._session = self._session, None
        if session is not None:
            session.lost("tls_failed")

    def _write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self.bytes_out += len(data)
            self._transport.write(data)
