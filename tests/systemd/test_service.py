"""The installed service, driven as an administrator would, under a real systemd."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.systemd.machine import Machine, Service, wait_until

pytestmark = pytest.mark.systemd

_CONFIG = "/etc/qscpd/qscpd.yaml"
_CA = "/etc/qscpd/certs/ca.pem"
_PASSWORD = "correct horse battery staple"
_DROP_IN = "/run/systemd/system/qscpd.service.d/test.conf"
_MOST_EXPOSED = 1.5
_ERROR = 3
"""syslog's number for it; smaller is worse."""


@pytest.fixture(scope="session", autouse=True)
def accounts(machine: Machine) -> None:
    """Alice, bob and carol, added by root before the first start of the daemon."""
    for name in ("alice", "bob", "carol"):
        machine.run("qscpd", "adduser", name, "--password-stdin", stdin=f"{_PASSWORD}\n")


@pytest.fixture
def drop_in(machine: Machine) -> Iterator[None]:
    """A place for settings of the unit, removed after the test."""
    machine.run("mkdir", "-p", _DROP_IN.rpartition("/")[0])
    yield
    machine.run("rm", "-f", _DROP_IN)
    machine.run("systemctl", "daemon-reload")


@pytest.fixture
def config(machine: Machine) -> Iterator[str]:
    """The configuration's text; changes by a test are undone."""
    text = machine.run("cat", _CONFIG)
    yield text
    machine.write(_CONFIG, text)


def _handshake(machine: Machine) -> str:
    """Do one TLS handshake, verified as a client does, without a retry."""
    return machine.run(
        "openssl", "s_client", "-connect", "localhost:7727", "-CAfile", _CA, "-alpn", "qscp/1",
        "-verify_return_error", "-verify_hostname", "localhost", "-brief",
    )  # fmt: skip


def _sentences(service: Service) -> str:
    """Return the daemon's errors in the journal."""
    return "\n".join(entry["MESSAGE"] for entry in service.log() if int(entry["PRIORITY"]) <= _ERROR)


def test_start_returns_when_the_port_answers(machine: Machine, service: Service) -> None:
    """A handshake right after `systemctl start` succeeds, and the status has the address."""
    service.start()
    _handshake(machine)
    assert service.property("ActiveState") == "active"
    assert re.search(r"7727|online", service.property("StatusText"))


def test_the_daemon_is_unprivileged(machine: Machine, service: Service) -> None:
    """The daemon runs as its own user, without any capability."""
    service.start()
    status = machine.run("cat", f"/proc/{service.property('MainPID')}/status")
    uid = machine.run("id", "-u", "qscpd").strip()
    assert re.search(rf"^Uid:(\t{uid}){{4}}$", status, re.MULTILINE)
    for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
        assert f"Cap{kind}:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def test_files_have_the_right_owners(machine: Machine, service: Service) -> None:
    """Secrets are closed to others; files that root created before the first start are the daemon's."""
    service.start()
    paths = machine.run("find", "/etc/qscpd", "/var/lib/qscpd", "/var/log/qscpd", "/run/qscpd")
    listing = dict(
        line.split(" ", 1)[::-1]
        for line in machine.run("stat", "--format", "%U:%G:%a %n", *paths.split()).splitlines()
    )
    assert listing["/var/lib/qscpd"] == "qscpd:qscpd:700"
    assert listing["/var/log/qscpd"] == "qscpd:qscpd:750"
    assert listing["/run/qscpd/admin.sock"] == "qscpd:qscpd:600"
    assert listing["/etc/qscpd/certs/ca.key"] == "root:root:600"
    assert listing["/etc/qscpd/certs/server.key"] == "root:qscpd:640"
    assert listing[_CA] == "root:root:644"
    for path, state in listing.items():
        if path.startswith("/var/"):
            assert state.startswith("qscpd:qscpd:"), path
            assert state.endswith("0"), path


def test_account_commands_work_while_it_runs_and_when_it_does_not(machine: Machine, service: Service) -> None:
    """Root adds, locks, lists and deletes accounts; the store stays the daemon's in both cases."""
    for running in (False, True):
        if running:
            service.start()
        name = f"temporary-{running}".lower()
        machine.run("qscpd", "adduser", name, "--password-stdin", stdin=f"{_PASSWORD}\n")
        assert name in machine.run("qscpd", "listusers")
        machine.run("qscpd", "lock", name)
        assert re.search(rf"{name}\s.*locked", machine.run("qscpd", "listusers"))
        machine.run("qscpd", "unlock", name)
        machine.run("qscpd", "deluser", name, "--yes")
        assert name not in machine.run("qscpd", "listusers")
    owners = machine.run("find", "/var/lib/qscpd", "-not", "-user", "qscpd")
    assert owners == ""


