"""Verification of servers, and explanations of failed connections.

A server is trusted if its certificate was issued by the private CA, for the host that the user named. Nothing
switches that off.
"""

import datetime as dt
import errno
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from qscp import ALPN
from qscp_client.errors import ClientError, IncompatibleError, TrustError, UnreachableError
from qscp_client.net.address import ServerAddress

_EXPIRED = 10
_NOT_YET_VALID = 9
_WRONG_NAMES = (62, 63, 64)  # host name, e-mail, IP address
_UNKNOWN_ISSUERS = (
    2,  # the issuer's certificate was not found
    7,  # signed by another CA of the same name
    18,  # self-signed
    19,  # self-signed at the top of the chain
    20,  # the issuer was not found on this machine
    21,  # the one certificate that came can't be verified
    30,  # the key ids of certificate and issuer differ
)
"""OpenSSL's X509_V_ERR_*, see `man openssl-verification-options`."""

_OLD_TLS = ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")
_NO_ALPN = ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "TLSV13_ALERT_NO_APPLICATION_PROTOCOL")


class RefusedCertificateError(ssl.SSLCertVerificationError):
    """A refused certificate, with all that the server sent.

    Attributes:
        sent: Certificates in DER form, the server's own first; empty if OpenSSL does not have them.
    """

    def __init__(self, error: ssl.SSLCertVerificationError, sent: Sequence[bytes]) -> None:
        super().__init__(*error.args)
        self.reason = error.reason
        self.verify_code = error.verify_code
        self.verify_message = error.verify_message
        self.sent = tuple(sent)


class _Session(ssl.SSLObject):
    """TLS session that keeps the certificates of a server that is refused."""

    def do_handshake(self) -> None:
        """Make the handshake.

        Raises:
            RefusedCertificateError: The server's certificate can't be verified.
        """
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise RefusedCertificateError(error, _sent_certificates(self)) from error


def _sent_certificates(session: ssl.SSLObject) -> list[bytes]:
    """Return the certificates that the peer sent in DER form."""
    # Only Python 3.13 made it public; before, it gives objects in place of bytes.
    owner = session if hasattr(session, "get_unverified_chain") else getattr(session, "_sslobj", None)
    read = getattr(owner, "get_unverified_chain", None)
    chain = read() if read is not None else None
    return [
        each if isinstance(each, bytes) else ssl.PEM_cert_to_DER_cert(each.public_bytes())
        for each in chain or ()
    ]


def make_context(ca: Path) -> ssl.SSLContext:
    """Return a context for connections: TLS 1.3, QSCP's ALPN, chain and name verified.

    Args:
        ca: File with the CA's certificate in PEM form.

    Raises:
        TrustError: The file can't be read, or has no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    context.hostname_checks_common_name = False  # a name only there is not one that the CA has checked
    context.sslobject_class = _Session
    context.set_alpn_protocols([ALPN])
    try:
        pem = ca.read_text(encoding="ascii", errors="ignore")  # comments can have any bytes
    except OSError as error:
        raise TrustError(
            f"The CA file {ca} can't be read: {error.strerror}. "
            "Ask your operator for ca.pem, and name it with --ca."
        ) from error
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise TrustError(
            f'The CA file {ca} contains no certificate (no valid "-----BEGIN CERTIFICATE-----" block). '
            "Ask your operator for ca.pem."
        ) from error
    return context


def explain(error: OSError | TimeoutError, server: ServerAddress, ca: Path) -> ClientError:
    """Return the error to show for a failed connection: the cause, and what to do.

    Args:
        error: The exception that connecting raised.
        server: The address that was connected to.
        ca: The CA file that was used.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return TrustError(_explain_certificate(error, server, ca))
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return _explain_handshake(error, server)
    return UnreachableError(_explain_network(error, server))


