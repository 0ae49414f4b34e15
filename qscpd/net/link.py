"""One TCP connection: its transport, its TLS, its deadlines and its bounded way out.

A link knows nothing of frames. It hands plaintext to its session and takes plaintext back.

    connecting --handshake done--> open --close()--> lingering --peer's EOF, or 5 s--> gone
        |                           |                    |
        +---------------------------+----- abort() ------+--------------------------> gone
"""

import asyncio
import ssl
from typing import Final, Protocol, cast

import structlog

from qscp import ALPN
from qscpd.config import Config
from qscpd.net.address_policy import shown_address
from qscpd.net.tls import TlsEngine, TlsError

__all__ = ["HIGH_WATER", "Link", "LinkOwner", "LinkSession"]

HIGH_WATER: Final = 64 * 1024
"""Unsent bytes above which nothing is made ahead for a peer: pages wait, presence is dropped."""

_LINGER_S: Final = 5.0
"""How long a closed link still reads and throws away. Closing a socket with unread input makes
the kernel send a reset, which can destroy our last words on their way (RFC 1122, 4.2.2.13)."""

_log = structlog.stdlib.get_logger("qscpd.net.link")


class LinkSession(Protocol):
    """What a link needs of the session on top of it."""

    def receive(self, plaintext: bytes) -> None:
        """Take in what the peer sent."""

    def receive_eof(self) -> None:
        """Note that the peer will send nothing more."""

    def writable(self) -> None:
        """The peer took what waited for it; go on with what was held back."""

    def lost(self, reason: str) -> None:
        """The link is gone; nothing can be sent any more."""

    def tick(self, now: float) -> None:
        """Look at deadlines, once a second."""


class LinkOwner(Protocol):
    """What a link needs of its listener."""

    config: Config
    context: ssl.SSLContext

    def admit(self, link: "Link") -> bool:
        """Count a new link in, unless there are too many or no more are wanted."""

    def open_session(self, link: "Link") -> LinkSession:
        """Make the session of a link whose handshake is done."""

    def let_in(self, link: "Link") -> None:
        """Something of a handshake has come in: call `proceed` when it is the link's turn."""

    def forget(self, link: "Link") -> None:
        """A link is gone."""


class Link(asyncio.Protocol):
    """The daemon's end of a TCP connection.

    Attributes:
        remote: Address and port of the peer.
        congested: Whether more than `HIGH_WATER` bytes wait for the peer.
        last_in: Loop time when the last byte came in.
        bytes_in: Bytes received, as on the wire.
        bytes_out: Bytes handed to the kernel or waiting for it, as on the wire.
    """

    __slots__ = (
        "_deadline",
        "_drained",
        "_drained_at",
        "_early",
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
        "remote",
        "tls",
    )

    def __init__(self, owner: LinkOwner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._session: LinkSession | None = None
        self._reason = "lost"
        self._ending = False
        self._eof = False  # the session was told that nothing more comes
        self._fin = False  # so said TCP, too
        self._early = b""  # of the handshake, until it is its turn
        self._drained = 0
        self._drained_at = self.last_in = loop.time()
        self._deadline: float | None = self.last_in + owner.config.tls.handshake_timeout_s
        self.tls = TlsEngine(owner.context)
        self.remote = ("", 0)
        self.congested = False
        self.bytes_in = self.bytes_out = 0

    # --- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer connected."""
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
        """Bytes came in: decrypt all of them, then let the session handle all of it.

        A handshake costs a millisecond, so those who are not in yet wait for their turn.
        """
        self.bytes_in += len(data)
        self.last_in = self._loop.time()
        if self._ending or self._eof:
            return
        if self._session is None:
            self._early += data
            self._transport.pause_reading()
            self._owner.let_in(self)
        else:
            self._take(data)

    def proceed(self) -> None:
        """Go on with the handshake."""
        early, self._early = self._early, b""
        if not self._ending and not self._transport.is_closing():
            self._transport.resume_reading()
            self._take(early)

    def _take(self, data: bytes) -> None:
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
        if plaintext:
            session.receive(plaintext)
        if self.tls.peer_closed and not self._ending:
            self._eof = True
            session.receive_eof()

    def eof_received(self) -> bool:
        """The peer sends nothing more; what it sent before is still answered."""
        if self._ending or self._session is None:
            return False
        self._fin = True
        if not self._eof:
            self._eof = True
            self._session.receive_eof()
        return True

    def pause_writing(self) -> None:
        """More than `HIGH_WATER` bytes wait."""
        self.congested = True

    def resume_writing(self) -> None:
        """The peer took most of it."""
        self.congested = False
        if self._session is not None and not self._ending:
            self._session.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        del exc  # why a peer vanished is its own affair; the reason is noted where we ended it
        self._owner.forget(self)
        self._ending = True
        session, self._session = self._session, None
        if session is not None:
            session.lost(self._reason)

    # --- called by the session

    def write(self, plaintext: bytes) -> None:
        """Encrypt and send; never waits. A peer with too much unsent output is cut."""
        if self._ending:
            return
        if (
            self.congested
            and self._transport.get_write_buffer_size() > self._owner.config.limits.output_queue_bytes
        ):
            self.abort("slow_peer")
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

    def now(self) -> float:
        """The loop's clock, in seconds."""
        return self._loop.time()

    def pause_reading(self) -> None:
        """Take no more input for now; TCP holds the peer back."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take input again."""
        if not self._fin and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self, reason: str) -> None:
        """End in order: what was written arrives, then `close_notify`, then the end of the stream."""
        if self._ending:
            return
        self._ending = True
        self._reason = reason
        self._deadline = self._loop.time() + _LINGER_S
        self._write(self.tls.close())
        if self._fin:  # nothing can come any more, so there is nothing to linger for
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.resume_reading()

    def abort(self, reason: str) -> None:
        """End now; what was not sent is lost."""
        if not self._ending:
            self._ending = True
            self._reason = reason
        self._transport.abort()

    # --- called once a second

    def tick(self, now: float) -> None:
        """Look at the deadlines of this link."""
        if self._deadline is not None and now >= self._deadline:
            if not self._ending:
                _log.info("link.timeout", remote=self._shown_remote(), waiting_for="handshake")
            self.abort("handshake_timeout")
        elif self._stalled(now):
            self.abort("stalled")
        elif self._session is not None and not self._ending:
            self._session.tick(now)

    def _stalled(self, now: float) -> bool:
        """Whether output waits and the peer took none of it for too long."""
        waiting = self._transport.get_write_buffer_size()
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

    def _shown_remote(self) -> str | None:
        return shown_address(self.remote[0], self._owner.config.log.addresses, failure=True)

    def _fail(self, why: str) -> None:
        """TLS went wrong: send its alert, and end; the session need not wait for the socket."""
        _log.info("link.tls_failed", remote=self._shown_remote(), reason=why)
        self.close("tls_failed")
        session, self._session = self._session, None
        if session is not None:
            session.lost("tls_failed")

    def _write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self.bytes_out += len(data)
            self._transport.write(data)
