"""Names, issuers and dates of the certificates that a refused server sent, made harmless for the screen.

Nothing here decides about trust: OpenSSL has refused them already. A server can send anything, so names are
cleaned and shortened, and certificates that can't be parsed are left out.
"""

import contextlib
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509

from qscp.characters import end_isolates
from qscp_client.text import clean

_LONGEST: Final = 16
"""Most certificates of a chain that are looked at."""

_NAME_LIMIT: Final = 80
"""Characters of a name that are shown."""

_NAMES: Final = 8
"""Most names that are listed."""


class SentChain:
    """Certificates that a server sent, beginning with its own.

    Args:
        sent: The certificates in DER form.
        ca: File with the CA's certificate, as the user named it.
    """

    def __init__(self, sent: Sequence[bytes], ca: Path) -> None:
        certificates: list[x509.Certificate] = []
        with contextlib.suppress(ValueError):
            certificates += map(x509.load_der_x509_certificate, sent[:_LONGEST])
        self._trusted: list[x509.Certificate] = []
        with contextlib.suppress(OSError, ValueError):
            self._trusted += x509.load_pem_x509_certificates(ca.read_bytes())
        self._path = self._order(certificates)

    def names(self) -> str | None:
        """Return the names of the server's certificate, for a sentence; None if it is unknown."""
        if not self._path:
            return None
        try:
            found = self._path[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
            return ""
        names = found.get_values_for_type(x509.DNSName)
        names += map(str, found.get_values_for_type(x509.IPAddress))
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        return ", ".join(map(_harmless, names[:_NAMES])) + more

    def missing_intermediate(self) -> str:
        """Return which certificate is missing, as far as it can be that of an intermediate; or empty."""
        if not self._path:
            return ""
        top = self._path[-1]
        known = {each.subject for each in (*self._path, *self._trusted)}
        if top.issuer in known or not any(map(_allows_intermediates, self._trusted)):
            return ""
        return f'"{_describe(top.issuer)}", which issued that of "{_describe(top.subject)}"'

    def missing_root(self) -> str:
        """Return which certificate the CA file should have, if it has none of a root CA; or empty."""
        top = self._path[-1] if self._path else None
        if top is None or top not in self._trusted or top.issuer == top.subject:
            return ""
        return f'"{_describe(top.issuer)}", which issued that of "{_describe(top.subject)}"'

    def untimely(self, now: dt.datetime) -> str:
        """Return which certificate above the server's is not valid at a time, and why; or empty."""
        for each in self._path[1:]:
            if now > each.not_valid_after_utc:
                return f'"{_describe(each.subject)}" expired on {each.not_valid_after_utc:%Y-%m-%d}'
            if now < each.not_valid_before_utc:
                begin = f"{each.not_valid_before_utc:%Y-%m-%d}"
                return f'"{_describe(each.subject)}" is not valid before {begin}'
        return ""

    def _order(self, certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
        """Return the server's certificate, then its issuers by their names, with trusted ones first."""
        path = list(certificates[:1])
        while path and len(path) < _LONGEST and path[-1].issuer != path[-1].subject:
            known = (*self._trusted, *certificates)
            issuers = [each for each in known if each.subject == path[-1].issuer and each not in path]
            if not issuers:
                break
            path.append(issuers[0])
        return path


def _allows_intermediates(certificate: x509.Certificate) -> bool:
    """Return whether a CA lets another one issue certificates; that of `qscpd init` does not."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return True
    return constraints.path_length != 0


def _describe(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return _harmless(str(common[0].value) if common else name.rfc4514_string())


def _harmless(text: str) -> str:
    return end_isolates(clean(text)[:_NAME_LIMIT])
