"""TLS on bytes: `ssl.SSLObject` over two `MemoryBIO`s.

asyncio's own TLS costs 283 KiB for an idle connection and uvloop's 24; this costs 17, does
several times as many messages per CPU second, and sends fatal alerts, which both of them
drop (docs/design-choices.md). It does no I/O: `qscpd.net.link` moves the bytes.
"""

import contextlib
import ssl
from typing import Final

from qscpd.certificates.check import ServerCertificate, check_pair
from qscpd.config import TlsConfig
from qscpd.setup.pki import check_authority_key

_RECORD: Final = 16 * 1024
"""Most bytes of plaintext in a TLS record (RFC 8446, section 5.1)."""

_SLICE: Final = 1024
"""Bytes passed to OpenSSL at once. Its buffers never shrink, so one long list of users at login would
cost every idle connection its size for good. With 4 KiB the two cost 8 KiB more."""

_BUSY_SLICE: Final = 4 * 1024
"""The same of a busy connection: more bytes at once cost less time."""

_BUSY_BYTES: Final = 2 * 1024 * 1024
"""Bytes in slices after which a connection is busy: more than a login in a large company has."""


class TlsError(Exception):
    """The peer violated TLS, or there are no common parameters; the text is for the log."""


def load_pair(tls: TlsConfig) -> ServerCertificate:
    """Return the certificate to serve, with its context.

    Raises:
        ConfigError: Certificate or key can't be read or used, or they don't match.
        PermissionDeniedError: This user can't read them, or others can read a key.
    """
    certificate = check_pair(tls.certificate, tls.key)
    check_authority_key(tls.certificate)
    return certificate


class TlsEngine:
    """Server side of one TLS connection.

    Attributes:
        established: Whether the handshake is done.
        peer_closed: Whether the peer sent `close_notify`, so that nothing more will come.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "_slice", "_sliced", "established", "peer_closed")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        self.peer_closed = False
        self._slice = _SLICE
        self._sliced = 0
        """Bytes that came or went in slices."""

    def receive(self, data: bytes) -> bytes:
        """Process bytes from the wire; afterwards send the bytes of `outgoing`.

        Returns:
            Their plaintext, possibly empty.

        Raises:
            TlsError: The connection is broken; an alert for the peer is in `outgoing`.
        """
        if len(data) <= self._slice:
            return self._receive(data)
        return b"".join([self._receive(part) for part in self._slices(data)])

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
            # Reading an empty buffer costs an exception, so check first.
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
        """Return encrypted bytes for the wire, including any pending TLS output.

        Raises:
            TlsError: The handshake is not done, or the connection is broken.
        """
        write, outgoing = self._object.write, self._outgoing
        try:
            if len(plaintext) <= self._slice:
                write(plaintext)
                return outgoing.read()
            records: list[bytes] = []
            for part in self._slices(plaintext):
                write(part)
                records.append(outgoing.read())
        except ssl.SSLError as error:
            raise TlsError(error.reason or str(error)) from error
        return b"".join(records)

    def _slices(self, data: bytes) -> list[bytes]:
        """Cut data into what OpenSSL gets at once; a connection with much of it is busy from then on."""
        self._sliced += len(data)
        if self._sliced >= _BUSY_BYTES:
            self._slice = _BUSY_SLICE
        return [data[at : at + self._slice] for at in range(0, len(data), self._slice)]

    def outgoing(self) -> bytes:
        """Return pending output of TLS itself (handshake, alerts, `close_notify`), and clear it."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> bytes:
        """Return the last bytes for the wire: `close_notify`, if the handshake got that far."""
        # No need to wait for the peer's own close_notify (RFC 8446, section 6.1).
        with contextlib.suppress(ssl.SSLError, ValueError):
            self._object.unwrap()
        return self.outgoing()

    @property
    def alpn(self) -> str | None:
        """The negotiated protocol."""
        return self._object.selected_alpn_protocol()

    @property
    def version(self) -> str:
        """TLS version, such as `TLSv1.3`."""
        return self._object.version() or ""

    @property
    def cipher(self) -> str:
        """Cipher, such as `TLS_AES_256_GCM_SHA384`."""
        cipher = self._object.cipher()
        return cipher[0] if cipher else ""
