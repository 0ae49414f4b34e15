import os
import re
import ssl
import subprocess
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from qscpd.errors import ConfigError, ExistsError, NotFoundError, PermissionDeniedError, UsageError
from qscpd.setup import pki
from qscpd.setup.names import NameChange, default_names


@pytest.fixture
def files(tmp_path: Path) -> pki.AuthorityFiles:
    """A directory with a CA and a server certificate."""
    files = pki.AuthorityFiles(tmp_path)
    pki.make_authority(files)
    pki.make_server_certificate(files, ["localhost", "chat.example.org", "127.0.0.1", "::1"])
    return files


def mode(path: Path) -> int:
    """Return the permission bits of a file."""
    return path.stat().st_mode & 0o777


def load(path: Path) -> x509.Certificate:
    """Return the certificate in a file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def handshake(files: pki.AuthorityFiles, server_name: str) -> str | None:
    """Do a TLS handshake in memory with a strict client; return the negotiated version."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=files.ca_certificate)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=server_name)
    waiting = {client, server}
    while waiting:
        for end in (client, server):
            try:
                end.do_handshake()
                waiting.discard(end)
            except ssl.SSLWantReadError:
                continue
    return client.version()


@pytest.mark.parametrize("name", ["localhost", "chat.example.org", "127.0.0.1", "::1"])
def test_a_strict_client_accepts_the_certificate(files: pki.AuthorityFiles, name: str) -> None:
    """A handshake with VERIFY_X509_STRICT, Python 3.13's default, succeeds for each name."""
    assert handshake(files, name) == "TLSv1.3"


def test_another_name_is_refused(files: pki.AuthorityFiles) -> None:
    """The certificate is valid for the requested names only."""
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(files, "chat.example.com")


