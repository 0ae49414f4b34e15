"""Chain of a server's certificate: who issued whom, and what a strict client dislikes about one of them."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from qscpd.certificates.pem import Entry

_LONGEST: Final = 16
"""Most certificates in a chain; clients of today accept about ten."""

_LEAST_RSA: Final = 2048
"""Bits of RSA and DSA keys that OpenSSL accepts at its security level 2."""

_WEAK_HASHES: Final = frozenset(("md5", "sha1"))

_TLS_CURVES: Final = frozenset(("secp256r1", "secp384r1", "secp521r1"))
"""Curves of keys in TLS 1.3 (RFC 8446, section 4.2.3), besides Ed25519 and Ed448."""

_HOST: Final = re.compile(
    r"(?:\*\.(?=[^.]+\.[^.]))?(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}", re.ASCII | re.IGNORECASE
)
"""Host names as OpenSSL compares them, and IPv4 addresses."""

ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)


def find_extension(certificate: x509.Certificate, kind: type[ExtensionT]) -> ExtensionT | None:
    """Return an extension of a certificate, if it has it."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names and addresses that clients can verify; the common name is none of them."""
    names = find_extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *map(str, names.get_values_for_type(x509.IPAddress)),
    )


def is_usable(name: str) -> bool:
    """Return whether clients can connect by a name; a wildcard is the whole first label, above two others."""
    return _HOST.fullmatch(name) is not None or ":" in name


def issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Return whether one certificate signed another."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Return whether a certificate is its own issuer, as that of a root CA is.

    As in OpenSSL, names and key ids decide: a root's own signature proves nothing, and might use an old hash.
    """
    if certificate.issuer != certificate.subject:
        return False
    own = find_extension(certificate, x509.SubjectKeyIdentifier)
    issuer = find_extension(certificate, x509.AuthorityKeyIdentifier)
    return own is None or issuer is None or issuer.key_identifier in (None, own.digest)


def find_chain(server: Entry, others: Sequence[Entry], now: datetime) -> list[Entry]:
    """Return a server's certificate with its issuers above it, as far as they are known.

    Args:
        server: The certificate of the server.
        others: Where issuers are looked for. The first that fits is taken, or the first that is valid.
        now: The time at which.
    """
    chain = [server]
    while len(chain) < _LONGEST and not is_self_signed(chain[-1].certificate):
        top = chain[-1].certificate
        used = [each.certificate for each in chain]
        issuers = [each for each in others if each.certificate not in used and issued(each.certificate, top)]
        if not issuers:
            break
        chain.append(next((each for each in issuers if _is_valid(each.certificate, now)), issuers[0]))
    return chain


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def find_unused(certificates: Sequence[Entry]) -> list[Entry]:
    """Return the certificates of a server's file that issued none of the others and are no copy of one."""
    kept: list[Entry] = []
    for each in certificates[1:]:
        others = [other.certificate for other in certificates if other.certificate != each.certificate]
        copies = [other for other in certificates if other.certificate == each.certificate]
        if len(copies) == 1 and not any(issued(each.certificate, other) for other in others):
            kept.append(each)
    return kept


def describe_key(certificate: x509.Certificate) -> str:
    """Return kind and size of a key, such as `RSA, 1024 bits`."""
    match certificate.public_key():
        case rsa.RSAPublicKey() as key:
            return f"RSA, {key.key_size} bits"
        case dsa.DSAPublicKey() as key:
            return f"DSA, {key.key_size} bits"
        case ec.EllipticCurvePublicKey() as key:
            return f"elliptic curve {key.curve.name}"
        case key:
            return type(key).__name__.removesuffix("PublicKey")


def has_weak_key(certificate: x509.Certificate) -> bool:
    """Return whether OpenSSL refuses the key for its size."""
    key = certificate.public_key()
    return isinstance(key, (rsa.RSAPublicKey, dsa.DSAPublicKey)) and key.key_size < _LEAST_RSA


def has_tls_key(certificate: x509.Certificate) -> bool:
    """Return whether a server can sign with the key in TLS 1.3."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in _TLS_CURVES
    return not isinstance(key, dsa.DSAPublicKey)


def has_weak_signature(certificate: x509.Certificate) -> bool:
    """Return whether the signature is made with a hash that is broken; a root's own does not count."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return not is_self_signed(certificate)
    return algorithm is not None and algorithm.name in _WEAK_HASHES and not is_self_signed(certificate)


def lacks_authority_id(certificate: x509.Certificate) -> bool:
    """Return whether the id of the issuer's key is missing, which RFC 5280 requires below a root."""
    return (
        not is_self_signed(certificate) and find_extension(certificate, x509.AuthorityKeyIdentifier) is None
    )


def is_for_other_purpose(certificate: x509.Certificate) -> bool:
    """Return whether the extended key usage excludes TLS servers."""
    usages = find_extension(certificate, x509.ExtendedKeyUsage)
    allowed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return usages is not None and not allowed & set(usages)


def can_not_sign_handshakes(certificate: x509.Certificate) -> bool:
    """Return whether the key usage excludes digital signatures, which TLS 1.3 is made of."""
    usage = find_extension(certificate, x509.KeyUsage)
    return usage is not None and not usage.digital_signature


def allows_intermediates(certificate: x509.Certificate) -> bool:
    """Return whether a CA lets another one issue certificates; that of `qscpd init` does not."""
    constraints = find_extension(certificate, x509.BasicConstraints)
    return constraints is None or constraints.path_length != 0


def is_ca(certificate: x509.Certificate) -> bool:
    """Return whether a certificate says that it is a CA's."""
    constraints = find_extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca
