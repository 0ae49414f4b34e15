"""PEM files of certificates and keys: reading them, and saying what is wrong with their form."""

import os
import re
import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from qscp.hints import one_line
from qscpd.errors import ConfigError, PermissionDeniedError
from qscpd.permissions import check_key_mode

CA_CERTIFICATE: Final = "ca.pem"
"""Name of the CA's certificate, which is beside the server's."""

_SIZE_LIMIT: Final = 1 << 20
"""Most bytes of a file; the certificates of all public authorities together have a quarter of that."""

_NAME_LIMIT: Final = 80
"""Characters of a certificate's subject in a sentence."""

_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_END: Final = re.compile(rb"-----END ([A-Z0-9 ]+)-----")
_LINE: Final = re.compile(rb"\r\n|\r|\n")

_CERTIFICATES: Final = (b"CERTIFICATE", b"X509 CERTIFICATE")
"""Labels of certificates: RFC 7468, section 5."""

_OTHER_CONTENT: Final = (
    ("CERTIFICATE REQUEST", "it has a request (CSR): have a CA sign it, and use what it returns"),
    ("PKCS7", "it is PKCS #7: convert it with `openssl pkcs7 -print_certs -in {path} -out NEW`"),
    ("TRUSTED CERTIFICATE", "it is in a form of OpenSSL: convert it with `openssl x509 -in {path} -out NEW`"),
    ("OPENSSH PRIVATE KEY", "it is in a form of OpenSSH: convert it with `ssh-keygen -p -m PKCS8 -f {path}`"),
    ("PRIVATE KEY", "it has a private key: are two files swapped?"),
    ("PUBLIC KEY", "it has a public key only"),
    ("CERTIFICATE", "it has a certificate: are two files swapped?"),
)
"""What other blocks are, by a part of their label, and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A certificate of a file."""

    certificate: x509.Certificate
    path: Path
    number: int | None
    """Its number in the file, from 1; None if it is the only one."""

    @property
    def subject(self) -> str:
        """Its common name, or what else it calls itself, safe to print."""
        return _describe(self.certificate.subject) or self._first_name()

    def _first_name(self) -> str:
        """Return a name of a certificate without a subject, as short-lived ones of public CAs are."""
        try:
            names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return f"serial {self.certificate.serial_number:x}"
        return one_line(", ".join(names.get_values_for_type(x509.DNSName)[:1])[:_NAME_LIMIT])

    @property
    def issuer(self) -> str:
        """What its issuer calls itself, safe to print."""
        return _describe(self.certificate.issuer)

    @property
    def where(self) -> str:
        """File, number and subject, to begin a sentence."""
        number = "" if self.number is None else f" {self.number}"
        return f'{self.path}: certificate{number} "{self.subject}"'


def read_certificates(path: Path) -> list[Entry]:
    """Return the certificates of a PEM file, in its order.

    Raises:
        ConfigError: The file can't be read, or a part of it is no certificate.
        PermissionDeniedError: This user can't read it, or it has a private key that others can read.
    """
    content, mode = _read(path, "certificate")
    try:
        loaded = _load(content)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        fault = find_fault(path, content, "certificate") or _broken(error)
        raise ConfigError([f"{path}: contains no certificate in PEM form: {fault}"]) from None
    if has_private_key(content):
        check_key_mode(path, mode)
    numbered = len(loaded) > 1
    return [Entry(each, path, at if numbered else None) for at, each in enumerate(loaded, 1)]


def has_private_key(content: bytes) -> bool:
    """Return whether a PEM file has a private key of any kind."""
    return b"PRIVATE KEY-----" in content


