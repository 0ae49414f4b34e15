"""Private certificate authority (CA), and the server certificates that it issues.

Four files are in one directory: `ca.pem` goes to every client, `ca.key` signs and is only
needed by `qscpd gencert`, `server.pem` and `server.key` are the daemon's certificate.
Extensions follow RFC 5280, so that strict clients (Python 3.13) accept them.
"""

import itertools
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qscpd.certificates.chain import find_extension, names_of
from qscpd.certificates.check import ServerCertificate, check_pair
from qscpd.certificates.pem import CA_CERTIFICATE, read_certificates, read_key
from qscpd.errors import ConfigError, ExistsError, NotFoundError, UsageError
from qscpd.files import FileChange, replace_files, write_new_files
from qscpd.permissions import check_key_if_exists
from qscpd.setup.names import NameChange, change_names, default_names, general_name

CA_LIFE: Final = timedelta(days=3653)
"""Ten years: every client needs a new file when the CA changes."""

SERVER_LIFE: Final = timedelta(days=825)
"""Longest lifetime that Apple's systems accept from a private CA. Nothing renews it automatically on a
network without internet, so it is as long as possible."""

_CLOCK_SKEW: Final = timedelta(days=1)
"""Backdating of certificates, for clients whose clock or time zone is wrong."""

_COMMON_NAME_LIMIT: Final = 64
"""Characters in a common name (RFC 5280, ub-common-name)."""


@dataclass(frozen=True, slots=True)
class AuthorityFiles:
    """Paths of the four files in a directory."""

    directory: Path

    @property
    def ca_certificate(self) -> Path:
        """Certificate of the CA, for clients."""
        return self.directory / CA_CERTIFICATE

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
class Renewal:
    """Result of renewing the server's certificate."""

    certificate: ServerCertificate
    names: NameChange
    old: tuple[Path, ...]
    """Where the files are that were replaced."""
    authority_end: datetime
    """When the CA ends."""

    def warnings(self) -> list[str]:
        """Return what is wrong with the new certificate, and whether the CA ends too soon for another one."""
        found = [*self.certificate.problems(datetime.now(UTC)), *self.certificate.warnings]
        if self.authority_end - datetime.now(UTC) < SERVER_LIFE:
            found.append(
                f"the CA ends on {self.authority_end:%Y-%m-%d}, and no certificate is valid for longer; "
                f"before that, {_NEW_CA}"
            )
        return found


def certificate_names(path: Path) -> tuple[str, ...]:
    """Return the names and addresses of a certificate.

    Raises:
        ConfigError: The file can't be read, or contains no certificate.
    """
    return names_of(read_certificates(path)[0].certificate)


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
    write_new_files((files.ca_key, _key_pem(key), 0o600), (files.ca_certificate, _sign(builder, key), 0o644))


def make_server_certificate(files: AuthorityFiles, names: Sequence[str]) -> ServerCertificate:
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
    write_new_files((files.key, _key_pem(key), 0o600), (files.certificate, certificate, 0o644))
    return check_pair(files.certificate, files.key)


def renew_server_certificate(
    files: AuthorityFiles,
    add: Sequence[str] = (),
    drop: Sequence[str] = (),
    *,
    new_key: bool = False,
    days: int | None = None,
) -> Renewal:
    """Replace the server's certificate by one that is valid from now; the old one gets a dated name.

    By default the key is kept: then one rename() is the whole change, and clients that
    pinned the key still accept it. Nothing is replaced before the new files are complete and checked.

    Args:
        files: Paths of the CA and of the old files.
        add: Names besides those of the old certificate; without one, besides this machine's own.
        drop: Names of the old certificate that the new one does not have.
        new_key: Create a new key too.
        days: How long it is valid from now; None for `SERVER_LIFE`, or for as long as the CA if that is less.

    Raises:
        NotFoundError: The CA's key was not found.
        PermissionDeniedError: A key is open to other users.
        UsageError: A name is neither a DNS name nor an address, can't be dropped, or the CA ends before.
    """
    check_key_if_exists(files.key)  # its mode is kept, also for a new key
    change = change_names(_present_names(files), add, drop)
    suffix = _free_suffix(files)
    changes: list[FileChange] = []
    if new_key or not files.key.exists():
        generated = ec.generate_private_key(ec.SECP256R1())
        certificate = _issue(files, generated, change.names, days)
        changes.append(_change(files.key, _key_pem(generated), suffix, mode=0o600))
    else:
        certificate = _issue(files, read_key(files.key), change.names, days)
    changes.append(_change(files.certificate, certificate, suffix, mode=0o644))
    old = replace_files(changes, partial(_check_new, files))
    return Renewal(
        certificate=check_pair(files.certificate, files.key),
        names=change,
        old=old,
        authority_end=_own_certificate(files.ca_certificate, read_key(files.ca_key)).not_valid_after_utc,
    )


