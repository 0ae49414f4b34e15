"""Floods before the login, from one address and from many: others connect and log in as always."""

import asyncio
import contextlib
import json
import os
import re
import resource
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import PASSWORD, Daemon, StartDaemon, add_accounts, supervised, write_config
from tests.support.waiting import PATIENCE_S, patiently, until
from tests.support.wire import Frame, Wire, Wires

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")

ATTACKER = "127.0.9.1"
STRANGERS = "login.allow="
"""Setting with which the loopback has no privileges."""
PATIENT = "tls.handshake_timeout=10m"
"""Setting with which connections that send nothing stay, however slow this machine is."""


async def log_in(wires: Wires, daemon: Daemon, user: str, source: str, password: str = PASSWORD) -> Frame:
    """Connect from an address and try to log in; return the answer."""
    wire = await wires.connect(daemon, source=source)
    wire.send({"type": "auth", "user": user, "password": password})
    answer = await wire.receive()
    if answer["type"] != "auth_ack":
        wire.reset()
    return answer


def flood(daemon: Daemon, source: str, count: int) -> list[socket.socket]:
    """Open connections that send nothing, and return those that the daemon does not close."""
    there = ("127.0.0.1", daemon.port)
    return [socket.create_connection(there, PATIENCE_S, (source, 0)) for _ in range(count)]


def kept(opened: list[socket.socket]) -> int:
    """Return how many connections the daemon has not closed."""
    open_ones = 0
    for each in opened:
        each.setblocking(False)
        try:
            open_ones += each.recv(1) != b""
        except BlockingIOError:
            open_ones += 1
        except OSError:
            pass
    return open_ones


async def test_idle_connections_of_one_address_keep_nobody_out(
    start_daemon: StartDaemon, wires: Wires
) -> None:
    """With thousands of idle connections from one address, newcomers from others are all served."""
    daemon = start_daemon(STRANGERS, "server.max_connections=300", PATIENT)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(each) for each in flood(daemon, ATTACKER, 1000)]
        await until(lambda: kept(opened) == 64)
        for number in range(20):
            answer = await log_in(
                wires, daemon, ("alice", "bob", "carol")[number % 3], f"127.0.1.{number + 1}"
            )
            assert answer["type"] == "auth_ack"


async def test_idle_tls_connections_of_many_addresses_keep_nobody_out(
    start_daemon: StartDaemon, wires: Wires
) -> None:
    """When addresses together take all places, each newcomer takes one from the largest of them."""
    daemon = start_daemon(STRANGERS, "server.max_connections=100", "login.connections_per_address=20")
    idle = [await wires.connect(daemon, source=f"127.0.9.{number % 5 + 1}") for number in range(90)]
    for number in range(20):
        answer = await log_in(wires, daemon, "alice", f"127.0.1.{number + 1}")
        assert answer["type"] == "auth_ack"
    assert not idle[-1].writer.transport.is_closing()


async def test_an_office_behind_one_address_fits(start_daemon: StartDaemon, wires: Wires) -> None:
    """Sessions that are logged in do not count for their address."""
    daemon = start_daemon(STRANGERS, "login.connections_per_address=3")
    for number in range(30):
        answer = await log_in(wires, daemon, ("alice", "bob", "carol")[number % 3], ATTACKER)
        assert answer["type"] == "auth_ack"


async def test_good_logins_come_through_a_flood_of_bad_ones(start_daemon: StartDaemon, wires: Wires) -> None:
    """An address that fails is refused as busy after some tries; users elsewhere log in as always."""
    daemon = start_daemon(STRANGERS)
    codes: Counter[str] = Counter()
    for number in range(20):
        answer = await log_in(wires, daemon, f"nobody{number}", ATTACKER, "wrong")
        codes[answer["code"]] += 1
        if answer["code"] == "busy":
            assert 2 <= answer["retry_after"] <= 600
            break
    assert 6 <= codes["bad_credentials"] <= 12
    assert codes["busy"] == 1
    assert (await log_in(wires, daemon, "alice", "127.0.1.1"))["type"] == "auth_ack"
    await until(lambda: "auth.deferred" in [entry["event"] for entry in daemon.sessions()])
    failed = [entry["remote"] for entry in daemon.sessions() if entry["event"] == "auth.fail"]
    assert failed == [ATTACKER] * min(codes["bad_credentials"], 10)


