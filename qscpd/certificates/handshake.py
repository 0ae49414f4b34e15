"""The daemon's TLS context, and handshakes with it in memory, as a strict client makes them."""

import contextlib
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from qscp import ALPN

_WRONG_NAME: Final = frozenset((62, 64))
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""

_HOSTS: Final = 100
"""Most names of a certificate that are tried."""

_FLIGHTS: Final = 4
"""Turns of the two sides: a handshake of TLS 1.3 needs three."""


class NoUsableNameError(Exception):
    """No client can connect by any of the names."""


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the daemon's context: TLS 1.3 only, ALPN `qscp/1`, no session tickets.

    Raises:
        ssl.SSLError: OpenSSL can't use the files.
        OSError: They can't be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    # Two tickets would be a third of a login's bytes, and resumption saves nothing
    # compared with the password check that follows.
    context.num_tickets = 0
    # Only the client knows whether its processor has AES; all three ciphers of TLS 1.3 are good.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    # Without a password, OpenSSL would ask the terminal for the passphrase of a key.
    context.load_cert_chain(certificate, key, password="")
    return context


def trust_nothing() -> ssl.SSLContext:
    """Return the context of a client that verifies nothing, only to see whether TLS works."""
    context = _client()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trust_system() -> ssl.SSLContext:
    """Return the context of a client that trusts the public CAs of this machine."""
    context = _client()
    # A variable or a file of this machine that OpenSSL can't read is no fault of the certificate.
    with contextlib.suppress(ssl.SSLError, OSError):
        context.load_default_certs()
    return context


def trust(pem: str, *, as_anchors: bool = False) -> ssl.SSLContext:
    """Return the context of a client that trusts the certificates of a text, as `qscp-client --ca` does.

    Args:
        pem: What is trusted.
        as_anchors: Whether a chain can end at one that another CA issued.

    Raises:
        ssl.SSLError: OpenSSL can't load them.
    """
    context = _client()
    if as_anchors:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem)
    return context


def try_handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, names: Sequence[str]
) -> ssl.SSLError | None:
    """Make a handshake in memory; return why it failed, or None.

    Args:
        server: The daemon's context.
        client: The client's context.
        names: Names of the certificate, of which the first usable one is connected to.

    Raises:
        NoUsableNameError: The certificate is not valid for any of them.
    """
    if not client.check_hostname:
        return _handshake(server, client, None)
    for name in names[:_HOSTS]:
        # A client connects to a host under a wildcard.
        host = name.replace("*", "any", 1)
        try:
            error = _handshake(server, client, host)
        except ValueError:  # no host name at all, such as "" or ".example"
            continue
        if not (isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _WRONG_NAME):
            return error
    raise NoUsableNameError


def _client() -> ssl.SSLContext:
    """Return the context of a strict client, as of `qscp_client.net.tls`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    context.set_alpn_protocols([ALPN])
    return context


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str | None) -> ssl.SSLError | None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for turn in range(_FLIGHTS):
        try:
            sides[turn % 2].do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError as error:
            return error
    return None
