"""The private certificate authority, the server's certificate, and the checks before they are used.

Four files lie in one directory: `ca.pem` is the one to hand out, `ca.key` signs and is
needed for `qscpd gencert` only, `server.pem` and `server.key` are what the daemon shows.
Extensions follow RFC 5280 so far that clients which verify strictly (Python 3.13) agree.
"""

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qscpd.errors import ConfigError, ExistsError, NotFoundError, PermissionDeniedError, UsageError
from qscpd.files import replace_file, write_new_file

__all__ = [
    "CA_LIFE",
    "SERVER_LIFE",
    "AuthorityFiles",
    "CertificateInfo",
    "certificate_names",
    "check_key_file",
    "check_names",
    "check_pair",
    "default_names",
    "make_authority",
    "make_server_certificate",
    "renew_server_certificate",
]

CA_LIFE: Final = timedelta(days=3653)
"""Ten years: replacing it means a visit to every client."""

SERVER_LIFE: Final = timedelta(days=825)
"""The longest that Apple's systems accept from a private authority. Nothing renews it by itself on a
network without internet, so it is not made shorter than it must be."""

_CLOCK_SKEW: Final = timedelta(days=1)
"""How far certificates are dated back, for clients whose clock or time zone is wrong."""

_COMMON_NAME_LIMIT: Final = 64
"""Characters in a common name (RFC 5280, ub-common-name)."""

_OPEN_TO_STRANGERS: Final = 0o027
"""Mode bits that a key must not have: group may read (`root:qscpd` 0640) but not write, others nothing."""

_DNS_NAME: Final = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_DNS_LIMIT: Final = 253


@dataclass(frozen=True, slots=True)
class AuthorityFiles:
    """Where the four files of a directory are."""

    directory: Path

    @property
    def ca_certificate(self) -> Path:
        """What clients need."""
        return self.directory / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """What signs."""
        return self.directory / "ca.key"

    @property
    def certificate(self) -> Path:
        """What the daemon shows."""
        return self.directory / "server.pem"

    @property
    def key(self) -> Path:
        """What proves that the certificate is the daemon's."""
        return self.directory / "server.key"


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """What is worth telling about a server's certificate."""

    names: tuple[str, ...]
    """Names and addresses that clients may use for the server."""
    not_after: datetime
    sha256: str
    """Fingerprint of the whole certificate, in lower-case hexadecimal digits."""


def check_names(names: Sequence[str]) -> None:
    """Check that a certificate can be for these names, before anything is made.

    Raises:
        UsageError: One is neither a DNS name nor an address.
    """
    for name in names:
        _general_name(name)


def default_names() -> tuple[str, ...]:
    """Names by which clients reach this machine without any set-up: itself, and its host name."""
    host = socket.gethostname().lower()
    hosts = [
        name
        for name in (host, host.partition(".")[0])
        if _DNS_NAME.fullmatch(name) and len(name) <= _DNS_LIMIT
    ]
    return tuple(dict.fromkeys(["localhost", *hosts, "127.0.0.1", "::1"]))


def certificate_names(path: Path) -> tuple[str, ...]:
    """Return the names and addresses that a certificate is for.

    Raises:
        ConfigError: The file can't be read, or has no certificate.
    """
    return _info(_load_certificate(path)).names


def make_authority(files: AuthorityFiles) -> None:
    """Make a new authority.

    Raises:
        ExistsError: There is one; what it signed would be worthless without it.
    """
    _refuse_existing(files.ca_certificate, files.ca_key)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"qscpd private CA of {socket.gethostname()}")
    builder = _builder(name, name, key.public_key(), CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(sign_certificates=True), critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
    )
    write_new_file(files.ca_key, _key_pem(key), mode=0o600)
    write_new_file(files.ca_certificate, _sign(builder, key), mode=0o644)


def make_server_certificate(files: AuthorityFiles, names: Sequence[str]) -> CertificateInfo:
    """Make the server's key and its first certificate.

    Args:
        files: Where the authority is, and the new files will be.
        names: DNS names and addresses of the server.

    Raises:
        ExistsError: There is one; `renew_server_certificate` replaces it.
        UsageError: A name is neither a DNS name nor an address.
    """
    _refuse_existing(files.certificate, files.key)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _issue(files, key, names)
    write_new_file(files.key, _key_pem(key), mode=0o600)
    write_new_file(files.certificate, certificate, mode=0o644)
    return check_pair(files.certificate, files.key)


def renew_server_certificate(
    files: AuthorityFiles, names: Sequence[str] = (), *, new_key: bool = False
) -> CertificateInfo:
    """Replace the server's certificate by one that is valid from now; the old one stays as `.old`.

    The key is kept unless asked otherwise: then one rename() is the whole change, and
    clients that pinned the key go on.

    Args:
        files: Where the authority and the old files are.
        names: As in `make_server_certificate`; none means those of the old certificate.
        new_key: Make a new key, too.

    Raises:
        NotFoundError: There is no authority here.
        UsageError: A name is neither a DNS name nor an address.
    """
    if not names:
        names = certificate_names(files.certificate) if files.certificate.exists() else default_names()
    if new_key or not files.key.exists():
        generated = ec.generate_private_key(ec.SECP256R1())
        certificate = _issue(files, generated, names)
        replace_file(files.key, _key_pem(generated), mode=0o600)
    else:
        certificate = _issue(files, _load_key(files.key), names)
    replace_file(files.certificate, certificate, mode=0o644)
    return check_pair(files.certificate, files.key)


