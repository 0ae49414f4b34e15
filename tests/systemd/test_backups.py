"""Nightly backups, and the restore of one, on an installed machine."""

import re
from collections.abc import Iterator

import pytest

from tests.systemd.machine import Machine, Service, wait_until

pytestmark = pytest.mark.systemd

_CA = "/etc/qscpd/certs/ca.pem"
_PASSWORD = "correct horse battery staple"
_BACKUPS = "/var/backups/qscpd"
_UNIT = "qscpd-backup.service"
_DROP_IN = f"/run/systemd/system/{_UNIT}.d/test.conf"
_MOST_EXPOSED = 1.5


@pytest.fixture(scope="module", autouse=True)
def accounts(machine: Machine) -> None:
    """Dave and erin, added by root."""
    for name in ("dave", "erin"):
        machine.run("qscpd", "adduser", name, "--password-stdin", stdin=f"{_PASSWORD}\n")


@pytest.fixture
def drop_in(machine: Machine) -> Iterator[None]:
    """A place for settings of the backup's unit, removed after the test."""
    machine.run("mkdir", "-p", _DROP_IN.rpartition("/")[0])
    yield
    machine.run("rm", "-f", _DROP_IN)
    machine.run("systemctl", "daemon-reload")
    machine.attempt("systemctl", "reset-failed", _UNIT)


def _backups(machine: Machine) -> list[str]:
    return machine.run("ls", _BACKUPS).split()


def _send(machine: Machine, body: str) -> None:
    machine.run("qscp-client", "--ca", _CA, stdin=f"dave\n{_PASSWORD}\nerin\n{body}\n")


def _export(machine: Machine) -> str:
    return machine.run("qscpd", "export", "dave")


def _last_run(machine: Machine) -> str:
    return machine.run("systemctl", "show", _UNIT, "--property", "ExecMainExitTimestampMonotonic")


@pytest.mark.parametrize("running", [True, False])
def test_the_service_makes_whole_backups(machine: Machine, service: Service, running: bool) -> None:
    """With the daemon running or stopped, a backup appears that only its user can read."""
    if running:
        service.start()
    before = _backups(machine)
    machine.run("systemctl", "start", _UNIT)
    (made,) = set(_backups(machine)) - set(before)
    machine.run("qscpd", "verify", f"{_BACKUPS}/{made}")
    assert machine.run("stat", "--format", "%U:%G:%a", f"{_BACKUPS}/{made}") == "qscpd:qscpd:700\n"
    assert machine.attempt("test", "-e", f"{_BACKUPS}/{made}/ca.key").returncode != 0
    assert machine.run("find", "/var/lib/qscpd", "-not", "-user", "qscpd") == ""


@pytest.mark.usefixtures("drop_in")
def test_old_backups_are_removed(machine: Machine) -> None:
    """The number of backups that stay is a setting of the unit."""
    machine.write(_DROP_IN, "[Service]\nEnvironment=KEEP=2\n")
    machine.run("systemctl", "daemon-reload")
    for _ in range(4):
        machine.run("systemctl", "start", _UNIT)
    assert len(_backups(machine)) == 2


@pytest.mark.usefixtures("drop_in")
def test_backups_can_go_elsewhere(machine: Machine) -> None:
    """Another directory needs the two lines that the documentation has."""
    machine.run("install", "-d", "-o", "qscpd", "-g", "qscpd", "-m", "0700", "/srv/elsewhere")
    machine.write(_DROP_IN, "[Service]\nEnvironment=BACKUPS=/srv/elsewhere\nReadWritePaths=/srv/elsewhere\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", _UNIT)
    machine.run("sh", "-c", "qscpd verify /srv/elsewhere/*")


def test_a_failure_is_visible(machine: Machine) -> None:
    """A backup that fails is in `systemctl --failed`, and the journal has the reason."""
    machine.run("mv", "/etc/qscpd/certs/server.pem", "/etc/qscpd/certs/server.pem.away")
    assert machine.attempt("systemctl", "start", _UNIT).returncode != 0
    machine.run("mv", "/etc/qscpd/certs/server.pem.away", "/etc/qscpd/certs/server.pem")
    assert _UNIT in machine.run("systemctl", "--failed", "--no-legend")
    machine.run("journalctl", "--sync")
    said = machine.run("journalctl", "-u", _UNIT, "-p", "err", "--no-pager")
    assert "qscpd: /etc/qscpd/certs/server.pem: No such file" in said
    machine.run("systemctl", "reset-failed", _UNIT)


