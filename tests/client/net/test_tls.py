"""The TLS context, and the errors for failed handshakes."""

import ssl
from pathlib import Path

import pytest

from qscp_client.errors import ClientError, IncompatibleError, TrustError, UnreachableError
from qscp_client.net.address import ServerAddress
from qscp_client.net.tls import explain, make_context

SERVER = ServerAddress("chat.example.org")


def test_the_context_verifies_everything(ca_file: Path) -> None:
    """The context requires TLS 1.3, a valid chain and the right host name."""
    context = make_context(ca_file)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


def test_a_missing_ca_file_is_reported(tmp_path: Path) -> None:
    """A missing CA file is reported with what to do."""
    with pytest.raises(TrustError, match=r"can't be read: No such file .* Ask your operator"):
        make_context(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    "text", ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\x00\xff"]
)
def test_a_file_without_a_certificate_is_reported(text: str, tmp_path: Path) -> None:
    """A CA file without a certificate is reported, not raised as an OpenSSL error."""
    (tmp_path / "ca.pem").write_text(text, encoding="utf-8")
    with pytest.raises(TrustError, match="contains no certificate"):
        make_context(tmp_path / "ca.pem")


def verification_error(code: int) -> ssl.SSLCertVerificationError:
    """Return OpenSSL's error for a certificate."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    error.verify_message = "strange"
    return error


def handshake_error(reason: str) -> ssl.SSLError:
    """Return OpenSSL's error for a handshake."""
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "kind", "part"),
    [
        (verification_error(7), TrustError, "unknown issuer"),
        (verification_error(62), TrustError, "(wrong name). Connect by a name that is in the certificate"),
        (verification_error(9), TrustError, "not yet valid"),
        (verification_error(26), TrustError, "can't be verified: strange"),
        (handshake_error("TLSV1_ALERT_INTERNAL_ERROR"), TrustError, "refused the TLS handshake"),
        (handshake_error("TLSV1_ALERT_NO_APPLICATION_PROTOCOL"), IncompatibleError, "not QSCP/1"),
        (TimeoutError(), UnreachableError, "does not answer"),
        (
            OSError(101, "Network is unreachable"),
            UnreachableError,
            "can't be reached: Network is unreachable",
        ),
        (ConnectionResetError(), UnreachableError, "closed the connection"),
    ],
)
def test_every_failure_is_explained(error: OSError, kind: type[ClientError], part: str) -> None:
    """Each failure has its error class, its cause and the server's address."""
    explained = explain(error, SERVER, Path("ca.pem"))
    assert type(explained) is kind
    assert part in str(explained)
    assert "chat.example.org:7727" in str(explained)
