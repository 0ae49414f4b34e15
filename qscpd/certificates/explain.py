"""Why a certificate can't be served, or is refused by clients: sentences for the operator."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509

from qscpd.certificates.chain import (
    allows_intermediates,
    describe_key,
    find_extension,
    has_tls_key,
    has_weak_key,
    has_weak_signature,
    is_ca,
    is_for_other_purpose,
    lacks_authority_id,
)
from qscpd.certificates.pem import Entry, find_fault

Test = Callable[[x509.Certificate], bool]

MISSING_ID: Final = 85
"""OpenSSL's code for a certificate without the id of its issuer's key."""

_LISTED: Final = 3
"""Certificates of `ca.pem` that a sentence lists."""


def _is_not_ca(certificate: x509.Certificate) -> bool:
    return not is_ca(certificate)


def _has_no_key_usage(certificate: x509.Certificate) -> bool:
    return is_ca(certificate) and find_extension(certificate, x509.KeyUsage) is None


def _may_not_sign_certificates(certificate: x509.Certificate) -> bool:
    usage = find_extension(certificate, x509.KeyUsage)
    return usage is not None and not usage.key_cert_sign


def _has_optional_constraints(certificate: x509.Certificate) -> bool:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return extension.value.ca and not extension.critical


def _lacks_own_id(certificate: x509.Certificate) -> bool:
    return is_ca(certificate) and find_extension(certificate, x509.SubjectKeyIdentifier) is None


def _limits_path(certificate: x509.Certificate) -> bool:
    constraints = find_extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.path_length is not None


def _limits_names(certificate: x509.Certificate) -> bool:
    return find_extension(certificate, x509.NameConstraints) is not None


_NEW_CA: Final = "the CA needs a new certificate"
_NEW_SERVER: Final = "get a new one from its issuer"

_REFUSALS: Final[dict[int, tuple[int, Test, str, str]]] = {
    24: (1, _is_not_ca, "issued another one, and is no CA's", "use the certificate of the CA"),
    79: (1, _is_not_ca, "issued another one, and is no CA's", "use the certificate of the CA"),
    25: (1, _limits_path, "allows fewer CAs below it (path length)", "use a CA right below it"),
    26: (0, is_for_other_purpose, "is not for TLS servers ((extended) key usage)", "get one for serverAuth"),
    32: (1, _may_not_sign_certificates, "issued another one without the right to (key usage)", _NEW_CA),
    47: (1, _limits_names, "allows other names only (name constraints)", _NEW_SERVER),
    48: (1, _limits_names, "excludes a name of the server (name constraints)", _NEW_SERVER),
    66: (0, has_weak_key, "has a key that is too weak", "make a new key and certificate"),
    67: (1, has_weak_key, "has a key that is too weak", _NEW_CA),
    68: (0, has_weak_signature, "is signed with a hash that is too weak", "have it signed with SHA-256"),
    MISSING_ID: (
        0,
        lacks_authority_id,
        "lacks the id of its issuer's key (authorityKeyIdentifier)",
        _NEW_SERVER,
    ),
    86: (1, _lacks_own_id, "lacks the id of its key (subjectKeyIdentifier)", _NEW_CA),
    89: (1, _has_optional_constraints, "has basic constraints that are not critical", _NEW_CA),
    92: (1, _has_no_key_usage, "has no key usage", _NEW_CA),
}
"""By OpenSSL's X509_V_ERR_*: where to begin in the chain, which certificate, what of it, what to do."""


def explain_refusal(code: int, message: str, chain: Sequence[Entry]) -> str:
    """Return why a strict client refuses a chain: which certificate, what about it, and what to do.

    Args:
        code: OpenSSL's verify code.
        message: OpenSSL's own words, for a code that is not known here.
        chain: The server's certificate and its issuers.
    """
    unknown = (0, lambda _: True, f"is refused: {message}", _NEW_SERVER)
    begin, test, what, cure = _REFUSALS.get(code, unknown)
    blamed = next((each for each in chain[begin:] if test(each.certificate)), chain[0])
    return f"{blamed.where} {what}, so clients refuse the server; {cure}"


