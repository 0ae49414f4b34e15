"""Check of the daemon's certificate and key: whether they can be served, and whether clients accept them.

The daemon's own context makes handshakes in memory with a strict client. That client trusts `ca.pem`
beside the certificate, as users do. Without that file it trusts the public CAs of this machine, and
after that the last certificate of the chain, so that all but its issuer is verified.
"""

import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from qscp.hints import one_line
from qscpd.certificates.chain import (
    can_not_sign_handshakes,
    find_chain,
    find_unused,
    is_ca,
    is_self_signed,
    is_usable,
    lacks_authority_id,
    names_of,
)
from qscpd.certificates.explain import (
    MISSING_ID,
    explain_authority,
    explain_handshake,
    explain_load,
    explain_mismatch,
    explain_no_names,
    explain_refusal,
    explain_unknown_issuer,
    explain_weakness,
)
from qscpd.certificates.handshake import (
    NoUsableNameError,
    load_context,
    trust,
    trust_nothing,
    trust_system,
    try_handshake,
)
from qscpd.certificates.pem import (
    CA_CERTIFICATE,
    Entry,
    find_fault,
    has_private_key,
    read_certificates,
    read_key,
)
from qscpd.certificates.validity import Period, Validity
from qscpd.errors import ConfigError

_DATES: Final = frozenset((9, 10))
"""OpenSSL's codes for a certificate that is not yet valid, or no longer."""

_UNKNOWN_ISSUER: Final = frozenset((2, 7, 18, 19, 20, 21, 30))
"""OpenSSL's codes for a chain that does not end at a trusted certificate."""

_LISTED: Final = 3
"""Names that a sentence lists."""

_NAMES_LIMIT: Final = 200
"""Characters of listed names."""

_RENEW: Final = "renew it with `qscpd gencert`, or get a new one from its issuer, and restart the daemon"
_RENEW_CHAIN: Final = "get a new one, and a new certificate for the server, and restart the daemon"
_NEW_CA: Final = "make a new CA, and give its ca.pem to every client (docs/operations.md)"


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate that can be served, and what is to be said about it.

    Attributes:
        context: The daemon's TLS context with it.
        names: Names and addresses by which clients can reach the server.
        sha256: Fingerprint of the server's own certificate, in lower-case hexadecimal digits.
        validity: When clients accept it.
        faults: Reasons for which clients that have the `ca.pem` beside it refuse it, besides the time.
        warnings: What works and should be otherwise.
    """

    context: ssl.SSLContext
    names: tuple[str, ...]
    sha256: str
    validity: Validity
    faults: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def not_after(self) -> datetime:
        """When clients begin to refuse it."""
        return self.validity.end

    def problems(self, now: datetime) -> list[str]:
        """Return all reasons for which clients refuse it now."""
        return [*self.validity.refusals(now), *self.faults]


@dataclass(frozen=True, slots=True)
class _Authority:
    """Content of `ca.pem`, and a client that trusts it."""

    entries: list[Entry]
    client: ssl.SSLContext
    has_key: bool


def check_pair(certificate: Path, key: Path) -> ServerCertificate:
    """Check that a certificate and its key can be served, and what clients think of them.

    Raises:
        ConfigError: A file is missing or invalid, they don't match, or a strict client would refuse the
            certificate at any time and with any CA.
        PermissionDeniedError: This user can't read a file, or other users can read the key.
    """
    entries = read_certificates(certificate)
    server = entries[0]
    context = _load(entries, certificate, key)
    if not names_of(server.certificate):
        raise ConfigError([explain_no_names(server)])
    authority, faults, warnings = _look_at_authority(certificate)
    issuers = [*(authority.entries if authority is not None else ()), *entries[1:]]
    chain = find_chain(server, issuers, datetime.now(UTC))
    if not _ends_at_trusted(context, chain, authority):
        if authority is not None:
            faults.append(explain_authority(chain, authority.entries))
        elif not faults and len(chain) == 1 and not is_self_signed(server.certificate):
            warnings.append(explain_unknown_issuer(chain))
    return ServerCertificate(
        context=context,
        names=names_of(server.certificate),
        sha256=server.certificate.fingerprint(hashes.SHA256()).hex(),
        validity=Validity(tuple(_period(each, is_server=each is server) for each in chain)),
        faults=tuple(faults),
        warnings=(*warnings, *_doubts(entries)),
    )


def _load(entries: Sequence[Entry], certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the daemon's context, after a handshake in which nothing is verified."""
    public = read_key(key).public_key()
    fitting = next((each for each in entries if each.certificate.public_key() == public), None)
    if fitting is not entries[0]:
        raise ConfigError([explain_mismatch(entries, key, fitting)])
    if (weakness := explain_weakness(entries)) is not None:
        raise ConfigError([weakness])
    try:
        context = load_context(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError([explain_load(error, certificate, key)]) from None
    failure = try_handshake(context, trust_nothing(), ())
    if failure is not None:
        raise ConfigError([explain_handshake(failure.reason or str(failure), entries[0])])
    return context


def _look_at_authority(certificate: Path) -> tuple[_Authority | None, list[str], list[str]]:
    """Return what is in the `ca.pem` beside a certificate, faults and warnings about it.

    Raises:
        PermissionDeniedError: It has a private key that others can read.
    """
    path = certificate.with_name(CA_CERTIFICATE)
    if not os.path.lexists(path):
        return None, [], []
    if not os.access(path, os.R_OK, effective_ids=True):
        warning = f"{path}: can't be read, so it is not compared with {certificate}; run `chmod 644 {path}`"
        return None, [], [warning]
    try:
        authority = _read_authority(path)
    except ConfigError as error:
        return None, [f"{error}; clients need the CA's certificate there"], []
    if authority.has_key:
        warning = f"{path} has a private key, and is for every client; move the key to another file"
        return authority, [], [warning]
    return authority, [], []


def _read_authority(path: Path) -> _Authority:
    """Return the certificates of `ca.pem`.

    Raises:
        ConfigError: Clients can't use it.
        PermissionDeniedError: It has a private key that others can read.
    """
    entries = read_certificates(path)
    text = ""
    try:
        text = path.read_text(encoding="ascii", errors="ignore")
        client = trust(text)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        fault = find_fault(path, text.encode(), "certificate")
        raise ConfigError([f"{path}: contains no certificate in PEM form: {fault}"]) from None
    return _Authority(entries, client, has_private_key(text.encode()))


def _ends_at_trusted(context: ssl.SSLContext, chain: Sequence[Entry], authority: _Authority | None) -> bool:
    """Return whether a strict client trusts who issued a chain, which it might refuse for its dates.

    Raises:
        ConfigError: The client refuses the certificate for another reason.
    """
    if _is_trusted(context, trust_system() if authority is None else authority.client, chain):
        return True
    top = chain[-1].certificate
    # All but the issuer is still to be verified.
    _is_trusted(context, trust(top.public_bytes(Encoding.PEM).decode(), as_anchors=True), chain)
    if len(chain) == 1 and lacks_authority_id(top):
        # OpenSSL is not as strict with a chain of one.
        raise ConfigError([explain_refusal(MISSING_ID, "", chain)])
    return False


def _is_trusted(context: ssl.SSLContext, client: ssl.SSLContext, chain: Sequence[Entry]) -> bool:
    server = chain[0]
    try:
        error = try_handshake(context, client, names_of(server.certificate))
    except NoUsableNameError:
        raise ConfigError(
            [f"{server.where} has no name by which clients can connect; get one with the server's names"]
        ) from None
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code not in _DATES | _UNKNOWN_ISSUER:
            raise ConfigError([explain_refusal(error.verify_code, error.verify_message, chain)])
        return error.verify_code in _DATES
    if error is not None:
        raise ConfigError([explain_handshake(error.reason or str(error), server)])
    return True


def _doubts(entries: Sequence[Entry]) -> list[str]:
    """Return warnings about the server's file alone."""
    server = entries[0]
    doubts = [f"{each.where} issued no other one in the file; remove it" for each in find_unused(entries)]
    odd = [name for name in names_of(server.certificate) if not is_usable(name)]
    if odd:
        listed = one_line(", ".join(odd[:_LISTED]))[:_NAMES_LIMIT]
        doubts.append(f"{server.where} has names that clients can't use ({listed}); get one without them")
    if can_not_sign_handshakes(server.certificate):
        doubts.append(
            f"{server.where} lacks the key usage digitalSignature: some clients refuse it; renew it"
        )
    if is_ca(server.certificate) and not is_self_signed(server.certificate):
        doubts.append(f"{server.where} is a CA's: some clients refuse it for a server; get one for a server")
    return doubts


def _period(entry: Entry, *, is_server: bool) -> Period:
    certificate = entry.certificate
    cure = _RENEW if is_server else _NEW_CA if is_self_signed(certificate) else _RENEW_CHAIN
    return Period(entry.where, certificate.not_valid_before_utc, certificate.not_valid_after_utc, cure)