def test_two_people_talk(machine: Machine, service: Service) -> None:
    """The installed client sends a message from alice to bob, and the session log has both."""
    service.start()
    client = ["qscp-client", "--ca", _CA]
    with machine.converse(*client) as bob:
        assert bob.stdin is not None
        assert bob.stdout is not None
        bob.stdin.write(f"bob\n{_PASSWORD}\n")
        bob.stdin.flush()
        assert "bob" in bob.stdout.readline()
        machine.run(*client, stdin=f"alice\n{_PASSWORD}\nbob\nhello from alice\n")
        assert any("hello from alice" in line for line in iter(bob.stdout.readline, ""))
        bob.stdin.close()
        bob.stdout.read()
    assert bob.returncode == 0
    service.stop()
    events = [json.loads(line) for line in machine.run("cat", "/var/log/qscpd/sessions.log").splitlines()]
    for name in ("alice", "bob"):
        assert any(event["event"] == "auth.ok" and event["user"] == name for event in events)
        assert any(event["event"] == "session.close" and event["user"] == name for event in events)


def test_locking_an_account_ends_its_session(machine: Machine, service: Service) -> None:
    """`qscpd lock` closes the session with a reason."""
    service.start()
    with machine.converse("qscp-client", "--ca", _CA) as carol:
        assert carol.stdin is not None
        assert carol.stdout is not None
        carol.stdin.write(f"carol\n{_PASSWORD}\n")
        carol.stdin.flush()
        assert "carol" in carol.stdout.readline()
        machine.run("qscpd", "lock", "carol")
        assert "locked" in carol.stdout.read()
    assert carol.returncode != 0
    machine.run("qscpd", "unlock", "carol")


def test_stop_is_orderly_and_in_time(machine: Machine, service: Service) -> None:
    """With a client connected, SIGTERM leads to exit code 0 without a SIGKILL."""
    service.start()
    with machine.converse("qscp-client", "--ca", _CA) as alice:
        assert alice.stdin is not None
        assert alice.stdout is not None
        alice.stdin.write(f"alice\n{_PASSWORD}\n")
        alice.stdin.flush()
        assert "alice" in alice.stdout.readline()
        machine.run("systemctl", "stop", "qscpd")
        alice.stdout.read()
    assert service.property("Result") == "success"
    assert service.property("ExecMainStatus") == "0"
    assert service.property("StatusText") in ("", "Stopped")  # systemd forgets a unit that nothing refers to


def test_the_journal_knows_priorities(service: Service) -> None:
    """Entries have the daemon's levels, and their text has no `<6>`."""
    service.start()
    service.stop()
    entries = service.log()
    assert {entry["PRIORITY"] for entry in entries} == {"6"}
    assert not any(entry["MESSAGE"].startswith("<") for entry in entries)
    assert any("daemon.ready" in entry["MESSAGE"] for entry in entries)


@pytest.mark.usefixtures("drop_in")
def test_the_watchdog_replaces_a_daemon_that_hangs(machine: Machine, service: Service) -> None:
    """Systemd kills a stopped process, and a new one answers."""
    machine.write(_DROP_IN, "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=2s\n")
    machine.run("systemctl", "daemon-reload")
    service.start()
    hung = service.property("MainPID")
    machine.run("kill", "-STOP", hung)
    wait_until(lambda: service.property("NRestarts") == "1", "systemd restarts the hung daemon")
    wait_until(lambda: service.property("ActiveState") == "active", "the new daemon is ready")
    assert service.property("MainPID") != hung
    _handshake(machine)


def test_a_crash_is_followed_by_a_restart(machine: Machine, service: Service) -> None:
    """After SIGKILL a new daemon takes over the store, the lock and the admin socket."""
    service.start()
    machine.run("kill", "-KILL", service.property("MainPID"))
    wait_until(lambda: service.property("NRestarts") == "1", "systemd restarts the daemon")
    wait_until(lambda: service.property("ActiveState") == "active", "the new daemon is ready")
    _handshake(machine)
    assert "alice" in machine.run("qscpd", "listusers")


