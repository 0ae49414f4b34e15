"""Every shape of certificate is refused, or served and accepted by the real client."""

import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from qscp_client.errors import TrustError
from qscp_client.net.tls import make_context
from qscpd.certificates import check
from qscpd.certificates.check import check_pair
from qscpd.certificates.pem import check_key_file, read_key
from qscpd.errors import ConfigError, PermissionDeniedError
from qscpd.setup import pki
from tests.support.certificates import (
    NOW,
    Issued,
    Shape,
    handshake_error,
    key_pem,
    make_ca,
    make_leaf,
    pem,
    write_pair,
)
from tests.support.users import NOBODY, as_user

ROOT = make_ca("Root A")
INTERMEDIATE = make_ca("Inter A", ROOT)
OTHER = make_ca("Root B")
SAME_NAME = make_ca("Root A")
PRIVATE = make_ca("Private", shape=Shape(path_length=0))
LEAF = make_leaf(ROOT)
BELOW = make_leaf(INTERMEDIATE)
EXPIRED = Shape(days=(-100, -1))
FUTURE = Shape(days=(5, 400))
SELF_SIGNED = make_leaf(None)
OPTIONAL = make_ca("Optional", shape=Shape(critical=False))
NO_USAGE = make_ca("No usage", shape=Shape(without=(x509.KeyUsage,)))
BELOW_PRIVATE = make_ca("Below", PRIVATE)
OLD = make_ca("Old", ROOT, EXPIRED)
ENDED = make_ca("Ended", shape=EXPIRED)
COMING = make_ca("Coming", shape=FUTURE)
NARROW = make_ca("Narrow", ROOT, Shape(extensions=(x509.NameConstraints(None, [x509.DNSName("localhost")]),)))
ENCIPHERMENT = x509.KeyUsage(
    digital_signature=False,
    key_encipherment=True,
    content_commitment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class Pair(NamedTuple):
    """Content of the files."""

    certificate: bytes
    key: bytes
    ca: bytes | None = pem(ROOT)
    host: str = "localhost"


def pair(*chain: Issued, ca: Issued | None = ROOT, host: str = "localhost") -> Pair:
    """Return the files of a chain that begins with the server's certificate."""
    return Pair(pem(*chain), key_pem(chain[0].key), None if ca is None else pem(ca), host)


def client_refuses(context: ssl.SSLContext, ca: Path, host: str) -> bool:
    """Return whether the real client, with its own context, refuses the server."""
    try:
        client = make_context(ca)
    except TrustError:
        return True
    return handshake_error(context, client, host) is not None


def rewritten(of: Pair, change: Callable[[bytes], bytes]) -> Pair:
    """Return files whose certificate's text is changed."""
    return of._replace(certificate=change(of.certificate))


EC_PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

ACCEPTED = {
    "plain": pair(LEAF),
    "intermediate": pair(BELOW, INTERMEDIATE),
    "root in the chain": pair(BELOW, INTERMEDIATE, ROOT),
    "chain in another order": pair(BELOW, ROOT, INTERMEDIATE),
    "duplicates": pair(BELOW, BELOW, INTERMEDIATE),
    "rsa": pair(make_leaf(ROOT, key=rsa.generate_private_key(65537, 2048))),
    "p384": pair(make_leaf(ROOT, key=ec.generate_private_key(ec.SECP384R1()))),
    "p521": pair(make_leaf(ROOT, key=ec.generate_private_key(ec.SECP521R1()))),
    "ed25519": pair(make_leaf(ROOT, key=ed25519.Ed25519PrivateKey.generate())),
    "ed448": pair(make_leaf(ROOT, key=ed448.Ed448PrivateKey.generate())),
    "self-signed": pair(SELF_SIGNED, ca=SELF_SIGNED),
    "ca.pem of several": pair(LEAF)._replace(ca=pem(OTHER, ROOT)),
    "address only": pair(make_leaf(ROOT, ["192.0.2.1"]), host="192.0.2.1"),
    "wildcard": pair(make_leaf(ROOT, ["*.example.org"]), host="a.example.org"),
    "international": pair(make_leaf(ROOT, ["xn--mnchen-3ya.example"]), host="xn--mnchen-3ya.example"),
    "underscore": pair(make_leaf(ROOT, ["chat_1.example.org"]), host="chat_1.example.org"),
    "CRLF": rewritten(pair(LEAF), lambda text: text.replace(b"\n", b"\r\n")),
    "byte order mark": rewritten(pair(LEAF), lambda text: b"\xef\xbb\xbf" + text),
    "comments": rewritten(pair(LEAF), lambda text: "subject=é\n".encode() + text),
    "curve before the key": pair(LEAF)._replace(key=EC_PARAMETERS + key_pem(LEAF.key)),
}

REFUSED = {
    "no names": (pair(make_leaf(ROOT, [])), r'"localhost" has no name that clients verify.*subjectAltName'),
    "no usable name": (pair(make_leaf(ROOT, [".example"])), "has no name by which clients can connect"),
    "small RSA key": (
        pair(make_leaf(ROOT, key=rsa.generate_private_key(65537, 1024))),  # noqa: S505 - that is the fault
        r"weak key \(RSA, 1024 bits\)",
    ),
    "secp256k1": (
        pair(make_leaf(ROOT, key=ec.generate_private_key(ec.SECP256K1()))),
        r"a key that TLS 1.3 can't use \(elliptic curve secp256k1\); make a key on the curve P-256",
    ),
    "DSA": (pair(make_leaf(ROOT, key=dsa.generate_private_key(2048))), "TLS 1.3 can't use .DSA"),
    "no issuer's id": (
        pair(make_leaf(ROOT, shape=Shape(without=(x509.AuthorityKeyIdentifier,)))),
        '"localhost" lacks the id of its issuer.s key',
    ),
    "no issuer's id, no ca.pem": (
        pair(make_leaf(ROOT, shape=Shape(without=(x509.AuthorityKeyIdentifier,))), ca=None),
        '"localhost" lacks the id of its issuer.s key',
    ),
    "for clients": (
        pair(make_leaf(ROOT, shape=Shape(usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)))),
        '"localhost" is not for TLS servers',
    ),
    "for clients, no ca.pem": (
        pair(make_leaf(ROOT, shape=Shape(usages=(ExtendedKeyUsageOID.CLIENT_AUTH,))), ca=None),
        '"localhost" is not for TLS servers',
    ),
    "CA with optional constraints": (
        pair(make_leaf(OPTIONAL), ca=OPTIONAL),
        r'ca\.pem: certificate "Optional" has basic constraints that are not critical',
    ),
    "CA without key usage": (
        pair(make_leaf(NO_USAGE), ca=NO_USAGE),
        r'ca\.pem: certificate "No usage" has no key usage',
    ),
    "path length": (
        pair(make_leaf(BELOW_PRIVATE), BELOW_PRIVATE, ca=PRIVATE),
        r'ca\.pem: certificate "Private" allows fewer CAs below it',
    ),
    "issued by a server": (
        pair(make_leaf(LEAF), LEAF),
        r'certificate 2 "localhost" issued another one, and is no CA',
    ),
    "excluded name": (
        pair(make_leaf(NARROW, ["localhost"]), NARROW),
        'certificate 2 "Narrow" excludes a name of the server',
    ),
    "issuer first": (
        Pair(pem(INTERMEDIATE, BELOW), key_pem(BELOW.key)),
        'certificate 2 "localhost" is the one of the key .* has to be first',
    ),
    "key of another pair": (Pair(pem(LEAF), key_pem(BELOW.key)), r"server\.key: does not match"),
    "passphrase": (Pair(pem(LEAF), key_pem(LEAF.key, b"secret")), "has a passphrase.*openssl pkey"),
    "glued": (
        Pair(pem(BELOW).rstrip() + pem(INTERMEDIATE), key_pem(BELOW.key)),
        r"line \d+ an END and a BEGIN are on one line",
    ),
    "indented": (rewritten(pair(LEAF), lambda text: b"  " + text.replace(b"\n", b"\n  ")), "spaces before"),
    "spaces before END": (rewritten(pair(LEAF), lambda text: text.replace(b"-----END", b" -----END")), "END"),
    "cut off": (rewritten(pair(BELOW, INTERMEDIATE), lambda text: text[:-300]), "no END line.*cut off"),
    "second one damaged": (
        rewritten(pair(LEAF, ROOT), lambda text: text[:-200] + text[-150:]),
        r"begins in line \d+ is damaged",
    ),
    "only BEGIN at the end": (
        rewritten(pair(LEAF), lambda text: text + b"-----BEGIN CERTIFICATE-----\n"),
        "no END line",
    ),
    "DER": (
        rewritten(pair(LEAF), lambda _: LEAF.certificate.public_bytes(serialization.Encoding.DER)),
        "binary form .DER.*openssl x509 -inform der",
    ),
    "UTF-16": (rewritten(pair(LEAF), lambda text: text.decode().encode("utf-16")), "UTF-16"),
    "request": (
        rewritten(pair(LEAF), lambda text: text.replace(b"CERTIFICATE", b"CERTIFICATE REQUEST")),
        "has a request .CSR",
    ),
    "swapped": (
        Pair(key_pem(LEAF.key), pem(LEAF)),
        r"server\.pem: .*has a private key: are two files swapped",
    ),
    "key is a certificate": (Pair(pem(LEAF), pem(LEAF)), r"server\.key: .*has a certificate"),
    "CR": (rewritten(pair(LEAF), lambda text: text.replace(b"\n", b"\r")), "CR alone"),
    "empty": (Pair(b"", key_pem(LEAF.key)), r"server\.pem: contains no certificate in PEM form: it is empty"),
}