def _present_names(files: AuthorityFiles) -> tuple[str, ...]:
    """Return the names of the old certificate, or of this machine if there is none."""
    if not files.certificate.exists():
        return default_names()
    try:
        return certificate_names(files.certificate) or default_names()
    except ConfigError as error:
        raise ConfigError(
            [f"{error}; its names can't be kept: move it away, and give all names with --name"]
        ) from None


def _free_suffix(files: AuthorityFiles) -> str:
    """Return a date for the names of the old files, with a number if one of that date exists."""
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    suffixes = (f".{date}" if at == 1 else f".{date}.{at}" for at in itertools.count(1))
    return next(
        suffix
        for suffix in suffixes
        if not any(os.path.lexists(f"{path}{suffix}") for path in (files.certificate, files.key))
    )


def _change(path: Path, content: bytes, suffix: str, *, mode: int) -> FileChange:
    return FileChange(path, content, mode, path.with_name(path.name + suffix))


def _check_new(files: AuthorityFiles, staged: Mapping[Path, Path]) -> None:
    """Check a new pair before it is in its place.

    Raises:
        ConfigError: No client could use it.
    """
    try:
        check_pair(staged[files.certificate], staged.get(files.key, files.key))
    except ConfigError as error:
        problems = error.problems
        for path, temporary in staged.items():
            problems = [each.replace(str(temporary), str(path)) for each in problems]
        raise ConfigError([f"{each}. Nothing was changed" for each in problems]) from None


def check_authority_key(certificate: Path) -> None:
    """Check the mode of a `ca.key` beside the server's certificate; the daemon itself does not use it.

    Raises:
        PermissionDeniedError: Other users can read or change it.
    """
    check_key_if_exists(AuthorityFiles(certificate.parent).ca_key)


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
    general_names = [general_name(name) for name in dict.fromkeys(names)]
    if not files.ca_key.exists():
        raise NotFoundError(
            f"{files.ca_key}: the CA's key was not found; put it back from a backup, "
            f"or run `qscpd gencert --certs DIR` where it is. If it is lost for good, {_NEW_CA}"
        )
    if not files.ca_certificate.exists():
        raise NotFoundError(_without_ca_certificate(files))
    authority_key = read_key(files.ca_key)
    authority = _own_certificate(files.ca_certificate, authority_key)
    now = datetime.now(UTC)
    if now < authority.not_valid_before_utc:
        begin = f"{authority.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        says = f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC; set the clock"
        raise ConfigError([f"{files.ca_certificate}: is not valid before {begin}, and {says}"])
    rest_of_life = authority.not_valid_after_utc - now
    if rest_of_life < _CLOCK_SKEW:
        what = "has expired" if rest_of_life < timedelta(0) else "expires within a day"
        raise ConfigError([f"{files.ca_certificate}: {what}; {_NEW_CA}"])
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
    identifier = find_extension(
        authority, x509.SubjectKeyIdentifier
    ) or x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(sign_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(general_names), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ):
        builder = builder.add_extension(extension, critical)
    return _sign(builder, authority_key)


def _own_certificate(path: Path, key: PrivateKeyTypes) -> x509.Certificate:
    """Return the certificate of a key; while clients change from one CA to another, `ca.pem` has two."""
    certificates = [each.certificate for each in read_certificates(path)]
    own = [each for each in certificates if each.public_key() == key.public_key()]
    return own[0] if own else certificates[0]


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