def _explain_certificate(error: ssl.SSLCertVerificationError, server: ServerAddress, ca: Path) -> str:
    # Only after a failure: the library of certificates takes its time.
    from qscp_client.net.certificates import SentChain  # noqa: PLC0415

    now = dt.datetime.now().astimezone()
    clock = f"This computer's clock says {now:%Y-%m-%d %H:%M %Z}"
    chain = SentChain(error.sent if isinstance(error, RefusedCertificateError) else (), ca)
    match error.verify_code:
        case code if code in _UNKNOWN_ISSUERS:
            return _explain_issuer(chain.missing_root(), chain.missing_intermediate(), server, ca)
        case code if code in _WRONG_NAMES:
            return _explain_names(chain.names(), server)
        case code if code in (_EXPIRED, _NOT_YET_VALID) and (issuer := chain.untimely(now)):
            return (
                f"The certificate of {server} can't be verified, because that of its issuer {issuer}. "
                f"{clock}. If that is right, ask the operator for a new certificate and the current ca.pem."
            )
        case code if code == _EXPIRED:
            return (
                f"The certificate of {server} has expired. {clock}. If that is right, "
                "ask the operator to renew the certificate (qscpd gencert)."
            )
        case code if code == _NOT_YET_VALID:
            return (
                f"The certificate of {server} is not yet valid. {clock}. "
                "Set the clock if it is wrong; otherwise ask the operator."
            )
        case _:
            return (
                f"The certificate of {server} can't be verified: {error.verify_message}. "
                "Ask the operator to make a new one (qscpd gencert)."
            )


def _explain_issuer(root: str, intermediate: str, server: ServerAddress, ca: Path) -> str:
    if root:
        return (
            f"The CA file {ca} does not have a root CA (unknown issuer). "
            f"Ask the operator for the certificate of {root}."
        )
    if intermediate:
        return (
            f"{server} does not send the certificate of {intermediate}, and {ca} does not have it either "
            "(missing intermediate, or unknown issuer). The operator must append it to the server's "
            "certificate. If it is no intermediate, ask for the current ca.pem. If yours is current, you may "
            "be talking to an impostor."
        )
    return (
        f"The certificate of {server} was not issued by the CA in {ca} (unknown issuer). "
        "Ask the operator for the current ca.pem. If yours is current, you may be talking to "
        "an impostor."
    )


def _explain_names(names: str | None, server: ServerAddress) -> str:
    wrong = f"The certificate of {server} is not for the name {server.certified} (wrong name)."
    add = f"the operator to add {server.certified} (qscpd gencert --name)."
    if names == "":
        return f"{wrong} It has no names that can be verified. Ask {add}"
    listed = "" if names is None else f" It is for: {names}."
    return f"{wrong}{listed} Connect by a name that is in the certificate (--server), or ask {add}"


def _explain_handshake(error: ssl.SSLError, server: ServerAddress) -> ClientError:
    reason = error.reason or ""
    if reason in _OLD_TLS:
        return IncompatibleError(
            f"{server} does not speak TLS 1.3, which QSCP needs. Check host and port (--server)."
        )
    if reason in _NO_ALPN or "alert number 120" in str(error):
        return IncompatibleError(
            f"{server} speaks TLS, but not QSCP/1. Check host and port (--server), "
            "and the version of the server."
        )
    if "ALERT" in reason:
        return TrustError(f"{server} refused the TLS handshake ({reason.lower()}). Ask the operator.")
    return UnreachableError(
        f"{server} does not speak TLS, so it is not a QSCP server. Check host and port (--server)."
    )


def _explain_name(server: ServerAddress) -> str:
    if server.zone:
        return (
            f"This computer has no network interface {server.zone}, which {server} names. "
            "List its interfaces (ip link), and write one of them after the %."
        )
    return f"The name {server.host} is not known here. Check its spelling and the network (DNS)."


def _explain_network(error: OSError | TimeoutError, server: ServerAddress) -> str:
    if isinstance(error, socket.gaierror):
        return _explain_name(server)
    # Where a name has several addresses, asyncio joins their errors into one text.
    if error.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return f"Nothing listens at {server}. Is the server running, and is the port right (--server)?"
    if isinstance(error, ConnectionAbortedError) and "handshake" in str(error):
        return (
            f"{server} accepted the connection, but did not answer the TLS handshake. "
            "Check host and port (--server). If they are right, the server is overloaded."
        )
    if isinstance(error, (ConnectionError, ssl.SSLEOFError)):
        return (
            f"{server} closed the connection during the TLS handshake. "
            "Check host and port (--server). If they are right, the server is full or stopping."
        )
    if isinstance(error, TimeoutError):
        return f"{server} does not answer. Check host, port (--server), network and firewall."
    return f"{server} can't be reached: {error.strerror or error}. Check host, port (--server) and network."
