"""`make install` and `make uninstall`, with and without DESTDIR."""

import contextlib
from collections.abc import Callable

import pytest

from tests.systemd.machine import Machine

pytestmark = pytest.mark.systemd

MakeMachine = Callable[[], contextlib.AbstractContextManager[Machine]]

_MAKE = ("make", "-C", "/opt/qscp", "WHEELS=/opt/wheels")
_PATHS = (
    "/usr/lib/qscp",
    "/usr/bin/qscpd",
    "/usr/bin/qscp-client",
    "/usr/lib/systemd/system/qscpd.service",
    "/usr/lib/systemd/system/qscpd-backup.service",
    "/usr/lib/systemd/system/qscpd-backup.timer",
    "/usr/lib/sysusers.d/qscpd.conf",
    "/usr/lib/tmpfiles.d/qscpd.conf",
)


def test_a_package_made_with_destdir_works_where_it_is_unpacked(bare_machine: MakeMachine) -> None:
    """No file in the package names DESTDIR, and the printed steps start the service."""
    with bare_machine() as machine:
        said = machine.run(*_MAKE, "install", "prefix=/usr", "DESTDIR=/opt/package")
        assert machine.attempt("id", "qscpd").returncode != 0, "DESTDIR must leave the machine alone"
        assert machine.attempt("grep", "-rl", "/opt/package", "/opt/package").stdout == ""
        machine.run("sh", "-c", "cp -a /opt/package/. / && rm -r /opt/package /opt/qscp /opt/wheels")
        for step in said.splitlines():
            if step.startswith("  "):
                machine.run("sh", "-ec", step.split("    ")[0])
        assert machine.run("systemctl", "is-active", "qscpd").strip() == "active"


def test_installing_again_keeps_everything_and_uninstalling_keeps_the_data(bare_machine: MakeMachine) -> None:
    """An upgrade keeps the configuration and a running daemon; removal keeps only data."""
    with bare_machine() as machine:
        machine.run(*_MAKE, "install", "prefix=/usr")
        before = machine.run("sha256sum", "/etc/qscpd/qscpd.yaml", "/etc/qscpd/certs/ca.pem")
        machine.run("systemctl", "start", "qscpd")
        pid = machine.run("systemctl", "show", "qscpd", "--property", "MainPID")
        assert "systemctl restart qscpd" in machine.run(*_MAKE, "install", "prefix=/usr")
        assert machine.run("systemctl", "show", "qscpd", "--property", "MainPID") == pid
        machine.run("systemctl", "restart", "qscpd")
        machine.run("systemctl", "enable", "--now", "qscpd-backup.timer")
        assert machine.run("sha256sum", "/etc/qscpd/qscpd.yaml", "/etc/qscpd/certs/ca.pem") == before

        machine.run(*_MAKE, "uninstall", "prefix=/usr")
        for path in _PATHS:
            assert machine.attempt("test", "-e", path).returncode != 0, path
        assert machine.run("find", "/etc/systemd/system", "-name", "qscpd*") == ""
        assert machine.run("systemctl", "list-units", "--all", "--no-legend", "qscpd*") == ""
        machine.run("test", "-s", "/var/lib/qscpd/qscpd.db")
        assert machine.run("sha256sum", "/etc/qscpd/qscpd.yaml", "/etc/qscpd/certs/ca.pem") == before


def test_an_upgrade_that_fails_leaves_what_was_there(bare_machine: MakeMachine) -> None:
    """With a changed hash or without a wheel the command says so, and the old installation still works."""
    with bare_machine() as machine:
        machine.run(*_MAKE, "install", "prefix=/usr")
        machine.run("cp", "/opt/qscp/requirements.txt", "/opt/locked.txt")
        machine.run("sed", "-i", "s/sha256:..../sha256:0000/", "/opt/qscp/requirements.txt")
        changed = machine.attempt(*_MAKE, "install", "prefix=/usr")
        assert changed.returncode != 0
        assert "is not the file that was locked: no hash at requirements.txt:" in changed.stderr
        machine.run("mv", "/opt/locked.txt", "/opt/qscp/requirements.txt")
        machine.run("sh", "-c", "rm /opt/wheels/msgspec*")
        lacking = machine.attempt(*_MAKE, "install", "prefix=/usr")
        assert lacking.returncode != 0
        assert "/opt/wheels has no wheel of msgspec==" in lacking.stderr
        machine.run("qscpd", "version")
        machine.run("systemctl", "start", "qscpd")