def explain_mismatch(entries: Sequence[Entry], key: Path, fitting: Entry | None) -> str:
    """Return which certificate is the one of a key, if any is; it is not the first one."""
    if fitting is not None:
        return (
            f"{fitting.where} is the one of the key {key}, so it has to be first in the file; move it there"
        )
    first = entries[0]
    return (
        f"{key}: does not match the certificate {first.path}, which begins with "
        f'"{first.subject}"; configure the files of one pair'
    )


def explain_weakness(entries: Sequence[Entry]) -> str | None:
    """Return which certificate has a key or a signature that clients refuse; None if there is none.

    Some versions of OpenSSL load them, and only the client refuses.
    """
    for each in entries:
        if has_weak_key(each.certificate):
            kind = describe_key(each.certificate)
            return f"{each.where} has a weak key ({kind}); make a key of 2048 bits or more, and a certificate"
        if has_weak_signature(each.certificate):
            return f"{each.where} is signed with a weak hash (SHA-1 or MD5); have it signed with SHA-256"
    return None


def explain_load(error: OSError, certificate: Path, key: Path) -> str:
    """Return what OpenSSL dislikes about a pair that could be parsed.

    Args:
        error: What OpenSSL raised.
        certificate: The file.
        key: File of the key.
    """
    for path, what in ((certificate, "certificate"), (key, "private key")):
        try:
            fault = find_fault(path, path.read_bytes(), what)
        except OSError as unreadable:
            return f"{path}: the {what} can't be read: {unreadable.strerror}"
        if fault:
            return f"{path}: can't be used: {fault}"
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return f"{certificate} and {key}: OpenSSL can't use them ({reason}); get new ones from their issuer"


def explain_handshake(reason: str, server: Entry) -> str:
    """Return why not even a client that verifies nothing can connect."""
    more = f": {reason}" if has_tls_key(server.certificate) else ""
    return (
        f"{server.where} has a key that TLS 1.3 can't use ({describe_key(server.certificate)}){more}; "
        "make a key on the curve P-256 (prime256v1), or RSA with 2048 bits, and a certificate for it"
    )


def explain_no_names(server: Entry) -> str:
    """Return why a certificate without names is of no use."""
    return (
        f"{server.where} has no name that clients verify: they look at subjectAltName, not at the common "
        "name; get one with the server's names"
    )


def explain_unknown_issuer(chain: Sequence[Entry]) -> str:
    """Return that the issuer is not in the server's file, when no `ca.pem` says who it is."""
    top = chain[-1]
    return (
        f'{top.where} was issued by "{top.issuer}", which is neither in the file nor a public CA of this '
        "machine; if it is an intermediate, append its certificate to the file, otherwise clients need it "
        "as --ca"
    )


def explain_authority(chain: Sequence[Entry], authority: Sequence[Entry]) -> str:
    """Return why clients with `ca.pem` don't get from the server's certificate to one that they trust."""
    top, path = chain[-1], authority[0].path
    for each in authority:
        if each.certificate == top.certificate:
            return (
                f"{each.where} is not a root CA's, so clients that have this file refuse the server; "
                f'put the certificate of "{each.issuer}" there'
            )
        if each.certificate.subject == top.certificate.issuer:
            return (
                f"{top.where} was issued by another CA of the same name as {each.where}, so clients that "
                "have this file refuse the server; put the right ca.pem there, or renew with `qscpd gencert`"
            )
    if not any(allows_intermediates(each.certificate) for each in authority):
        return (
            f'{top.where} was issued by "{top.issuer}", but {authority[0].where} is another CA, so clients '
            "that have this ca.pem refuse the server; put the right one there, or renew with `qscpd gencert`"
        )
    others = ", ".join(f'"{each.subject}"' for each in authority[:_LISTED])
    return (
        f'{top.where} was issued by "{top.issuer}", which is neither in that file nor in {path} '
        f"({others}), so clients that have this ca.pem refuse the server; if it is an intermediate, append "
        f"its certificate to {chain[0].path}, otherwise put the right ca.pem there"
    )