SERVED_WITH_FAULTS = {
    "missing intermediate": (
        pair(BELOW),
        r'"localhost" was issued by "Inter A", which is neither in that file nor .*append its certificate to',
    ),
    "another CA": (
        pair(make_leaf(make_ca("Elsewhere")), ca=PRIVATE),
        r'"localhost" was issued by "Elsewhere", but .*"Private" is another CA',
    ),
    "CA made anew": (pair(LEAF, ca=SAME_NAME), "another CA of the same name"),
    "ca.pem is an intermediate": (
        pair(BELOW, INTERMEDIATE, ca=INTERMEDIATE),
        r'ca\.pem: certificate "Inter A" is not a root CA.*certificate of "Root A" there',
    ),
    "ca.pem is the server's": (pair(LEAF, ca=LEAF), r"ca\.pem: certificate .localhost. is not a root CA"),
    "ca.pem cut off": (pair(LEAF)._replace(ca=pem(ROOT)[:300]), r"ca\.pem: .*cut off"),
    "ca.pem is a key": (
        pair(LEAF)._replace(ca=key_pem(ROOT.key)),
        r"ca\.pem: contains no certificate in PEM form: it has a private key",
    ),
}

UNTIMELY = {
    "expired": (pair(make_leaf(ROOT, shape=EXPIRED)), r'server\.pem: certificate "localhost" expired on'),
    "not yet valid": (
        pair(make_leaf(ROOT, shape=FUTURE)),
        r'server\.pem: certificate "localhost" is not valid before .*this machine.s clock says .*set it',
    ),
    "expired intermediate": (
        pair(make_leaf(OLD), OLD),
        r'server\.pem: certificate 2 "Old" expired on',
    ),
    "expired CA": (
        pair(make_leaf(ENDED), ca=ENDED),
        r'ca\.pem: certificate "Ended" expired on .* make a new CA',
    ),
    "CA not yet valid": (
        pair(make_leaf(COMING), ca=COMING),
        r'ca\.pem: certificate "Coming" is not valid before',
    ),
}


