"""Addresses that the daemon listens on."""

import asyncio
import contextlib
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
import structlog.testing

from qscpd.config import IPAddress, ListenAddress
from qscpd.net import bound_addresses, listen_plan
from qscpd.net.binding import bind_all
from qscpd.net.bound_addresses import BoundAddresses
from qscpd.net.local_addresses import AddressState


class Machine:
    """A machine that has the addresses that a test wants.

    Attributes:
        lacking: Addresses that it lacks.
        looked: Addresses that it was asked for.
    """

    def __init__(self) -> None:
        self.lacking: set[IPAddress] = set()
        self.looked: list[IPAddress] = []

    def probe_address(self, ip: IPAddress) -> AddressState:
        """Return whether it has an address."""
        self.looked.append(ip)
        return AddressState.MISSING if ip in self.lacking else AddressState.HERE


FIRST, SECOND = ip_address("127.0.0.1"), ip_address("127.0.0.2")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The machine on which the addresses are."""
    made = Machine()
    monkeypatch.setattr(bound_addresses, "probe_address", made.probe_address)
    monkeypatch.setattr(listen_plan, "probe_address", made.probe_address)
    return made


@pytest.fixture
def bound(machine: Machine) -> Iterator[BoundAddresses]:
    """A wildcard and two addresses."""
    listen = [ListenAddress("0.0.0.0", 0), ListenAddress("127.0.0.1", 0), ListenAddress("127.0.0.2", 0)]  # noqa: S104
    with contextlib.closing(bind_all(listen)) as made:
        machine.looked.clear()
        yield made


def test_a_tick_looks_at_one_address_in_turn(machine: Machine, bound: BoundAddresses) -> None:
    """A wildcard is never missing."""
    for _ in range(4):
        bound.tick()
    assert machine.looked == [FIRST, SECOND, FIRST, SECOND]


def test_a_change_is_logged_once(machine: Machine, bound: BoundAddresses) -> None:
    """A line when an address is missing, and one when the machine has it again."""
    shown = bound.addresses[2]
    with structlog.testing.capture_logs() as logged:
        bound.report()
        for machine.lacking in (set(), {SECOND}, {SECOND}, set(), set()):
            asyncio.run(bound.check())
            assert bound.missing == ([shown] if machine.lacking else [])
    assert [(line["event"], line["address"]) for line in logged] == [
        ("listen.missing", shown),
        ("listen.missing.over", shown),
    ]
    assert "nobody can connect to it" in logged[0]["reason"]


def test_what_is_missing_at_the_start_is_reported(machine: Machine) -> None:
    """Missing and skipped addresses are a line each; all skipped ones share a line."""
    machine.lacking = {SECOND, ip_address("::1"), ip_address("::"), ip_address("203.0.113.7")}
    hosts = ("::", "127.0.0.1", "127.0.0.2", "203.0.113.7")
    with (
        contextlib.closing(bind_all([ListenAddress(host, 0) for host in hosts])) as bound,
        structlog.testing.capture_logs() as logged,
    ):
        bound.report()
        assert bound.missing == [bound.addresses[1]]
        assert bound.skipped == ["[::]:0", "127.0.0.2:0"]
    assert [line["event"] for line in logged] == ["listen.skipped", "listen.missing"]
    assert logged[0]["reason"] == (
        "this machine has no IPv4 and IPv6 for [::]:0, 127.0.0.2:0, so nothing listens there"
    )


def test_closing_closes_all_sockets(bound: BoundAddresses) -> None:
    """Nothing listens after that."""
    sockets = list(bound.sockets)
    bound.close()
    assert [each.fileno() for each in sockets] == [-1, -1, -1]
    assert bound.sockets == []
