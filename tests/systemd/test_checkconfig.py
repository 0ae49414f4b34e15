"""Root's `checkconfig` and `run`, where the daemon is a service of another user."""

import contextlib
from collections.abc import Iterator

import pytest

from qscpd.errors import ExitCode
from tests.systemd.machine import Machine, Service

pytestmark = pytest.mark.systemd

_LOW = ("--set", "server.listen=0.0.0.0:443")
_ELSEWHERE = ("--set", "store.path=/srv/qscp/qscpd.db")


@contextlib.contextmanager
def drop_in(machine: Machine, *lines: str) -> Iterator[None]:
    """Change the unit, as `systemctl edit qscpd` does."""
    folder = "/etc/systemd/system/qscpd.service.d"
    machine.run("mkdir", "-p", folder)
    machine.write(f"{folder}/test.conf", "\n".join(("[Service]", *lines, "")))
    machine.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        machine.run("rm", "-r", folder)
        machine.run("systemctl", "daemon-reload")


def check(machine: Machine, *settings: str) -> tuple[int, str]:
    """Return the exit code of `checkconfig`, and what it printed."""
    done = machine.attempt("qscpd", "checkconfig", *settings)
    return done.returncode, done.stdout + done.stderr


def test_a_new_installation_has_no_problems(machine: Machine, service: Service) -> None:
    """Before the first start, while it runs and afterwards; it says as whom it checked."""
    for change in (service.stop, service.start, service.stop):
        change()
        code, text = check(machine)
        assert code == ExitCode.OK, text
        assert "no problems (checked as user qscpd)" in text
        assert "warning" not in text


def test_a_closed_directory_of_certificates(machine: Machine) -> None:
    """The first closed directory is named, and its command is enough."""
    machine.run("chmod", "700", "/etc/qscpd/certs")
    code, text = check(machine)
    assert code == ExitCode.PERMISSION
    assert "user qscpd can't enter /etc/qscpd/certs (mode 0700, owner root)" in text
    machine.run("sh", "-c", text.split("`")[1])
    assert check(machine)[0] == ExitCode.OK
    machine.run("chgrp", "root", "/etc/qscpd/certs")
    machine.run("chmod", "755", "/etc/qscpd/certs")


def test_a_low_port(machine: Machine, service: Service) -> None:
    """It is refused unless the unit allows it; what the sentence says is enough for the service."""
    code, text = check(machine, *_LOW)
    assert code == ExitCode.PERMISSION
    assert "user qscpd can't use a port this low" in text
    settings = [word.rstrip(",") for word in text.split() if "=" in word and "server" not in word]
    assert len(settings) == 3, text
    with drop_in(machine, *settings, "Environment=QSCPD_SERVER__LISTEN=0.0.0.0:443"):
        assert check(machine, *_LOW)[0] == ExitCode.OK
        service.start()
        service.stop()


def test_a_store_elsewhere(machine: Machine, service: Service) -> None:
    """The unit protects every directory that is not its own; the sentence has what opens it."""
    machine.run("install", "-d", "-o", "qscpd", "-g", "qscpd", "-m", "700", "/srv/qscp")
    code, text = check(machine, *_ELSEWHERE)
    assert code == ExitCode.PERMISSION
    assert "ReadWritePaths=/srv/qscp" in text
    with drop_in(machine, "ReadWritePaths=/srv/qscp", "Environment=QSCPD_STORE__PATH=/srv/qscp/qscpd.db"):
        assert check(machine, *_ELSEWHERE)[0] == ExitCode.OK
        service.start()
        service.stop()


def test_a_store_of_root(machine: Machine) -> None:
    """Where all is root's, the unit says who the daemon is."""
    machine.run("install", "-d", "-m", "700", "/srv/root")
    code, text = check(machine, "--set", "store.path=/srv/root/qscpd.db")
    assert code == ExitCode.PERMISSION
    assert "user qscpd can't enter /srv/root (mode 0700, owner root)" in text


def test_a_key_in_a_home_directory(machine: Machine) -> None:
    """The unit hides home directories, whatever their modes are."""
    machine.run("install", "-d", "-m", "755", "/home/alice/keys")
    machine.run("cp", "-a", "/etc/qscpd/certs/server.pem", "/etc/qscpd/certs/server.key", "/home/alice/keys")
    settings = (
        "--set",
        "tls.certificate=/home/alice/keys/server.pem",
        "--set",
        "tls.key=/home/alice/keys/server.key",
    )
    code, text = check(machine, *settings)
    assert code == ExitCode.PERMISSION
    assert "/home/alice/keys/server.key: the unit qscpd.service hides home directories" in text


def test_the_daemon_of_root_leaves_nothing_of_root(machine: Machine, service: Service) -> None:
    """`run` by root becomes the service's user, so that the service starts afterwards."""
    done = machine.attempt("timeout", "--signal=TERM", "5", "qscpd", "run")
    assert '"daemon.user"' in done.stderr, done.stderr
    assert '"daemon.ready"' in done.stderr, done.stderr
    found = machine.run("find", "/var/lib/qscpd", "/var/log/qscpd", "!", "-user", "qscpd")
    assert found == ""
    service.start()