@pytest.mark.parametrize("shape", ACCEPTED)
def test_a_good_pair_is_accepted_by_the_client(tmp_path: Path, shape: str) -> None:
    """What has no problem is served, and the real client connects."""
    of = ACCEPTED[shape]
    found = check_pair(*write_pair(tmp_path, *of[:3]))
    assert (found.problems(NOW), found.warnings) == ([], ())
    assert not client_refuses(found.context, tmp_path / "ca.pem", of.host)


@pytest.mark.parametrize("shape", REFUSED)
def test_a_useless_pair_is_refused(tmp_path: Path, shape: str) -> None:
    """What neither time nor another ca.pem can mend is one sentence: the file, the certificate, the cure."""
    of, sentence = REFUSED[shape]
    with pytest.raises(ConfigError, match=sentence) as caught:
        check_pair(*write_pair(tmp_path, *of[:3]))
    assert str(tmp_path) in str(caught.value)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("shape", SERVED_WITH_FAULTS)
def test_a_ca_file_that_does_not_fit_is_a_fault(tmp_path: Path, shape: str) -> None:
    """The pair can be served, but clients with the ca.pem beside it refuse it, and the fault says so."""
    of, sentence = SERVED_WITH_FAULTS[shape]
    found = check_pair(*write_pair(tmp_path, *of[:3]))
    [fault] = found.problems(NOW)
    assert re.search(sentence, fault), fault
    assert client_refuses(found.context, tmp_path / "ca.pem", of.host)