async def test_guesses_at_the_same_time_are_no_more_than_one_by_one(
    start_daemon: StartDaemon, wires: Wires
) -> None:
    """Guesses of an address that wait together are refused, too, once some of them have failed."""
    daemon = start_daemon(STRANGERS)
    guessing = [await wires.connect(daemon, source=ATTACKER) for _ in range(40)]
    for number, wire in enumerate(guessing):
        wire.send({"type": "auth", "user": f"nobody{number}", "password": "wrong"})
    codes = Counter([(await wire.receive_type("auth_nack"))["code"] for wire in guessing])
    assert codes["bad_credentials"] + codes["busy"] == 40
    assert codes["bad_credentials"] <= 12


async def test_users_who_logged_in_there_before_pass(start_daemon: StartDaemon, wires: Wires) -> None:
    """Behind the address of an attacker, a user who logged in there before still logs in."""
    daemon = start_daemon(STRANGERS)
    assert (await log_in(wires, daemon, "alice", ATTACKER))["type"] == "auth_ack"
    while (await log_in(wires, daemon, "nobody", ATTACKER, "wrong"))["code"] != "busy":
        pass
    assert (await log_in(wires, daemon, "alice", ATTACKER))["type"] == "auth_ack"
    assert (await log_in(wires, daemon, "bob", ATTACKER))["code"] == "busy"


async def test_churn_is_slowed_down(start_daemon: StartDaemon, wires: Wires) -> None:
    """An address that connects and leaves again and again gets an eighth of its connections."""
    settings = ("login.penalty.threshold=5s", "login.penalty.no_login=5s", "login.connections_per_address=8")
    daemon = start_daemon(STRANGERS, *settings)
    (await wires.plain(daemon, source=ATTACKER)).reset()
    async with patiently():
        while True:
            with contextlib.ExitStack() as stack:
                opened = [stack.enter_context(each) for each in flood(daemon, ATTACKER, 5)]
                await asyncio.sleep(0.05)
                if kept(opened) == 1:
                    break
    assert (await log_in(wires, daemon, "alice", "127.0.1.1"))["type"] == "auth_ack"


async def test_a_flood_of_refused_connections_writes_little(start_daemon: StartDaemon, wires: Wires) -> None:
    """Thousands of refused connections are ten lines and a summary at the end, with the right number."""
    daemon = start_daemon(STRANGERS, "login.connections_per_address=1")
    with contextlib.ExitStack() as stack:
        first = await wires.plain(daemon, source=ATTACKER)
        await until(lambda: kept([stack.enter_context(flood(daemon, ATTACKER, 1)[0])]) == 0)
        for _ in range(30):
            for each in flood(daemon, ATTACKER, 100):
                each.close()
        # They are accepted in order, so after the last one nothing is left in the kernel's queue.
        last = [stack.enter_context(each) for each in flood(daemon, ATTACKER, 1)]
        await until(lambda: kept(last) == 0)
        assert not first.writer.transport.is_closing()
    assert await asyncio.to_thread(daemon.stop) == 0
    refused = [entry for entry in daemon.log if entry["event"] == "link.refused"]
    shape = "".join("+" if "count" in entry else "." for entry in refused)
    # Ten lines and a summary. A minute that ends meanwhile begins anew, with whatever is left of the flood.
    assert re.fullmatch(r"\.{0,10}(\.{10}\+)+\.{0,10}", shape)
    assert {entry["remote"] for entry in refused} == {ATTACKER}
    assert sum(entry.get("count", 1) for entry in refused) >= 3001


async def test_floods_of_sessions_write_little(start_daemon: StartDaemon, wires: Wires) -> None:
    """Sessions of one address, and of one account, are ten lines of a kind and a summary."""
    daemon = start_daemon()
    for _ in range(25):
        wire = await wires.connect(daemon)
        wire.send_plaintext(b"not json\n")
        await wire.rest()
        (alice,) = await wires.login(daemon, "alice", resume=False)
        await alice.bye()
    await wires.close()
    await asyncio.to_thread(daemon.stop)
    for lines, event, whole in (
        (daemon.sessions(), "session.open", 50),
        (daemon.sessions(), "session.close", 50),
        (daemon.sessions(), "auth.ok", 25),
        (daemon.log, "session.violation", 25),
    ):
        found = [entry for entry in lines if entry["event"] == event]
        assert sum(entry.get("count", 1) for entry in found) == whole
        assert len(found) <= 44
    summaries = [entry for entry in daemon.sessions() if entry["event"] == "auth.ok" and "count" in entry]
    assert {entry["user"] for entry in summaries} == {"alice"}