def test_the_timer_starts_it_and_survives_a_night_without_power(machine: Machine) -> None:
    """The enabled timer is due within a day, and catches up after a reboot on a later day."""
    machine.run("systemctl", "enable", "--now", "qscpd-backup.timer")
    assert "qscpd-backup" in machine.run("systemctl", "list-timers", "--no-legend", "--no-pager")
    # As if the last run was days ago.
    machine.run("touch", "-d", "3 days ago", "/var/lib/systemd/timers/stamp-qscpd-backup.timer")
    before = _backups(machine)
    machine.run("mkdir", "-p", "/etc/systemd/system/qscpd-backup.timer.d")
    machine.write("/etc/systemd/system/qscpd-backup.timer.d/test.conf", "[Timer]\nRandomizedDelaySec=0\n")
    machine.reboot()
    wait_until(lambda: len(_backups(machine)) > len(before), "the timer makes the backup that was missed")
    machine.run("rm", "/etc/systemd/system/qscpd-backup.timer.d/test.conf")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "disable", "--now", "qscpd-backup.timer")


def test_the_units_are_sound(machine: Machine) -> None:
    """`systemd-analyze` has no warnings, and an exposure of 1.5 or less."""
    units = [f"/usr/local/lib/systemd/system/{name}" for name in (_UNIT, "qscpd-backup.timer")]
    done = machine.attempt("systemd-analyze", "verify", *units)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    report = machine.run("systemd-analyze", "security", "--no-pager", _UNIT)
    exposure = re.search(rf"Overall exposure level for {_UNIT}: ([\d.]+)", report)
    assert exposure is not None
    assert float(exposure[1]) <= _MOST_EXPOSED


def test_a_restore_on_the_same_machine(machine: Machine, service: Service) -> None:
    """The service is stopped, restored and started; messages after the backup are gone, logins work."""
    service.start()
    _send(machine, "before the backup")
    made = machine.run("qscpd", "backup", "/srv/backups").strip()
    _send(machine, "after the backup")
    refused = machine.attempt("qscpd", "restore", "--system", made)
    assert refused.returncode != 0
    assert "systemctl stop qscpd" in refused.stderr
    machine.run("systemctl", "stop", "qscpd")
    machine.run("qscpd", "restore", "--system", made)
    machine.run("systemctl", "start", "qscpd")
    assert "before the backup" in _export(machine)
    assert "after the backup" not in _export(machine)
    _send(machine, "after the restore")
    assert machine.run("find", "/var/lib/qscpd", "-not", "-user", "qscpd") == ""


def test_a_restore_on_a_new_machine(machine: Machine, service: Service) -> None:
    """After the loss of everything: install, restore, start; clients log in with the `ca.pem` they have."""
    service.start()
    _send(machine, "on the old machine")
    machine.run("systemctl", "start", _UNIT)
    made = f"{_BACKUPS}/{_backups(machine)[-1]}"
    machine.run("cp", _CA, "/srv/ca-of-clients.pem")
    # As the operator keeps it on another machine.
    machine.run("cp", "-p", "/etc/qscpd/certs/ca.key", "/srv/ca.key")
    machine.run("sh", "-ec", "make -C /opt/qscp uninstall; userdel qscpd; rm -r /etc/qscpd /var/l*/qscpd")
    machine.run("make", "-C", "/opt/qscp", "install", "WHEELS=/opt/wheels")
    assert machine.attempt("cmp", _CA, "/srv/ca-of-clients.pem").returncode != 0
    machine.run("qscpd", "restore", "--system", made)
    assert machine.attempt("test", "-e", "/etc/qscpd/certs/ca.key").returncode != 0, "it is of the new CA"
    machine.run("cp", "-p", "/srv/ca.key", "/etc/qscpd/certs/")
    machine.run("qscpd", "gencert")
    machine.run("qscpd", "checkconfig")
    machine.run("systemctl", "enable", "--now", "qscpd")
    client = ("qscp-client", "--ca", "/srv/ca-of-clients.pem")
    said = machine.run(*client, stdin=f"erin\n{_PASSWORD}\ndave\nI have it\n")
    assert "on the old machine" in said
    machine.run("systemctl", "disable", "qscpd")