@pytest.mark.parametrize("shape", UNTIMELY)
def test_a_date_of_any_certificate_is_a_problem(tmp_path: Path, shape: str) -> None:
    """The pair can be served, as the clock might be wrong; the problem names the certificate."""
    of, sentence = UNTIMELY[shape]
    found = check_pair(*write_pair(tmp_path, *of[:3]))
    [problem] = found.problems(NOW)
    assert re.search(sentence, problem), problem
    assert client_refuses(found.context, tmp_path / "ca.pem", of.host)


def test_the_first_end_of_the_chain_counts(tmp_path: Path) -> None:
    """Clients refuse the server when its first certificate ends, whichever that is."""
    short = make_ca("Short", ROOT, Shape(days=(-2, 5)))
    found = check_pair(*write_pair(tmp_path, *pair(make_leaf(short), short)[:3]))
    assert found.not_after == short.certificate.not_valid_after_utc
    assert [text for text in found.validity.warnings(NOW) if '"Short" expires soon' in text]
    assert found.problems(NOW + timedelta(6))


@pytest.mark.parametrize(
    ("of", "warning"),
    [
        (pair(LEAF, ca=None), r'was issued by "Root A", which is neither in the file nor a public CA'),
        (
            pair(make_leaf(ROOT, [".a", "*.a", "*", "localhost"])),
            r"names that clients can't use \(\.a, \*\.a, \*\)",
        ),
        (pair(make_leaf(ROOT, ["localhost."])), r"names that clients can't use \(localhost\.\)"),
        (
            pair(LEAF)._replace(ca=pem(ROOT) + key_pem(ROOT.key)),
            r"ca\.pem has a private key, and is for every client; move the key",
        ),
        (pair(LEAF, OTHER), 'certificate 2 "Root B" issued no other one'),
        (
            pair(make_leaf(ROOT, shape=Shape(extensions=(ENCIPHERMENT,)))),
            "digitalSignature",
        ),
    ],
)
def test_a_doubt_is_a_warning(tmp_path: Path, of: Pair, warning: str) -> None:
    """What works here, and perhaps not everywhere, is a warning."""
    files = write_pair(tmp_path, *of[:3])
    if of.ca is not None:
        (tmp_path / "ca.pem").chmod(0o600)
    found = check_pair(*files)
    assert found.problems(NOW) == []
    [text] = found.warnings
    assert re.search(warning, text), text


@pytest.mark.parametrize("top", [[INTERMEDIATE], [INTERMEDIATE, ROOT]])
def test_a_chain_of_another_authority_needs_no_ca_file(tmp_path: Path, top: list[Issued]) -> None:
    """Without ca.pem, the chain is verified up to its last certificate."""
    found = check_pair(*write_pair(tmp_path, *pair(BELOW, *top, ca=None)[:3]))
    assert (found.problems(NOW), found.warnings) == ([], ())


