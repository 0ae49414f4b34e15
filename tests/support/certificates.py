"""Certificates of every shape, made without the daemon's own code, and handshakes in memory with them."""

import contextlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificateIssuerPublicKeyTypes,
    PrivateKeyTypes,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qscpd.certificates.check import ServerCertificate
from qscpd.certificates.validity import Period, Validity
from qscpd.certificates.watch import CertificateWatch

__all__ = [
    "NAMES",
    "NOW",
    "Issued",
    "Shape",
    "certificate_with",
    "handshake_error",
    "key_pem",
    "make_ca",
    "make_leaf",
    "pem",
    "quiet_watch",
    "write_pair",
]

NOW: Final = datetime.now(UTC)
NAMES: Final = ("localhost", "chat.example.org", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes


@dataclass(frozen=True, slots=True)
class Shape:
    """What differs from a usual certificate.

    Attributes:
        days: Begin and end, in days from now.
        without: Extensions to leave out.
        extensions: Further extensions, which are critical.
        ca: Whether it says that it is a CA's.
        path_length: How many CAs can be below it.
        critical: Whether its basic constraints are critical.
        usages: Extended key usage of a server.
    """

    days: tuple[float, float] = (-2, 400)
    without: tuple[type[x509.ExtensionType], ...] = ()
    extensions: tuple[x509.ExtensionType, ...] = ()
    ca: bool = False
    path_length: int | None = None
    critical: bool = True
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH,)


USUAL: Final = Shape()


def make_ca(
    common_name: str,
    issuer: Issued | None = None,
    shape: Shape = USUAL,
    key: CertificateIssuerPrivateKeyTypes | None = None,
) -> Issued:
    """Make a CA, self-signed or below another one."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=shape.path_length), shape.critical),
        (_key_usage(signs_certificates=True), True),
    ]
    return _issue(common_name, key, issuer, extensions, shape)


def make_leaf(
    issuer: Issued | None,
    names: Sequence[str] = NAMES,
    key: CertificateIssuerPrivateKeyTypes | None = None,
    shape: Shape = USUAL,
    common_name: str = "localhost",
) -> Issued:
    """Make a server's certificate, self-signed without an issuer."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=shape.ca, path_length=None), shape.critical),
        (_key_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage(shape.usages), False),
    ]
    if names:
        extensions.append((x509.SubjectAlternativeName([_general_name(name) for name in names]), False))
    return _issue(common_name, key, issuer, extensions, shape)


def _issue(
    common_name: str,
    key: CertificateIssuerPrivateKeyTypes,
    issuer: Issued | None,
    extensions: list[tuple[x509.ExtensionType, bool]],
    shape: Shape,
) -> Issued:
    public, signer = _public(key), issuer.key if issuer is not None else key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer is not None else subject,
        subject,
        public,
        x509.random_serial_number(),
        NOW + timedelta(days=shape.days[0]),
        NOW + timedelta(days=shape.days[1]),
    )
    extensions = [
        *extensions,
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(_public(signer)), False),
        *((extension, True) for extension in shape.extensions),
    ]
    replaced = (*shape.without, *map(type, shape.extensions))
    for extension, critical in extensions:
        if not isinstance(extension, replaced) or extension in shape.extensions:
            builder = builder.add_extension(extension, critical)
    has_hash = isinstance(signer, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return Issued(builder.sign(signer, None if has_hash else hashes.SHA256()), key)


def _public(key: CertificateIssuerPrivateKeyTypes) -> CertificateIssuerPublicKeyTypes:
    return key.public_key()


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def pem(*issued: Issued) -> bytes:
    """Return certificates as the content of a file."""
    return b"".join(each.certificate.public_bytes(serialization.Encoding.PEM) for each in issued)


def key_pem(key: PrivateKeyTypes, passphrase: bytes = b"") -> bytes:
    """Return a key as the content of a file."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def write_pair(directory: Path, certificate: bytes, key: bytes, ca: bytes | None) -> tuple[Path, Path]:
    """Write the files of a pair, and `ca.pem` beside it; return the paths of certificate and key."""
    paths = directory / "server.pem", directory / "server.key"
    paths[0].write_bytes(certificate)
    paths[1].write_bytes(key)
    paths[1].chmod(0o600)
    if ca is not None:
        (directory / "ca.pem").write_bytes(ca)
    return paths


def handshake_error(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLError | None:
    """Make a handshake in memory; return the error of the side that failed first."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for turn in range(4):
        with contextlib.suppress(ssl.SSLWantReadError):
            try:
                ends[turn % 2].do_handshake()
            except ssl.SSLWantReadError:
                raise
            except ssl.SSLError as error:
                return error
    return None


def certificate_with(
    *periods: Period, faults: Sequence[str] = (), warnings: Sequence[str] = ()
) -> ServerCertificate:
    """Return a certificate without files, for what is said about it over time."""
    return ServerCertificate(
        context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        names=("localhost",),
        sha256="",
        validity=Validity(
            periods or (Period("server.pem", NOW - timedelta(1), NOW + timedelta(400), "renew"),)
        ),
        faults=tuple(faults),
        warnings=tuple(warnings),
    )


def quiet_watch() -> CertificateWatch:
    """Return the watch of a certificate that is valid for long."""
    return CertificateWatch(certificate_with())