def test_another_authority_is_refused(
    files: pki.AuthorityFiles, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A client with another `ca.pem` refuses the server."""
    other = pki.AuthorityFiles(tmp_path_factory.mktemp("other"))
    pki.make_authority(other)
    (files.directory / "ca.pem").write_bytes(other.ca_certificate.read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, "localhost")


def test_openssl_accepts_the_chain(files: pki.AuthorityFiles) -> None:
    """`openssl verify` in its strictest mode succeeds."""
    done = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            files.ca_certificate,
            files.certificate,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_authority_can_only_sign_servers(files: pki.AuthorityFiles) -> None:
    """The CA can issue only leaf certificates; the leaf is no CA and is for servers."""
    authority, server = load(files.ca_certificate), load(files.certificate)
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        x509.oid.ExtendedKeyUsageOID.SERVER_AUTH
    ]
    key = authority.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_lifetimes(files: pki.AuthorityFiles) -> None:
    """Lifetimes are ten years and 825 days, backdated a day for clients with a slow clock."""
    now = datetime.now(UTC)
    authority, server = load(files.ca_certificate), load(files.certificate)
    assert timedelta(days=3650) < authority.not_valid_after_utc - now < pki.CA_LIFE
    assert timedelta(days=823) < server.not_valid_after_utc - now < pki.SERVER_LIFE
    assert server.not_valid_after_utc - server.not_valid_before_utc <= pki.SERVER_LIFE
    assert now - server.not_valid_before_utc > timedelta(hours=23)


def test_keys_are_private_and_certificates_public(files: pki.AuthorityFiles) -> None:
    """Modes are right whatever the umask is, and no temporary file remains."""
    old = os.umask(0)
    try:
        pki.renew_server_certificate(files, new_key=True)
    finally:
        os.umask(old)
    assert [mode(path) for path in (files.ca_key, files.key)] == [0o600, 0o600]
    assert [mode(path) for path in (files.ca_certificate, files.certificate)] == [0o644, 0o644]
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    assert sorted(path.name for path in files.directory.iterdir()) == [
        "ca.key",
        "ca.pem",
        "server.key",
        f"server.key.{date}",
        "server.pem",
        f"server.pem.{date}",
    ]
    assert mode(files.directory / f"server.key.{date}") == 0o600


def test_nothing_is_overwritten(files: pki.AuthorityFiles) -> None:
    """A second CA or first certificate is refused, and every file stays."""
    before = {path: path.read_bytes() for path in files.directory.iterdir()}
    with pytest.raises(ExistsError, match=r"ca\.pem and .*ca\.key: already exists; move it"):
        pki.make_authority(files)
    with pytest.raises(ExistsError, match=r"server\.pem and .*server\.key"):
        pki.make_server_certificate(files, ["localhost"])
    assert {path: path.read_bytes() for path in files.directory.iterdir()} == before


def test_renewal_keeps_the_key_and_the_names(files: pki.AuthorityFiles) -> None:
    """`gencert` without options renews for the same key and names; the old certificate is kept."""
    old = files.certificate.read_bytes()
    key = files.key.read_bytes()
    renewal = pki.renew_server_certificate(files)
    names = ("localhost", "chat.example.org", "127.0.0.1", "::1")
    assert renewal.certificate.names == names
    assert renewal.names == NameChange(kept=names, added=(), dropped=())
    assert files.key.read_bytes() == key
    assert files.certificate.read_bytes() != old
    [dated] = renewal.old
    assert dated.read_bytes() == old
    assert dated.name == f"server.pem.{datetime.now(UTC):%Y-%m-%d}"
    assert handshake(files, "chat.example.org") == "TLSv1.3"


@pytest.mark.parametrize("days", [1, 90, 2000])
def test_renewal_for_some_days(files: pki.AuthorityFiles, days: int) -> None:
    """The certificate is valid from now for the days that were asked for."""
    info = pki.renew_server_certificate(files, days=days).certificate
    assert timedelta(0) <= datetime.now(UTC) + timedelta(days) - info.not_after < timedelta(minutes=5)
    assert handshake(files, "localhost") == "TLSv1.3"


def test_no_certificate_outlives_its_authority(
    files: pki.AuthorityFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More days than the authority has left are refused with how many it has; nothing is changed."""
    for path in files.directory.iterdir():
        path.unlink()
    monkeypatch.setattr(pki, "CA_LIFE", timedelta(100))
    pki.make_authority(files)
    pki.make_server_certificate(files, ["localhost"])
    before = files.certificate.read_bytes()
    with pytest.raises(UsageError, match=r"the CA ends in 98 days; use at most --days 98"):
        pki.renew_server_certificate(files, days=99)
    assert files.certificate.read_bytes() == before
    pki.renew_server_certificate(files, days=98)


def test_renewal_with_a_new_key_and_names(files: pki.AuthorityFiles) -> None:
    """Both files are replaced, and the pair works for the new name."""
    key = files.key.read_bytes()
    pki.renew_server_certificate(files, ["new.example.org"], new_key=True)
    assert files.key.read_bytes() != key
    assert handshake(files, "new.example.org") == "TLSv1.3"


def test_names_add_up(files: pki.AuthorityFiles) -> None:
    """A new name does not cost an old one, and a name is dropped only when it is asked for."""
    added = pki.renew_server_certificate(
        files, ["New.example.org", "localhost", "0:0:0:0:0:0:0:1", "192.0.2.1"]
    )
    old = ("localhost", "chat.example.org", "127.0.0.1", "::1")
    assert added.names == NameChange(kept=old, added=("new.example.org", "192.0.2.1"), dropped=())
    dropped = pki.renew_server_certificate(files, ["a.example.org"], ["chat.example.org", "192.0.2.1"])
    assert dropped.names == NameChange(
        kept=("localhost", "new.example.org", "127.0.0.1", "::1"),
        added=("a.example.org",),
        dropped=("chat.example.org", "192.0.2.1"),
    )
    assert sorted(dropped.certificate.names) == sorted(dropped.names.names)
    assert handshake(files, "a.example.org") == "TLSv1.3"


def test_no_old_file_is_overwritten(files: pki.AuthorityFiles) -> None:
    """Each renewal leaves the pair before it under names of its own, also twice a day."""
    pairs = [(files.certificate.read_bytes(), files.key.read_bytes())]
    old: list[Path] = []
    for _ in range(3):
        renewal = pki.renew_server_certificate(files, new_key=True)
        old += renewal.old
        pairs.append((files.certificate.read_bytes(), files.key.read_bytes()))
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    assert [path.name for path in old] == [
        f"{name}.{suffix}"
        for suffix in (date, f"{date}.2", f"{date}.3")
        for name in ("server.key", "server.pem")
    ]
    assert [(old[at + 1].read_bytes(), old[at].read_bytes()) for at in (0, 2, 4)] == pairs[:-1]


def test_renewal_of_a_broken_certificate_needs_its_names(files: pki.AuthorityFiles) -> None:
    """A certificate that can't be read is not replaced by one with fewer names."""
    files.certificate.write_bytes(b"broken")
    with pytest.raises(
        ConfigError, match=r"server\.pem: contains no certificate.*names can't be kept: move it"
    ):
        pki.renew_server_certificate(files, ["chat.example.org"])
    files.certificate.unlink()
    names = pki.renew_server_certificate(files, ["chat.example.org"]).certificate.names
    assert {*default_names(), "chat.example.org"} == set(names)


def test_renewal_with_the_certificates_of_two_authorities(
    files: pki.AuthorityFiles, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """While clients change to a new CA, `ca.pem` has both; the one of `ca.key` issues."""
    other = pki.AuthorityFiles(tmp_path_factory.mktemp("other"))
    pki.make_authority(other)
    files.ca_certificate.write_bytes(other.ca_certificate.read_bytes() + files.ca_certificate.read_bytes())
    assert pki.renew_server_certificate(files).certificate.problems(datetime.now(UTC)) == []
    assert handshake(files, "localhost") == "TLSv1.3"


def test_renewal_near_the_end_of_the_authority_warns(
    files: pki.AuthorityFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that the authority cuts short says when the authority ends, and what to do."""
    assert pki.renew_server_certificate(files).warnings() == []
    for path in files.directory.iterdir():
        path.unlink()
    monkeypatch.setattr(pki, "CA_LIFE", timedelta(20))
    pki.make_authority(files)
    pki.make_server_certificate(files, ["localhost"])
    [warning] = pki.renew_server_certificate(files).warnings()
    assert re.search(
        r"the CA ends on \d{4}-\d\d-\d\d, .*make a new CA and give its ca\.pem to every", warning
    )


def test_renewal_with_a_clock_before_the_authority_is_refused(
    files: pki.AuthorityFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is wrong at boot can't make a certificate that has expired when it is set."""
    before = files.certificate.read_bytes()

    class Early(datetime):
        """The time of a machine without a clock."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Early":
            return cls(2020, 1, 1, tzinfo=tz)

    monkeypatch.setattr(pki, "datetime", Early)
    with pytest.raises(
        ConfigError, match=r"ca\.pem: is not valid before .* clock says 2020-01-01 .*set the clock"
    ):
        pki.renew_server_certificate(files)
    assert files.certificate.read_bytes() == before


def test_renewal_keeps_owner_and_mode_of_the_key(files: pki.AuthorityFiles) -> None:
    """A key readable for the daemon's group stays readable after a renewal by root."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another group")
    os.chown(files.key, 0, 65534)
    files.key.chmod(0o640)
    pki.renew_server_certificate(files, new_key=True)
    status = files.key.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 65534, 0o640)


def test_a_new_key_does_not_inherit_an_open_mode(files: pki.AuthorityFiles) -> None:
    """A key that others can read is refused before a new one gets its mode."""
    files.key.chmod(0o644)
    before = files.key.read_bytes()
    with pytest.raises(PermissionDeniedError, match="chmod 600"):
        pki.renew_server_certificate(files, new_key=True)
    assert files.key.read_bytes() == before


def test_renewal_without_an_authority_is_an_error(files: pki.AuthorityFiles) -> None:
    """Without `ca.key` or `ca.pem` the error names the missing file and both ways out; nothing changes."""
    before = files.certificate.read_bytes()
    for lost, sentence in (
        (files.ca_key, "the CA's key was not found"),
        (files.ca_certificate, "any client"),
    ):
        content = lost.read_bytes()
        lost.unlink()
        with pytest.raises(NotFoundError, match=r"the CA's (key|certificate) was not found") as caught:
            pki.renew_server_certificate(files)
        text = str(caught.value)
        assert text.startswith(str(lost))
        assert sentence in text
        assert re.search(
            "put it back from a backup.*lost for good.*new CA.* every client.*refuses the server", text
        )
        assert "create it with" not in text
        lost.write_bytes(content)
        lost.chmod(0o600)
    assert files.certificate.read_bytes() == before


def test_an_expired_authority_needs_a_new_one(
    files: pki.AuthorityFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what a new CA means for the clients."""
    for path in files.directory.iterdir():
        path.unlink()
    monkeypatch.setattr(pki, "CA_LIFE", timedelta(hours=12))
    pki.make_authority(files)
    with pytest.raises(ConfigError, match=r"ca\.pem: has expired; make a new CA .*every client"):
        pki.make_server_certificate(files, ["localhost"])


@pytest.mark.parametrize(
    "name", ["", "a b", "-a.b", "chat_1", "münchen.example", "fe80::1%eth0", "*", "a..b", "x" * 64]
)
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    """An invalid name is refused, and nothing is written."""
    files = pki.AuthorityFiles(tmp_path)
    pki.make_authority(files)
    with pytest.raises(UsageError, match="neither a DNS name nor an IP address"):
        pki.make_server_certificate(files, [name])
    assert not files.key.exists()


def test_default_names_work_for_a_certificate(tmp_path: Path) -> None:
    """The default names are valid, whatever the host name is."""
    files = pki.AuthorityFiles(tmp_path)
    pki.make_authority(files)
    info = pki.make_server_certificate(files, default_names())
    assert {"localhost", "127.0.0.1", "::1"} <= set(info.names)
