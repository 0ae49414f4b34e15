"""Private certificate authority (CA), server certificate, and their checks.

Four files are in one directory: `ca.pem` goes to every client, `ca.key` signs and is only
needed by `qscpd gencert`, `server.pem` and `server.key` are the daemon's certificate.
Extensions follow RFC 5280, so that strict clients (Python 3.13) accept them.
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
from qscpd.permissions import check_key_if_exists, check_key_mode

CA_LIFE: Final = timedelta(days=3653)
"""Ten years: every client needs a new file when the CA changes."""

SERVER_LIFE: Final = timedelta(days=825)
"""Longest lifetime that Apple's systems accept from a private CA. Nothing renews it automatically on a
network without internet, so it is as long as possible."""

_CLOCK_SKEW: Final = timedelta(days=1)
"""Backdating of certificates, for clients whose clock or time zone is wrong."""

_COMMON_NAME_LIMIT: Final = 64
"""Characters in a common name (RFC 5280, ub-common-name)."""

_DNS_NAME: Final = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_DNS_LIMIT: Final = 253


@dataclass(frozen=True, slots=True)
class AuthorityFiles:
    """Paths of the four files in a directory."""

    directory: Path

    @property
    def ca_certificate(self) -> Path:
        """Certificate of the CA, for clients."""
        return self.directory / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """Private key of the CA."""
        return self.directory / "ca.key"

    @property
    def certificate(self) -> Path:
        """Certificate of the server."""
        return self.directory / "server.pem"

    @property
    def key(self) -> Path:
        """Private key of the server."""
        return self.directory / "server.key"


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """Summary of a server's certificate."""

    names: tuple[str, ...]
    """Names and addresses by which clients can reach the server."""
    not_after: datetime
    sha256: str
    """Fingerprint of the whole certificate, in lower-case hexadecimal digits."""


def check_names(names: Sequence[str]) -> None:
    """Check that the names are valid in a certificate.

    Raises:
        UsageError: One is neither a DNS name nor an address.
    """
    for name in names:
        _general_name(name)


def default_names() -> tuple[str, ...]:
    """Return this machine's own names: localhost, its addresses and its host name."""
    host = socket.gethostname().lower()
    hosts = [
        name
        for name in (host, host.partition(".")[0])
        if _DNS_NAME.fullmatch(name) and len(name) <= _DNS_LIMIT
    ]
    return tuple(dict.fromkeys(["localhost", *hosts, "127.0.0.1", "::1"]))


def certificate_names(path: Path) -> tuple[str, ...]:
    """Return the names and addresses of a certificate.

    Raises:
        ConfigError: The file can't be read, or contains no certificate.
    """
    return _info(_load_certificate(path)).names


def make_authority(files: AuthorityFiles) -> None:
    """Create a new CA.

    Raises:
        ExistsError: A CA exists; without it, its certificates would be worthless.
    """
    if files.ca_key.exists() and not files.ca_certificate.exists():
        raise ExistsError(
            f"{files.ca_key}: already exists, but ca.pem does not; {_without_ca_certificate(files)}"
        )
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
    """Create the server's key and its first certificate.

    Args:
        files: Paths of the CA and of the new files.
        names: DNS names and addresses of the server.

    Raises:
        ExistsError: A certificate exists; `renew_server_certificate` replaces it.
        UsageError: A name is neither a DNS name nor an address.
    """
    _refuse_existing(files.certificate, files.key)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _issue(files, key, names)
    write_new_file(files.key, _key_pem(key), mode=0o600)
    write_new_file(files.certificate, certificate, mode=0o644)
    return check_pair(files.certificate, files.key)


def renew_server_certificate(
    files: AuthorityFiles, names: Sequence[str] = (), *, new_key: bool = False, days: int | None = None
) -> CertificateInfo:
    """Replace the server's certificate by one that is valid from now; the old one becomes `.old`.

    By default the key is kept: then one rename() is the whole change, and clients that
    pinned the key still accept it.

    Args:
        files: Paths of the CA and of the old files.
        names: As in `make_server_certificate`; if empty, those of the old certificate.
        new_key: Create a new key too.
        days: How long it is valid from now; None for `SERVER_LIFE`, or for as long as the CA if that is less.

    Raises:
        NotFoundError: The CA's key was not found.
        PermissionDeniedError: A key is open to other users.
        UsageError: A name is neither a DNS name nor an address, or the CA ends before.
    """
    check_key_if_exists(files.key)  # its mode is kept, also for a new key
    if not names:
        names = certificate_names(files.certificate) if files.certificate.exists() else default_names()
    if new_key or not files.key.exists():
        generated = ec.generate_private_key(ec.SECP256R1())
        certificate = _issue(files, generated, names, days)
        replace_file(files.key, _key_pem(generated), mode=0o600)
    else:
        certificate = _issue(files, _load_key(files.key), names, days)
    replace_file(files.certificate, certificate, mode=0o644)
    return check_pair(files.certificate, files.key)


def check_key_file(path: Path) -> bytes:
    """Return the content of a private key file after checking its mode.

    Raises:
        PermissionDeniedError: This user can't read it, or other users can.
        ConfigError: It can't be read for another reason.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except PermissionError:
        raise PermissionDeniedError(f"{path}: this user has no permission to read the private key") from None
    except OSError as error:
        raise ConfigError([f"{path}: the private key can't be read: {error.strerror}"]) from error
    check_key_mode(path, mode)
    return content


def check_authority_key(certificate: Path) -> None:
    """Check the mode of a `ca.key` beside the server's certificate; the daemon itself does not use it.

    Raises:
        PermissionDeniedError: Other users can read or change it.
    """
    check_key_if_exists(AuthorityFiles(certificate.parent).ca_key)


def check_pair(certificate: Path, key: Path) -> CertificateInfo:
    """Check that a certificate and its key are usable now.

    Raises:
        ConfigError: A file is missing or invalid, they don't match, or the certificate is not valid now.
        PermissionDeniedError: This user can't read the key, or other users can.
    """
    loaded = _load_certificate(certificate)
    if _load_key(key).public_key() != loaded.public_key():
        raise ConfigError(
            [f"{key}: does not match the certificate {certificate}; configure the files of one pair"]
        )
    now = datetime.now(UTC)
    if now > loaded.not_valid_after_utc:
        raise ConfigError([f"{certificate}: expired on {loaded.not_valid_after_utc:%Y-%m-%d}; {_CURE}"])
    if now < loaded.not_valid_before_utc:
        begin = f"{loaded.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise ConfigError([f"{certificate}: is not valid before {begin}; check this machine's clock"])
    return _info(loaded)


_CURE: Final = "renew it with `qscpd gencert`, or get a new one from its issuer"


_NEW_CA: Final = (
    "make a new CA and give its ca.pem to every client, which refuses the server until then: move ca.pem, "
    "ca.key, server.pem and server.key away, and run `qscpd init --keep`"
)


def _refuse_existing(*paths: Path) -> None:
    existing = [str(path) for path in paths if path.exists()]
    if existing:
        raise ExistsError(f"{' and '.join(existing)}: already exists; move it to create a new one")


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


def _issue(
    files: AuthorityFiles, key: PrivateKeyTypes, names: Sequence[str], days: int | None = None
) -> bytes:
    """Return a signed certificate for the server's key."""
    general_names = [_general_name(name) for name in dict.fromkeys(names)]
    if not files.ca_key.exists():
        raise NotFoundError(
            f"{files.ca_key}: the CA's key was not found; put it back from a backup, "
            f"or run `qscpd gencert --certs DIR` where it is. If it is lost for good, {_NEW_CA}"
        )
    if not files.ca_certificate.exists():
        raise NotFoundError(_without_ca_certificate(files))
    authority, authority_key = _load_certificate(files.ca_certificate), _load_key(files.ca_key)
    rest_of_life = authority.not_valid_after_utc - datetime.now(UTC)
    if rest_of_life < _CLOCK_SKEW:
        raise ConfigError([f"{files.ca_certificate}: has expired; {_NEW_CA}"])
    public_key = key.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        authority_key, ec.EllipticCurvePrivateKey
    ):
        raise ConfigError(
            [f"{files.directory}: the keys are not of `qscpd init`; renew with the issuer instead"]
        )
    if authority_key.public_key() != authority.public_key():
        raise ConfigError(
            [f"{files.ca_key}: does not match {files.ca_certificate}; restore the files of one CA"]
        )
    life = min(SERVER_LIFE, rest_of_life) if days is None else timedelta(days) + _CLOCK_SKEW
    if life > rest_of_life + _CLOCK_SKEW:
        raise UsageError(f"the CA ends in {rest_of_life.days} days; use at most --days {rest_of_life.days}")
    builder = _builder(_name(names[0]), authority.subject, public_key, life)
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


def _without_ca_certificate(files: AuthorityFiles) -> str:
    return (
        f"{files.ca_certificate}: the CA's certificate was not found; put it back from a backup, "
        f"or from any client, which has the same file. If it is lost for good, {_NEW_CA}"
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general_name(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name)
        if "%" not in name:  # the zone of fe80::1%eth0 is valid on one machine only
            return x509.IPAddress(address)
    lowered = name.lower()
    if _DNS_NAME.fullmatch(lowered) is None or len(name) > _DNS_LIMIT:
        raise UsageError(
            f"{name[:80]!r} is neither a DNS name nor an IP address; "
            "write an international name in its xn-- form"
        )
    return x509.DNSName(lowered)


def _load_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate of a PEM file, which is the server's."""
    try:
        content = path.read_bytes()
    except PermissionError:
        raise PermissionDeniedError(f"{path}: this user has no permission to read the certificate") from None
    except OSError as error:
        raise ConfigError([f"{path}: the certificate can't be read: {error.strerror}"]) from error
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError:
        raise ConfigError([f"{path}: contains no certificate in PEM form"]) from None


def _load_key(path: Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(check_key_file(path), password=None)
    except TypeError:
        raise ConfigError(
            [f"{path}: the private key has a passphrase, which a daemon can't ask for; store it without one"]
        ) from None
    except ValueError:
        raise ConfigError([f"{path}: contains no private key in PEM form"]) from None


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