async def test_failed_logins_are_summed_up_in_the_same_form(start_daemon: StartDaemon, wires: Wires) -> None:
    """Ten lines of `auth.fail`, then a summary that begins like them and has the address in its place."""
    daemon = start_daemon("login.account_delay=0s")
    for _ in range(15):
        assert (await log_in(wires, daemon, "alice", "127.0.0.1", "wrong"))["code"] == "bad_credentials"
    await asyncio.to_thread(daemon.stop)
    failed = [entry for entry in daemon.sessions() if entry["event"] == "auth.fail"]
    assert sum(entry.get("count", 1) for entry in failed) == 15
    summaries = [entry for entry in failed if "count" in entry]
    assert summaries
    for entry in summaries:
        assert list(entry) == ["time", "event", "remote", "session", "reason", "user", "count"]
        assert (entry["remote"], entry["session"], entry["reason"]) == ("127.0.0.1", None, "bad_credentials")


async def test_few_descriptors(tmp_path: Path, authority: AuthorityFiles, wires: Wires) -> None:
    """With too few descriptors the daemon warns, refuses what is too much, and goes on with its own work."""
    limit = 110
    config = write_config(tmp_path, authority)
    add_accounts(tmp_path / "qscpd.db", {"alice": PASSWORD})
    command = ["prlimit", f"--nofile={limit}:{limit}", sys.executable, "-m", "qscpd"]
    with supervised(Daemon(tmp_path, config, command=command)) as daemon, contextlib.ExitStack() as stack:
        warning = daemon.wait_for_log("config.warning", 2)
        assert "4096 connections need 4160 open files" in warning["reason"]
        opened = [stack.enter_context(each) for each in flood(daemon, "127.0.9.1", 300)]
        await until(lambda: kept(opened) <= limit - 64)
        assert (await log_in(wires, daemon, "alice", "127.0.1.1"))["type"] == "auth_ack"
        done = await asyncio.to_thread(daemon.run, "status", "--json")
        assert json.loads(done.stdout)["pid"] == daemon.process.pid
        await until(lambda: any(line.get("reason") == "descriptors" for line in daemon.log))
        assert [line["event"] for line in daemon.log].count("link.refused") < 20


async def test_exhausted_descriptors(start_daemon: StartDaemon, wires: Wires) -> None:
    """When accept fails for want of descriptors, that is one line; afterwards everybody is served."""
    daemon = start_daemon(PATIENT)
    (alice,) = await wires.login(daemon, "alice")
    whole = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))  # noqa: PTH208 - /proc never blocks
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (used + 1, whole[1]))
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(each) for each in flood(daemon, "127.0.9.1", 50)]
        await until(lambda: "link.accept_failed" in [line["event"] for line in daemon.log])
        alice.send({"type": "ping"})
        await alice.receive_type("pong")
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, whole)
        assert (await log_in(wires, daemon, "bob", "127.0.1.1"))["type"] == "auth_ack"
        assert kept(opened) == 50
    daemon.expected_errors.add("link.accept_failed")
    assert [line["event"] for line in daemon.log].count("link.accept_failed") == 1


async def connect_in_time(wires: Wires, daemon: Daemon, source: str) -> Wire:
    """Connect, and do the handshake; try again if this machine was too slow for the daemon."""
    async with patiently():
        while True:
            with contextlib.suppress(EOFError, ConnectionError):
                return await wires.connect(daemon, source=source)


async def test_half_open_and_slow_handshakes_are_penalised(start_daemon: StartDaemon, wires: Wires) -> None:
    """Connections that never finish their handshake end in time, and cost their address a penalty."""
    settings = ("tls.handshake_timeout=1s", "login.penalty.threshold=15s", "login.connections_per_address=8")
    daemon = start_daemon(STRANGERS, *settings)
    for _ in range(2):
        silent: Wire = await wires.plain(daemon, source=ATTACKER)
        await silent.ended()
    await until(lambda: [line["event"] for line in daemon.log].count("link.timeout") == 2)
    first = await connect_in_time(wires, daemon, ATTACKER)
    first.send({"type": "auth", "user": "alice", "password": PASSWORD})
    assert (await first.receive())["code"] == "busy"
    with pytest.raises((EOFError, ConnectionError)):
        await wires.connect(daemon, source=ATTACKER)