def test_a_port_in_use_fails_with_a_sentence(machine: Machine, service: Service) -> None:
    """The status and the journal name the port; once it is free, the service starts without help."""
    with machine.converse(
        "python3",
        "-c",
        "import socket, sys; s = socket.create_server(('', 7727)); print('up', flush=True); sys.stdin.read()",
    ) as squatter:
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == "up\n"
        service.start_fails()
        assert "7727" in _sentences(service)
        assert "Traceback" not in _sentences(service)
        assert re.match("Failed: server.listen: .*7727: the port is in use", service.property("StatusText"))
        wait_until(lambda: int(service.property("NRestarts")) > 1, "systemd tries again and again")
        squatter.communicate()
    wait_until(lambda: service.property("ActiveState") == "active", "the service starts on the free port")
    _handshake(machine)


def test_six_restarts_in_a_minute(machine: Machine, service: Service) -> None:
    """Six restarts by hand in less than a minute leave the service running, with systemd's own limit."""
    service.start()
    limit = [service.property(name) for name in ("StartLimitBurst", "StartLimitIntervalUSec", "RestartUSec")]
    assert limit == ["5", "10s", "2s"]
    # The limit counts starts in ten seconds; these are three apart, as at a terminal.
    machine.run("sh", "-ec", "for _ in 1 2 3 4 5 6; do systemctl restart qscpd; sleep 3; done")
    assert service.property("ActiveState") == "active"
    _handshake(machine)


@pytest.mark.parametrize("signal", ["HUP", "USR1", "USR2", "WINCH"])
def test_a_signal_does_not_stop_the_service(machine: Machine, service: Service, signal: str) -> None:
    """The same process goes on; if the signal came before it could handle one, systemd starts it again."""
    machine.run("systemctl", "start", "--no-block", "qscpd")
    machine.attempt("systemctl", "kill", "--kill-whom", "main", "-s", signal, "qscpd")
    wait_until(lambda: service.property("ActiveState") == "active", "the service starts all the same")
    service.start()
    pid = service.property("MainPID")
    machine.run("systemctl", "kill", "-s", signal, "qscpd")
    _handshake(machine)
    assert service.property("MainPID") == pid
    assert "Traceback" not in machine.run("journalctl", "-u", "qscpd", "--no-pager")


def test_reload_is_an_error_and_changes_nothing(machine: Machine, service: Service) -> None:
    """`systemctl reload` says that it does not apply, and the service goes on."""
    service.start()
    done = machine.attempt("systemctl", "reload", "qscpd")
    assert done.returncode != 0
    assert "reload is not applicable" in done.stderr
    assert service.property("ActiveState") == "active"


def test_a_broken_configuration_fails_once(machine: Machine, service: Service, config: str) -> None:
    """The journal has file, line and the nearest key; exit code 3 is not retried."""
    machine.write(_CONFIG, config + "\nserverr:\n  listen: [nowhere]\n")
    service.start_fails()
    assert service.property("ActiveState") == "failed"
    assert service.property("ExecMainStatus") == "3"
    assert service.property("NRestarts") == "0"
    assert re.search(rf"{_CONFIG}:\d+: ", _sentences(service))
    assert service.property("StatusText").startswith(f"Failed: {_CONFIG}:")
    assert "server" in _sentences(service)


def test_a_key_open_to_others_fails_once(machine: Machine, service: Service) -> None:
    """A world-readable private key is refused by name, and not retried."""
    machine.run("chmod", "0644", "/etc/qscpd/certs/server.key")
    service.start_fails()
    machine.run("chmod", "0640", "/etc/qscpd/certs/server.key")
    assert service.property("ActiveState") == "failed"
    assert service.property("NRestarts") == "0"
    assert "/etc/qscpd/certs/server.key" in _sentences(service)


def test_it_comes_back_after_a_reboot(machine: Machine, service: Service) -> None:
    """The enabled service is up after a reboot, with its accounts."""
    machine.run("systemctl", "enable", "qscpd")
    machine.reboot()
    assert service.property("ActiveState") == "active"
    _handshake(machine)
    assert "alice" in machine.run("qscpd", "listusers")
    machine.run("systemctl", "disable", "qscpd")


def test_the_unit_is_sandboxed(machine: Machine) -> None:
    """`systemd-analyze` has no warnings, and an exposure of 1.5 or less."""
    machine.run("systemd-analyze", "verify", "/usr/local/lib/systemd/system/qscpd.service")
    report = machine.run("systemd-analyze", "security", "--no-pager", "qscpd.service")
    exposure = re.search(r"Overall exposure level for qscpd.service: ([\d.]+)", report)
    assert exposure is not None
    assert float(exposure[1]) <= _MOST_EXPOSED
