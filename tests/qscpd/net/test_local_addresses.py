"""Addresses of this machine."""

import errno
import os
import socket
from ipaddress import ip_address

import pytest

from qscpd.net.local_addresses import AddressState, interface_index, probe_address, socket_address


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_addresses_that_every_machine_has(address: str) -> None:
    """Wildcard and loopback are here."""
    assert probe_address(ip_address(address)) is AddressState.HERE


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7", "fe80::7%lo"])
def test_an_address_that_this_machine_lacks(address: str) -> None:
    """An address of another machine is missing."""
    assert probe_address(ip_address(address)) is AddressState.MISSING


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (errno.EAFNOSUPPORT, AddressState.NO_FAMILY),
        (errno.EMFILE, AddressState.HERE),
        (errno.EPERM, AddressState.HERE),
    ],
)
def test_what_can_not_be_found_out_counts_as_here(
    monkeypatch: pytest.MonkeyPatch, number: int, state: AddressState
) -> None:
    """A kernel without the family differs from a process that can't open a socket."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", fail)
    assert probe_address(ip_address("::1")) is state


def test_a_broadcast_address_is_no_address_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel lets a process bind one, but refuses a route to it."""

    class Broadcast(socket.socket):
        def bind(self, _: object) -> None:
            pass

        def connect(self, _: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "socket", Broadcast)
    assert probe_address(ip_address("192.0.2.255")) is AddressState.MISSING


def test_interfaces_have_a_name_and_an_index() -> None:
    """Both forms of a zone mean the same; an unknown one is an OSError with its number."""
    index = socket.if_nametoindex("lo")
    assert interface_index("lo") == interface_index(str(index)) == index
    assert socket_address(ip_address("fe80::1%lo"), 7) == ("fe80::1", 7, 0, index)
    for zone in ("nowhere0", "999999", str(1 << 40)):
        with pytest.raises(OSError, match="No such device") as caught:
            interface_index(zone)
        assert caught.value.errno == errno.ENODEV