def read_key(path: Path) -> PrivateKeyTypes:
    """Return the first private key of a PEM file.

    Raises:
        ConfigError: The file can't be read, has no key, or has one with a passphrase.
        PermissionDeniedError: This user can't read it, or others can.
    """
    content = check_key_file(path)
    try:
        # Whether an RSA key is made of primes is a question of minutes if it is large enough.
        return serialization.load_pem_private_key(content, password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        cure = f"store it without one: `openssl pkey -in {shlex.quote(str(path))} -out NEW`"
        raise ConfigError(
            [f"{path}: the private key has a passphrase, which a daemon can't ask for; {cure}"]
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        fault = find_fault(path, content, "private key") or _broken(error)
        raise ConfigError([f"{path}: contains no private key in PEM form: {fault}"]) from None


def check_key_file(path: Path) -> bytes:
    """Return the content of a private key file after checking its mode.

    Raises:
        PermissionDeniedError: This user can't read it, or other users can.
        ConfigError: It can't be read for another reason.
    """
    content, mode = _read(path, "private key")
    check_key_mode(path, mode)
    return content


def _describe(name: x509.Name) -> str:
    """Return the common name of a subject or issuer, or all of it if there is none; safe to print."""
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    text = str(common[0].value) if common else name.rfc4514_string()
    return one_line(text[:_NAME_LIMIT])


def _load(content: bytes) -> list[x509.Certificate]:
    """Return certificates whose parts can all be read; the library parses most at their first use.

    Raises:
        ValueError: One is damaged, or there is none.
        TypeError, UnsupportedAlgorithm, DuplicateExtension: One is not as RFC 5280 has it.
    """
    with warnings.catch_warnings():
        # Of serial numbers and the like, which clients accept.
        warnings.simplefilter("ignore")
        loaded = x509.load_pem_x509_certificates(content)
        for each in loaded:
            each.public_key()
            for _ in (each.subject, each.issuer, each.extensions, each.not_valid_after_utc):
                pass
    return loaded


def _read(path: Path, what: str) -> tuple[bytes, int]:
    """Return content and mode of a file."""
    try:
        # A pipe that nobody writes to would hang.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_SIZE_LIMIT + 1)
    except PermissionError:
        raise PermissionDeniedError(f"{path}: this user has no permission to read the {what}") from None
    except OSError as error:
        raise ConfigError([f"{path}: the {what} can't be read: {error.strerror}"]) from error
    if len(content) > _SIZE_LIMIT:
        raise ConfigError([f"{path}: is larger than 1 MiB, so it is no {what}; configure the right file"])
    return content, mode


def find_fault(path: Path, content: bytes, what: str) -> str:
    """Return what is wrong with the form of a PEM file that can't be loaded; empty if nothing is found.

    Args:
        path: The file, for commands that mend it.
        content: Its content.
        what: `certificate` or `private key`.
    """
    if not content.strip():
        return "it is empty"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"-\0-\0" in content:
        return "it is in UTF-16: save it as plain text (ASCII or UTF-8)"
    if b"\n" not in content and b"\r" in content:
        return "its lines end with CR alone: save it with LF or CRLF"
    if content[0] == 0x30 and b"-----BEGIN " not in content:  # noqa: PLR2004 - a SEQUENCE of DER
        tool = f"openssl {'x509' if what == 'certificate' else 'pkey'} -inform der"
        return f"it is in binary form (DER): convert it with `{tool} -in {_shown(path)} -out NEW`"
    return _find_block_fault(content) or _other_content(path, content, what)


def _find_block_fault(content: bytes) -> str:
    """Return which block is not in proper form, with its line; empty if all are."""
    blocks = list(_BEGIN.finditer(content))
    ends = [block.start() for block in blocks[1:]] + [len(content)]
    faults = (_block_fault(content, begin, end) for begin, end in zip(blocks, ends, strict=False))
    return next(filter(None, faults), "")


def _block_fault(content: bytes, begin: re.Match[bytes], limit: int) -> str:
    """Return what is wrong with the block from one BEGIN to the next, or empty."""
    line = _line_number(content, begin.start())
    before = _LINE.split(content[: begin.start()])[-1].removeprefix(b"\xef\xbb\xbf")
    end = _END.search(content, begin.end(), limit)
    if before.rstrip().endswith(b"-----"):
        return f"in line {line} an END and a BEGIN are on one line: put a line end between them"
    if before:
        return f"line {line} has {'something' if before.strip() else 'spaces'} before BEGIN: remove it"
    if end is None:
        return f"the block that begins in line {line} has no END line: the file is cut off, copy it again"
    if content[end.start() - 1 : end.start()] not in (b"\n", b"\r"):
        return f"line {_line_number(content, end.start())} has something before END: remove it"
    if end[1] != begin[1] or not _is_readable(content[begin.start() : end.end()], begin[1]):
        return f"the block that begins in line {line} is damaged: copy the file again"
    return ""


def _is_readable(block: bytes, label: bytes) -> bool:
    """Return whether a block is a certificate that can be parsed; of other kinds it is not known."""
    if label not in _CERTIFICATES:
        return True
    try:
        x509.load_pem_x509_certificate(block + b"\n")
    except (ValueError, TypeError):
        return False
    return True


def _other_content(path: Path, content: bytes, what: str) -> str:
    labels = [match[1].decode() for match in _BEGIN.finditer(content)]
    if not labels:
        wanted = "CERTIFICATE" if what == "certificate" else "PRIVATE KEY"
        return f'it has no line "-----BEGIN {wanted}-----"'
    for part, sentence in _OTHER_CONTENT:
        if any(part in label for label in labels) and part != what.upper():
            return sentence.format(path=_shown(path))
    return ""


def _broken(error: Exception) -> str:
    return f"it is damaged, or uses what is not supported ({one_line(str(error)[:_NAME_LIMIT])})"


def _line_number(content: bytes, position: int) -> int:
    return len(_LINE.findall(content, 0, position)) + 1


def _shown(path: Path) -> str:
    return shlex.quote(str(path))
