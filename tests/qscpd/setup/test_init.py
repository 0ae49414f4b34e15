import os
import pwd
import re
import stat
from pathlib import Path

import pytest

from qscpd import privileges
from qscpd.certificates.check import check_pair
from qscpd.config import load_config
from qscpd.errors import ExistsError, NotFoundError, PermissionDeniedError, UsageError
from qscpd.setup.init import Layout, dev_layout, initialize, system_layout
from tests.support.users import as_user


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A service's layout below its own directory."""
    return system_layout(tmp_path / "etc/qscpd.yaml", tmp_path / "etc/certs", tmp_path / "lib")


def facts(path: Path) -> tuple[int, int, int]:
    """Return owner, group and mode of a file."""
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def test_the_default_layout() -> None:
    """The default layout is that of the unit and of the configuration's defaults."""
    layout = system_layout()
    assert [str(path) for path in (layout.config, layout.certs, layout.store)] == [
        "/etc/qscpd/qscpd.yaml",
        "/etc/qscpd/certs",
        "/var/lib/qscpd/qscpd.db",
    ]
    assert [str(path) for path in (layout.session_log, layout.admin_socket)] == [
        "/var/log/qscpd/sessions.log",
        "/run/qscpd/admin.sock",
    ]
    assert system_layout(Path("/opt/etc/q.yaml")).certs == Path("/opt/etc/certs")


@pytest.mark.parametrize("dev", [False, True])
def test_created_files_pass_the_checks(tmp_path: Path, layout: Layout, dev: bool) -> None:
    """The configuration names the created files, and they pass the daemon's checks."""
    if dev:
        layout = dev_layout(tmp_path / "c/q.yaml", tmp_path / "certs", tmp_path / "var")
    steps = initialize(layout, ["chat.example.org"], keep=False)
    assert all(step.made for step in steps)
    config = load_config(layout.config, environ={}).config
    assert config.store.path == layout.store
    assert config.server.admin_socket == layout.admin_socket
    assert config.log.session_log == layout.session_log
    assert tuple(map(str, config.server.listen)) == layout.listen
    assert "chat.example.org" in check_pair(config.tls.certificate, config.tls.key).names
    assert stat.S_IMODE(layout.state.stat().st_mode) == 0o700


def test_existing_files_stop_init(layout: Layout) -> None:
    """All existing files are listed, and nothing is created."""
    layout.certs.mkdir(parents=True)
    layout.config.write_text("# mine\n")
    layout.authority.key.write_text("mine")
    with pytest.raises(
        ExistsError, match=r"already exists: .*qscpd\.yaml, .*server\.key; nothing was changed"
    ):
        initialize(layout, [], keep=False)
    assert layout.config.read_text() == "# mine\n"
    assert sorted(path.name for path in layout.certs.iterdir()) == ["server.key"]
    assert not layout.state.exists()


def test_keep_creates_missing_files(layout: Layout) -> None:
    """A CA key kept elsewhere is not replaced; a lost certificate is created again."""
    initialize(layout, [], keep=False)
    files = layout.authority
    key = files.key.read_bytes()
    files.certificate.unlink()
    steps = initialize(layout, [], keep=True)
    assert [step.path.name for step in steps if step.made] == ["server.pem"]
    assert files.key.read_bytes() == key
    check_pair(files.certificate, files.key)
    files.ca_key.unlink()
    assert not any(step.made for step in initialize(layout, [], keep=True))


def test_keep_reports_that_a_kept_certificate_lacks_a_name(layout: Layout) -> None:
    """A requested name that a kept certificate lacks is reported."""
    initialize(layout, ["old.example.org"], keep=False)
    step = initialize(layout, ["old.example.org", "new.example.org"], keep=True)[1]
    assert not step.made
    assert "which does not include new.example.org; add it with `qscpd gencert --name`" in step.what


def test_half_an_authority_is_not_replaced(layout: Layout) -> None:
    """A CA key without its certificate is not replaced, because clients might trust it."""
    initialize(layout, [], keep=False)
    layout.authority.ca_certificate.unlink()
    with pytest.raises(ExistsError, match=r"ca\.key: already exists") as caught:
        initialize(layout, [], keep=True)
    assert re.search("put it back from a backup, or from any client.*every client", str(caught.value))
    assert not layout.authority.ca_certificate.exists()


@pytest.mark.parametrize("left", ["server.pem", "server.key", "server.pem server.key"])
def test_keep_makes_no_authority_beside_a_certificate_of_another(layout: Layout, left: str) -> None:
    """A new CA would not be the one that clients trust, so it is left out."""
    initialize(layout, [], keep=False)
    for path in list(layout.certs.iterdir()):
        if path.name not in left:
            path.unlink()
    if " " in left:
        step = initialize(layout, [], keep=True)[0]
        assert not step.made
        assert "no CA was made, because" in step.what
    else:
        with pytest.raises(NotFoundError, match="the CA's key was not found; put it back from a backup"):
            initialize(layout, [], keep=True)
    assert sorted(path.name for path in layout.certs.iterdir()) == sorted(left.split())


@pytest.mark.parametrize("lost", ["server.pem", "server.key"])
def test_keep_needs_the_authority_for_a_certificate(layout: Layout, lost: str) -> None:
    """With `ca.key` elsewhere, half a pair is completed there, and never by a new CA."""
    initialize(layout, [], keep=False)
    layout.authority.ca_key.unlink()
    (layout.certs / lost).unlink()
    authority = layout.authority.ca_certificate.read_bytes()
    with pytest.raises(NotFoundError, match=r"ca\.key: the CA's key was not found; put it back"):
        initialize(layout, [], keep=True)
    assert layout.authority.ca_certificate.read_bytes() == authority


def test_a_bad_name_is_refused_before_anything_is_made(layout: Layout) -> None:
    """A mistyped option leaves no partial installation."""
    with pytest.raises(UsageError, match="neither a DNS name nor an IP address"):
        initialize(layout, ["no name"], keep=False)
    assert not layout.config.parent.exists()


def test_the_daemons_user_gets_its_permissions(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `init` by root, the daemon's user can only read its key and write its directory."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    monkeypatch.setattr(privileges, "DAEMON_USER", "nobody")
    user = pwd.getpwnam("nobody")
    initialize(layout, [], keep=False)
    files = layout.authority
    assert facts(files.key) == (0, user.pw_gid, 0o640)
    assert facts(files.ca_key) == (0, 0, 0o600)
    assert facts(files.ca_certificate) == (0, 0, 0o644)
    assert facts(layout.state) == (user.pw_uid, user.pw_gid, 0o700)
    assert facts(layout.config) == (0, 0, 0o644)
    check_pair(files.certificate, files.key)


def test_a_missing_permission_is_reported(layout: Layout, tmp_path: Path) -> None:
    """`qscpd init` without permission is one sentence with the path."""
    with as_user(tmp_path), pytest.raises(PermissionDeniedError, match="etc: permission denied"):
        initialize(layout, [], keep=False)