def check_key_file(path: Path) -> bytes:
    """Read a private key that is closed to strangers.

    Raises:
        PermissionDeniedError: It can't be read by this user, or it can by too many.
        ConfigError: It is not there.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except PermissionError:
        raise PermissionDeniedError(f"{path}: this user may not read the private key") from None
    except OSError as error:
        raise ConfigError([f"{path}: the private key can't be read: {error.strerror}"]) from error
    if mode & _OPEN_TO_STRANGERS:
        raise PermissionDeniedError(
            f"{path}: the private key is open to other users (mode {mode & 0o777:04o}); "
            "close it with `chmod 600`, or with `chmod 640` if a group of the daemon's own must read it"
        )
    return content


def check_pair(certificate: Path, key: Path) -> CertificateInfo:
    """Check that a certificate and its key can be used just now.

    Raises:
        ConfigError: A file is missing or broken, they do not belong together, or the time is wrong.
        PermissionDeniedError: The key can't be read by this user, or it can by too many.
    """
    loaded = _load_certificate(certificate)
    if _load_key(key).public_key() != loaded.public_key():
        raise ConfigError(
            [f"{key}: does not belong to the certificate {certificate}; name the files of one pair"]
        )
    now = datetime.now(UTC)
    if now > loaded.not_valid_after_utc:
        raise ConfigError([f"{certificate}: expired on {loaded.not_valid_after_utc:%Y-%m-%d}; {_CURE}"])
    if now < loaded.not_valid_before_utc:
        begin = f"{loaded.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise ConfigError([f"{certificate}: is not valid before {begin}; check this machine's clock"])
    return _info(loaded)


_CURE: Final = "renew it with `qscpd gencert`, or get a new one from whoever issued it"


def _refuse_existing(*paths: Path) -> None:
    there = [str(path) for path in paths if path.exists()]
    if there:
        raise ExistsError(f"{' and '.join(there)}: there already; move it away if a new one should be made")


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_COMMON_NAME_LIMIT])])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
    builder = builder.not_valid_before(now - _CLOCK_SKEW).not_valid_after(now + life - _CLOCK_SKEW)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issue(files: AuthorityFiles, key: PrivateKeyTypes, names: Sequence[str]) -> bytes:
    """Sign a certificate for the server's key."""
    general_names = [_general_name(name) for name in dict.fromkeys(names)]
    if not files.ca_key.exists():
        raise NotFoundError(
            f"{files.ca_key}: there is no authority's key; make one with `qscpd init`, or name its directory"
        )
    authority, authority_key = _load_certificate(files.ca_certificate), _load_key(files.ca_key)
    rest_of_life = authority.not_valid_after_utc - datetime.now(UTC)
    if rest_of_life < _CLOCK_SKEW:
        raise ConfigError([f"{files.ca_certificate}: has expired; make a new authority with `qscpd init`"])
    public_key = key.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        authority_key, ec.EllipticCurvePrivateKey
    ):
        raise ConfigError([f"{files.directory}: the keys here were not made by `qscpd init`"])
    if authority_key.public_key() != authority.public_key():
        raise ConfigError([f"{files.ca_key}: does not belong to {files.ca_certificate}"])
    builder = _builder(_name(names[0]), authority.subject, public_key, min(SERVER_LIFE, rest_of_life))
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(sign_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(general_names), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ):
        builder = builder.add_extension(extension, critical)
    return _sign(builder, authority_key)


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general_name(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name)
        if "%" not in name:  # the zone of fe80::1%eth0 means something on one machine only
            return x509.IPAddress(address)
    lowered = name.lower()
    if _DNS_NAME.fullmatch(lowered) is None or len(name) > _DNS_LIMIT:
        raise UsageError(
            f"{name[:80]!r} is neither a DNS name nor an IP address; "
            "an international name must be in its xn-- form"
        )
    return x509.DNSName(lowered)


def _load_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate of a PEM file, which is the server's own."""
    try:
        content = path.read_bytes()
    except PermissionError:
        raise PermissionDeniedError(f"{path}: this user may not read the certificate") from None
    except OSError as error:
        raise ConfigError([f"{path}: the certificate can't be read: {error.strerror}"]) from error
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError:
        raise ConfigError([f"{path}: is not a PEM file with a certificate"]) from None


def _load_key(path: Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(check_key_file(path), password=None)
    except TypeError:
        raise ConfigError(
            [f"{path}: the private key has a passphrase, which a daemon can't ask for; store it without one"]
        ) from None
    except ValueError:
        raise ConfigError([f"{path}: is not a PEM file with a private key"]) from None


def _info(certificate: x509.Certificate) -> CertificateInfo:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return CertificateInfo(
        names=(
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        ),
        not_after=certificate.not_valid_after_utc,
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
    )