def test_a_public_authority_is_one_of_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ca.pem, a certificate by a CA of this machine is accepted without a doubt."""
    trusted = tmp_path / "system.pem"
    trusted.write_bytes(pem(ROOT))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    found = check_pair(*write_pair(tmp_path, *pair(LEAF, ca=None)[:3]))
    assert (found.problems(NOW), found.warnings) == ([], ())


def test_a_renewed_authority_with_the_same_key_is_preferred(tmp_path: Path) -> None:
    """Of two certificates of one CA, the valid one counts."""
    old = make_ca("Renewed", shape=EXPIRED)
    new = make_ca("Renewed", key=old.key)
    found = check_pair(*write_pair(tmp_path, *pair(make_leaf(old))[:2], pem(old, new)))
    assert found.problems(NOW) == []


def test_a_weak_signature_is_refused(tmp_path: Path) -> None:
    """A certificate that is signed with SHA-1 is refused with its name."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    certificate, key = write_pair(tmp_path, pem(LEAF), key_pem(LEAF.key), pem(ROOT))
    (tmp_path / "ca.key").write_bytes(key_pem(ROOT.key))
    (tmp_path / "ca.key").chmod(0o600)
    for command in (
        "openssl req -new -key server.key -subj /CN=localhost -out request.pem",
        "openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -set_serial 7 -sha1 -out server.pem",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(ConfigError, match=r'"localhost" is signed with a weak hash .SHA-1'):
        check_pair(certificate, key)


def test_an_old_root_can_have_a_weak_signature(tmp_path: Path) -> None:
    """The signature of a root CA's own certificate proves nothing, so its hash does not matter."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    root = make_ca("Weak root")
    certificate, key = write_pair(tmp_path, *pair(make_leaf(root))[:2], None)
    (tmp_path / "ca.key").write_bytes(key_pem(root.key))
    usage = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    command = [
        "openssl",
        "req",
        "-x509",
        "-key",
        "ca.key",
        "-subj",
        "/CN=Weak root",
        "-sha1",
        "-out",
        "ca.pem",
    ]
    subprocess.run([*command, *usage], cwd=tmp_path, check=True, capture_output=True)
    found = check_pair(certificate, key)
    assert found.problems(datetime.now(UTC)) == []
    assert not client_refuses(found.context, tmp_path / "ca.pem", "localhost")


def test_a_private_key_beside_a_certificate_is_protected(tmp_path: Path) -> None:
    """A certificate's file that has a key as well is refused if others can read it."""
    certificate, key = write_pair(tmp_path, pem(LEAF) + key_pem(LEAF.key), key_pem(LEAF.key), pem(ROOT))
    certificate.chmod(0o644)
    with pytest.raises(PermissionDeniedError, match=r"server\.pem: the private key is open"):
        check_pair(certificate, key)
    certificate.chmod(0o600)
    assert check_pair(certificate, certificate).problems(NOW) == []


@pytest.mark.parametrize("which", [0, 1])
def test_a_pipe_is_no_certificate(tmp_path: Path, which: int) -> None:
    """A pipe that nobody writes to does not hang the start."""
    files = write_pair(tmp_path, *pair(LEAF)[:3])
    files[which].unlink()
    os.mkfifo(files[which], 0o600)
    with pytest.raises(ConfigError, match="it is empty"):
        check_pair(*files)


@pytest.mark.parametrize("linked", [False, True])
def test_a_ca_file_that_can_not_be_read_is_a_doubt(tmp_path: Path, linked: bool) -> None:
    """The daemon does not need ca.pem, so a closed one is a warning with the cure, also behind a link."""
    files = write_pair(tmp_path, *pair(LEAF)[:3])
    if linked:
        (tmp_path / "closed").mkdir(0o700)
        (tmp_path / "ca.pem").rename(tmp_path / "closed" / "ca.pem")
        (tmp_path / "ca.pem").symlink_to(tmp_path / "closed" / "ca.pem")
    else:
        (tmp_path / "ca.pem").chmod(0)
    files[1].chmod(0o640)
    if os.geteuid() == 0:
        os.chown(files[1], -1, NOBODY)
    with as_user(tmp_path):
        warnings = check_pair(*files).warnings
    assert any("ca.pem: can't be read" in text and "chmod 644" in text for text in warnings)


def test_a_huge_file_is_no_certificate(tmp_path: Path) -> None:
    """A file of another kind is not read to its end."""
    certificate, key = write_pair(tmp_path, b"x" * ((1 << 20) + 1), key_pem(LEAF.key), None)
    with pytest.raises(ConfigError, match=r"server\.pem: is larger than 1 MiB"):
        check_pair(certificate, key)


def test_a_name_is_safe_to_print(tmp_path: Path) -> None:
    """A subject can't send commands to the operator's terminal."""
    evil = make_leaf(ROOT, [], common_name="\x1b]0;owned\x07")
    with pytest.raises(ConfigError, match=re.escape("<U+001B>]0;owned<U+0007>")):
        check_pair(*write_pair(tmp_path, *pair(evil)[:3]))


def test_files_that_change_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is replaced between two readings is one sentence, not a traceback."""
    certificate, key = write_pair(tmp_path, *pair(LEAF)[:3])

    def read_then_replace(path: Path) -> object:
        found = read_key(path)
        path.write_bytes(key_pem(BELOW.key))
        return found

    monkeypatch.setattr(check, "read_key", read_then_replace)
    with pytest.raises(ConfigError, match="KEY_VALUES_MISMATCH"):
        check_pair(certificate, key)


# --- with a certificate of our own


@pytest.fixture
def files(tmp_path: Path) -> pki.AuthorityFiles:
    """A directory with a CA and a server certificate."""
    files = pki.AuthorityFiles(tmp_path)
    pki.make_authority(files)
    pki.make_server_certificate(files, ["localhost", "chat.example.org", "127.0.0.1", "::1"])
    return files


def test_a_good_pair_is_described(files: pki.AuthorityFiles) -> None:
    """The check returns names, end and fingerprint."""
    info = check_pair(files.certificate, files.key)
    assert info.names == ("localhost", "chat.example.org", "127.0.0.1", "::1")
    assert (
        info.not_after == x509.load_pem_x509_certificate(files.certificate.read_bytes()).not_valid_after_utc
    )
    assert len(info.sha256) == 64


@pytest.mark.parametrize("bits", [0o604, 0o644, 0o601, 0o660, 0o666])
def test_a_key_readable_by_others_is_refused(files: pki.AuthorityFiles, bits: int) -> None:
    """A key that others can read, or a group can write, is refused with the fix."""
    files.key.chmod(bits)
    with pytest.raises(PermissionDeniedError, match=rf"open to other users \(mode {bits:04o}\).*chmod 600"):
        check_pair(files.certificate, files.key)


@pytest.mark.parametrize("bits", [0o600, 0o400, 0o640, 0o440])
def test_a_private_key_is_accepted(files: pki.AuthorityFiles, bits: int) -> None:
    """A key for its owner only, or readable for a group, is accepted."""
    files.key.chmod(bits)
    check_pair(files.certificate, files.key)


def test_an_unreadable_key_is_a_permission_error(files: pki.AuthorityFiles) -> None:
    """A daemon of the wrong user gets PermissionDeniedError."""
    with (
        as_user(files.directory),
        pytest.raises(PermissionDeniedError, match="has no permission to read the private key"),
    ):
        check_key_file(files.key)


def test_files_of_two_pairs_are_refused(files: pki.AuthorityFiles) -> None:
    """A key and a certificate that do not match are refused."""
    with pytest.raises(ConfigError, match="does not match the certificate"):
        check_pair(files.certificate, files.ca_key)


@pytest.mark.parametrize("which", ["certificate", "key"])
@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_broken_files_are_refused(files: pki.AuthorityFiles, which: str, content: bytes) -> None:
    """A file without PEM content is one sentence with its path."""
    path = files.certificate if which == "certificate" else files.key
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{path.name}: contains no (certificate|private key) in PEM form"):
        check_pair(files.certificate, files.key)


@pytest.mark.parametrize("which", ["certificate", "key"])
def test_missing_files_are_refused(files: pki.AuthorityFiles, which: str) -> None:
    """A missing file is one sentence with its path."""
    (files.certificate if which == "certificate" else files.key).unlink()
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        check_pair(files.certificate, files.key)


def test_a_passphrase_is_refused(files: pki.AuthorityFiles) -> None:
    """A key with a passphrase is refused with the reason."""
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    files.key.write_bytes(locked)
    with pytest.raises(ConfigError, match="has a passphrase"):
        check_pair(files.certificate, files.key)
