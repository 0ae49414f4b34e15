"""TLS on bytes: `ssl.SSLObject` over two `MemoryBIO`s.

asyncio's own TLS costs 283 KiB for an idle connection and uvloop's 24; this costs 17, does
several times as many messages a CPU-second, and lets fatal alerts out, which both of them
swallow (docs/design-choices.md). It does no I/O: `qscpd.net.link` moves the bytes.
"""

import contextlib
import ssl
from typing import Final

from qscp import ALPN
from qscpd.config import TlsConfig
from qscpd.setup.pki import check_pair

__all__ = ["TlsEngine", "TlsError", "server_context"]

_RECORD: Final = 16 * 1024
"""Bytes of plaintext in a TLS record at most (RFC 8446, section 5.1)."""

_SLICE: Final = 4 * 1024
"""Bytes handed to OpenSSL at once. Its buffers grow to the most that they ever held and never shrink, so
one long list of people at login would cost every idle connection its size for good."""


class TlsError(Exception):
    """The peer does not speak TLS as we do, or broke it; its text is for the log."""


def server_context(tls: TlsConfig) -> ssl.SSLContext:
    """Make a server's context: TLS 1.3 only, ALPN `qscp/1`, no session tickets.

    Raises:
        QscpdError: Certificate or key is missing, unreadable, unsafe, expired or no pair.
    """
    check_pair(tls.certificate, tls.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    # Two tickets at each login would be a third of its bytes, and a resumption saves
    # nothing beside the password check that follows it.
    context.num_tickets = 0
    # The client knows best whether its processor has AES; all three ciphers of TLS 1.3 are good.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(tls.certificate, tls.key)
    return context


class TlsEngine:
    """The server's side of one TLS connection.

    Attributes:
        established: Whether the handshake is done.
        peer_closed: Whether the peer sent `close_notify`: nothing more will come.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "established", "peer_closed")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        self.peer_closed = False

    def receive(self, data: bytes) -> bytes:
        """Take in bytes from the wire; afterwards send what `outgoing` has.

        Returns:
            The plaintext in them, possibly empty.

        Raises:
            TlsError: The connection is broken; an alert for the peer is in `outgoing`.
        """
        if len(data) <= _SLICE:
            return self._receive(data)
        return b"".join([self._receive(data[at : at + _SLICE]) for at in range(0, len(data), _SLICE)])

    def _receive(self, data: bytes) -> bytes:
        self._incoming.write(data)
        try:
            if not self.established:
                self._object.do_handshake()
                self.established = True
            return self._read()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            raise TlsError(error.reason or str(error)) from error

    def _read(self) -> bytes:
        incoming, read = self._incoming, self._object.read
        records: list[bytes] = []
        try:
            # Asking for more than there is costs an exception, so look first.
            while incoming.pending:
                record = read(_RECORD)
                if not record:
                    self.peer_closed = True
                    break
                records.append(record)
        except ssl.SSLWantReadError:  # the last record is not complete
            pass
        except ssl.SSLZeroReturnError:
            self.peer_closed = True
        return records[0] if len(records) == 1 else b"".join(records)

    def send(self, plaintext: bytes) -> bytes:
        """Encrypt and return the bytes for the wire, with whatever else was waiting to go out.

        Raises:
            TlsError: The handshake is not done, or the connection is broken.
        """
        write, outgoing = self._object.write, self._outgoing
        try:
            if len(plaintext) <= _SLICE:
                write(plaintext)
                return outgoing.read()
            records: list[bytes] = []
            for at in range(0, len(plaintext), _SLICE):
                write(plaintext[at : at + _SLICE])
                records.append(outgoing.read())
        except ssl.SSLError as error:
            raise TlsError(error.reason or str(error)) from error
        return b"".join(records)

    def outgoing(self) -> bytes:
        """Return and forget what TLS itself has to say: handshake, alerts, `close_notify`."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> bytes:
        """Return the last bytes for the wire: `close_notify`, if the handshake got that far."""
        # The peer's own close_notify is not waited for (RFC 8446, section 6.1).
        with contextlib.suppress(ssl.SSLError, ValueError):
            self._object.unwrap()
        return self.outgoing()

    @property
    def alpn(self) -> str | None:
        """The protocol that both sides agreed on."""
        return self._object.selected_alpn_protocol()

    @property
    def version(self) -> str:
        """Such as `TLSv1.3`."""
        return self._object.version() or ""

    @property
    def cipher(self) -> str:
        """Such as `TLS_AES_256_GCM_SHA384`."""
        cipher = self._object.cipher()
        return cipher[0] if cipher else ""
