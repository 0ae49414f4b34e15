"""What the addresses of the configuration mean on a machine."""

import errno
import os
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

import pytest

from qscpd.config import Endpoint, IPAddress, ListenAddress
from qscpd.errors import QscpdError
from qscpd.net import listen_plan
from qscpd.net.listen_plan import ListenPlan, plan_listening, resolve
from qscpd.net.local_addresses import AddressState

LO = socket.if_nametoindex("lo")

Resolve = Callable[..., None]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Sets the results of the look-up of every name: an address, or with its interface's index."""

    def resolve_to(*found: str | tuple[str, int]) -> None:
        results = []
        for each in found:
            host, scope = (each, 0) if isinstance(each, str) else each
            where = (host, 7, 0, scope) if ":" in host else (host, 7)
            results.append((socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", where))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: results)

    return resolve_to


def ips(entry: ListenAddress) -> list[str]:
    """Return the addresses of an entry."""
    return [str(endpoint.ip) for endpoint in resolve(entry)]


def test_a_name_has_all_of_its_addresses_once(names: Resolve) -> None:
    """All results count, in their order, an IPv4 address inside IPv6 as itself."""
    names("::1", "127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1", "2001:db8::7", "192.0.2.7")
    assert ips(ListenAddress("chat.example", 7)) == ["::1", "127.0.0.1", "2001:db8::7", "192.0.2.7"]


def test_link_local_addresses_have_the_name_of_their_interface(names: Resolve) -> None:
    """Name and index of an interface mean the same; without one an address can't be used."""
    assert ips(ListenAddress("fe80::1%lo", 7)) == ips(ListenAddress(f"fe80::1%{LO}", 7)) == ["fe80::1%lo"]
    names(("fe80::1", LO), ("fe80::2", 0), "127.0.0.1")
    assert ips(ListenAddress("chat.example", 7)) == ["fe80::1%lo", "127.0.0.1"]


def test_the_star_means_both_wildcards() -> None:
    """It needs no look-up."""
    assert ips(ListenAddress("*", 7)) == ["0.0.0.0", "::"]  # noqa: S104


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM])
def test_a_name_that_is_not_known_is_a_sentence(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The error has the reason and what to do."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "the reason")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(QscpdError, match="7: the name can't be looked up: the reason; check"):
        resolve(ListenAddress("chat.example", 7))


def test_a_name_has_a_bounded_number_of_addresses(names: Resolve) -> None:
    """Neither none nor hundreds."""
    names(*(f"192.0.2.{number}" for number in range(65)))
    with pytest.raises(QscpdError, match="it has 65 addresses, more than 64"):
        resolve(ListenAddress("chat.example", 7))
    names(("fe80::2", 0))
    with pytest.raises(QscpdError, match="it has no address"):
        resolve(ListenAddress("chat.example", 7))


def planned(
    monkeypatch: pytest.MonkeyPatch, machine: Callable[[IPAddress], AddressState], *hosts: str
) -> ListenPlan:
    """Return the plan of a machine for addresses on one port."""
    monkeypatch.setattr(listen_plan, "probe_address", machine)
    return plan_listening([ListenAddress(host, 7) for host in hosts])


def shown(endpoints: list[Endpoint]) -> list[str]:
    """Return endpoints as text."""
    return list(map(str, endpoints))


def without_ipv6(ip: IPAddress) -> AddressState:
    """Answer as a kernel that knows no IPv6."""
    return AddressState.HERE if ip.version == 4 else AddressState.NO_FAMILY


def nothing_but_loopback(ip: IPAddress) -> AddressState:
    """Answer as a machine that has only 127.0.0.1 at this moment."""
    here = ip in (ip_address("127.0.0.1"), IPv4Address(0))
    return AddressState.HERE if here else AddressState.MISSING


def test_wildcards_and_loopback_of_a_missing_family_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without the family and a network without ::1 are the same."""
    for machine in (without_ipv6, nothing_but_loopback):
        for host in ("::", "::1"):
            plan = planned(monkeypatch, machine, host, "127.0.0.1")
            assert (shown(plan.usable), shown(plan.skipped)) == (["127.0.0.1:7"], [f"[{host}]:7"])
            assert (plan.missing, plan.problems) == ([], [])
            alone = planned(monkeypatch, machine, host)
            assert alone.problems == [
                f"this machine has no IPv6 for [{host}]:7, and nothing else is listed; add what it has"
            ]


def test_other_addresses_are_bound_although_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """They can come later, also if nothing else is listed."""
    plan = planned(monkeypatch, nothing_but_loopback, "192.0.2.7", "2001:db8::7")
    assert shown(plan.usable) == shown(plan.missing) == ["192.0.2.7:7", "[2001:db8::7]:7"]
    assert (plan.skipped, plan.problems) == ([], [])


def test_an_address_of_a_family_that_the_kernel_lacks(
    monkeypatch: pytest.MonkeyPatch, names: Resolve
) -> None:
    """It is an error if it is written as such, and skipped if it is one of a name's."""
    plan = planned(monkeypatch, without_ipv6, "127.0.0.1", "2001:db8::7")
    assert plan.problems == ["[2001:db8::7]:7: this machine has no IPv6; enable it, or remove the address"]
    names("2001:db8::7", "192.0.2.7")
    named = planned(monkeypatch, without_ipv6, "chat.example")
    assert (shown(named.usable), shown(named.skipped)) == (["192.0.2.7:7"], ["[2001:db8::7]:7"])
    names("2001:db8::7")
    only = planned(monkeypatch, without_ipv6, "chat.example")
    (problem,) = only.problems
    assert problem.startswith(
        "this machine has no IPv6 for [2001:db8::7]:7 (chat.example:7), and nothing else"
    )


def test_all_problems_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry that can't be used hides no other."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    plan = plan_listening([ListenAddress(host, 7) for host in ("a", "127.0.0.1", "b", "fe80::1%nowhere0")])
    assert [problem.partition(": ")[0] for problem in plan.problems] == ["a:7", "b:7", "[fe80::1%nowhere0]:7"]
    assert shown(plan.usable) == ["127.0.0.1:7"]
