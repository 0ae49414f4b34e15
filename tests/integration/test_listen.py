"""Daemons on machines without IPv6, with names, and with addresses that come later."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qscpd.errors import ExitCode
from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import Daemon, StartDaemon, supervised, write_config
from tests.support.namespace import IPV6_OFF, in_namespace, run_inside
from tests.support.waiting import PATIENCE_S

QSCPD = (sys.executable, "-m", "qscpd")

KERNEL_WITHOUT_IPV6 = """\
import errno, os, socket, sys
original = socket.socket
class Refusing(original):
    def __init__(self, family=-1, *args, **kwargs):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        super().__init__(family, *args, **kwargs)
socket.socket = Refusing
from qscpd.cli.group import main
main()
"""
"""A daemon for which socket(2) fails as on a kernel that was booted with `ipv6.disable=1`."""

BOTH_LOCALHOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
"""Debian's /etc/hosts."""


def status(daemon: Daemon) -> Any:  # noqa: ANN401 - decoded JSON
    """Return what `qscpd status --json` prints; it reaches the admin socket from every network."""
    return json.loads(daemon.run("status", "--json").stdout)


def run(
    directory: Path, authority: AuthorityFiles, verb: str, listen: str, command: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run a command that ends, with addresses to listen on."""
    return subprocess.run(
        [
            *command,
            *QSCPD,
            verb,
            "-c",
            write_config(directory, authority),
            "--set",
            f"server.listen={listen}",
        ],
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize(
    ("listen", "served"),
    [
        ("0.0.0.0:0, [::]:0", "0.0.0.0"),  # noqa: S104
        ("127.0.0.1:0, [::1]:0", "127.0.0.1"),
        ("[::]:0, localhost:0", "127.0.0.1"),
    ],
)
def test_a_kernel_without_ipv6(tmp_path: Path, authority: AuthorityFiles, listen: str, served: str) -> None:
    """A wildcard or loopback of IPv6 is skipped with one warning, and IPv4 is served."""
    config = write_config(tmp_path, authority)
    command = (sys.executable, "-c", KERNEL_WITHOUT_IPV6)
    with supervised(Daemon(tmp_path, config, [f"server.listen={listen}"], command)) as daemon:
        skipped = [entry["reason"] for entry in daemon.log if entry["event"] == "listen.skipped"]
        assert len(skipped) == 1
        assert "this machine has no IPv6 for [::" in skipped[0]
        shown = status(daemon)
        assert shown["listen"] == [f"{served}:{daemon.port}"]
        assert shown["listen_missing"] == []
        assert shown["listen_skipped"]
        socket.create_connection(("127.0.0.1", daemon.port), PATIENCE_S).close()


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        ("[::]:0", "this machine has no IPv6 for [::]:0, and nothing else is listed; add what it has"),
        ("127.0.0.1:0, [2001:db8::1]:7", "[2001:db8::1]:7: this machine has no IPv6; enable it, or remove"),
    ],
)
def test_a_kernel_without_ipv6_and_nothing_else(
    tmp_path: Path, authority: AuthorityFiles, listen: str, sentence: str
) -> None:
    """If nothing is left, or a real address can't ever work, one sentence says so."""
    config = write_config(tmp_path, authority)
    ended = subprocess.run(
        [sys.executable, "-c", KERNEL_WITHOUT_IPV6, "run", "-c", config, "--set", f"server.listen={listen}"],
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == ExitCode.FAILED
    assert ended.stderr.startswith("qscpd: server.listen: ")
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_network_without_an_ipv6_loopback(tmp_path: Path, authority: AuthorityFiles) -> None:
    """What `qscpd init --dev` writes starts without ::1, and `checkconfig` warns."""
    command = in_namespace(tmp_path, IPV6_OFF)
    listen = "127.0.0.1:7727, [::1]:7727"
    checked = run(tmp_path, authority, "checkconfig", listen, command)
    assert checked.returncode == 0
    warning = (
        "qscpd: warning: server.listen: this machine has no IPv6 for [::1]:7727, so nothing listens there\n"
    )
    assert checked.stderr.startswith(warning)
    config = write_config(tmp_path, authority)
    with supervised(Daemon(tmp_path, config, [f"server.listen={listen}"], (*command, *QSCPD))) as daemon:
        assert daemon.wait_for_log("listen.skipped")["level"] == "warning"
        shown = status(daemon)
        assert (shown["listen"], shown["listen_skipped"]) == (["127.0.0.1:7727"], ["[::1]:7727"])
    assert run(tmp_path, authority, "checkconfig", "[::1]:1", command).returncode == ExitCode.CONFIG


def test_a_name_with_two_addresses(tmp_path: Path, authority: AuthorityFiles) -> None:
    """All addresses of a name are bound, to one port if the system chooses it."""
    command = in_namespace(tmp_path, hosts=BOTH_LOCALHOSTS)
    config = write_config(tmp_path, authority)
    with supervised(Daemon(tmp_path, config, ["server.listen=localhost:0"], (*command, *QSCPD))) as daemon:
        assert sorted(status(daemon)["listen"]) == [f"127.0.0.1:{daemon.port}", f"[::1]:{daemon.port}"]
        for host in ("127.0.0.1", "::1"):
            connect = f"import socket; socket.create_connection(({host!r}, {daemon.port})).close()"
            run_inside(daemon.process.pid, sys.executable, "-c", connect)


def test_a_name_of_which_one_address_is_missing(tmp_path: Path, authority: AuthorityFiles) -> None:
    """Without ::1, the other address of localhost is served."""
    command = in_namespace(tmp_path, IPV6_OFF, BOTH_LOCALHOSTS)
    config = write_config(tmp_path, authority)
    with supervised(Daemon(tmp_path, config, ["server.listen=localhost:7727"], (*command, *QSCPD))) as daemon:
        reason = daemon.wait_for_log("listen.skipped")["reason"]
        assert reason.startswith("this machine has no IPv6 for [::1]:7727 (localhost:7727), so")
        assert status(daemon)["listen"] == ["127.0.0.1:7727"]


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_an_address_that_comes_later(tmp_path: Path, authority: AuthorityFiles, address: str) -> None:
    """It is bound at once, with a warning in log and status until the machine has it."""
    command = in_namespace(tmp_path)
    config = write_config(tmp_path, authority)
    shown = f"[{address}]:7727" if ":" in address else f"{address}:7727"
    checked = run(tmp_path, authority, "checkconfig", shown, command)
    assert checked.returncode == 0
    assert (
        f"warning: server.listen: this machine lacks {shown}, so nobody can connect to it" in checked.stderr
    )
    with supervised(
        Daemon(tmp_path, config, [f"server.listen=127.0.0.1:7727, {shown}"], (*command, *QSCPD))
    ) as daemon:
        pid = daemon.process.pid
        missing = daemon.wait_for_log("listen.missing")
        assert (missing["level"], missing["address"]) == ("warning", shown)
        before = daemon.run("status")
        assert f"listen_missing: {shown}\n" in before.stdout
        assert f"qscpd: this machine lacks {shown} (server.listen)" in before.stderr
        run_inside(pid, "ip", "address", "add", address, "dev", "lo", *(("nodad",) if ":" in address else ()))
        after = daemon.run("status")
        assert "listen_missing" not in after.stdout
        assert after.stderr == ""
        assert daemon.wait_for_log("listen.missing.over")["address"] == shown
        connect = f"import socket; socket.create_connection(({address!r}, 7727)).close()"
        run_inside(pid, sys.executable, "-c", connect)
        length = "128" if ":" in address else "32"
        run_inside(pid, "ip", "address", "del", f"{address}/{length}", "dev", "lo")
        daemon.wait_for_log("listen.missing", 2)  # noticed without a question


def test_a_link_local_address(tmp_path: Path, authority: AuthorityFiles) -> None:
    """It is served on its interface; if that is made anew, the status says that nobody can connect."""
    make = "ip link add veth1 address 02:00:00:00:00:07 type veth && ip link set veth1 addrgenmode eui64 up"
    command = in_namespace(tmp_path, make)
    config = write_config(tmp_path, authority)
    listen = "[fe80::ff:fe00:7%veth1]:7727"
    with supervised(Daemon(tmp_path, config, [f"server.listen={listen}"], (*command, *QSCPD))) as daemon:
        pid = daemon.process.pid
        daemon.wait_for_log("listen.missing")
        run_inside(pid, "ip", "link", "set", "veth0", "up")  # its other end, so that it has a carrier
        daemon.wait_for_log("listen.missing.over")
        connect = "import socket; socket.create_connection(('fe80::ff:fe00:7%veth1', 7727)).close()"
        run_inside(pid, sys.executable, "-c", connect)
        run_inside(pid, "sh", "-c", f"ip link del veth1 && {make} && ip link set veth0 up")
        assert status(daemon)["listen_missing"] == [listen]


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        ("127.0.0.1:7, 127.0.0.1:007", "127.0.0.1:7 is listed twice; keep one"),
        ("[::]:7, [0::1]:7", "[::]:7 already includes [::1]:7; keep one"),
        ("127.0.0.1:7, localhost:7", "127.0.0.1:7 and localhost:7 both listen on 127.0.0.1:7; keep one"),
    ],
)
def test_overlapping_addresses(tmp_path: Path, authority: AuthorityFiles, listen: str, sentence: str) -> None:
    """The true cause is named by `checkconfig` and by `run`, and no restart is tried."""
    for verb in ("checkconfig", "run"):
        ended = run(tmp_path, authority, verb, listen)
        assert ended.returncode == ExitCode.CONFIG
        assert ended.stderr.endswith(f"server.listen: {sentence}\n")
        assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        ("no.such.host.invalid:7", "no.such.host.invalid:7: the name can't be looked up: "),
        ("[fe80::1%nowhere0]:7", "[fe80::1%nowhere0]:7: this machine has no interface nowhere0"),
    ],
)
def test_what_is_not_known_now(tmp_path: Path, authority: AuthorityFiles, listen: str, sentence: str) -> None:
    """A name or an interface that is not known now ends `run` with a code for which systemd tries again."""
    started = run(tmp_path, authority, "run", listen)
    assert started.returncode == ExitCode.FAILED
    checked = run(tmp_path, authority, "checkconfig", listen)
    assert checked.returncode == ExitCode.CONFIG
    for ended in (started, checked):
        assert f"server.listen: {sentence}" in ended.stderr
        assert ended.stderr.count("\n") == 1


def test_an_address_of_another_machine(start_daemon: StartDaemon) -> None:
    """An address that may be mistyped does not look healthy, and the others are served."""
    daemon = start_daemon("server.listen=203.0.113.7:0, 127.0.0.1:0")
    (missing,) = status(daemon)["listen_missing"]
    assert daemon.wait_for_log("listen.missing")["address"] == missing
    assert f"this machine lacks {missing} (server.listen)" in daemon.run("status").stderr
    socket.create_connection(("127.0.0.1", daemon.port), PATIENCE_S).close()
