"""Binding of the addresses in the configuration."""

import contextlib
import errno
import os
import re
import socket
from typing import Any

import pytest

from qscpd.config import IPAddress, ListenAddress
from qscpd.errors import ConfigError, PermissionDeniedError, QscpdError
from qscpd.net import binding
from qscpd.net.binding import bind_all, check_listen
from qscpd.net.local_addresses import socket_address
from tests.support.ports import free_port
from tests.support.users import as_user

ELSEWHERE = "203.0.113.7"
"""An address of no machine (RFC 5737)."""


def test_addresses_of_both_families() -> None:
    """Addresses have the actual ports, IPv6 in brackets; both families can share a port."""
    port = free_port()
    with contextlib.closing(bind_all([ListenAddress("0.0.0.0", port), ListenAddress("::", port)])) as both:  # noqa: S104
        assert both.addresses == [f"0.0.0.0:{port}", f"[::]:{port}"]
        assert len(both.sockets) == 2
    with contextlib.closing(bind_all([ListenAddress("127.0.0.1", 0)])) as free:
        assert free.addresses == [f"127.0.0.1:{free.sockets[0].getsockname()[1]}"]


def test_a_taken_port_is_named_and_the_others_are_given_back() -> None:
    """If an address can not be bound, the error names it and none stays bound."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, free = taken.getsockname()[1], free_port()
        with pytest.raises(QscpdError, match=rf"127\.0\.0\.1:{port}: the port is in use"):
            bind_all([ListenAddress("127.0.0.1", free), ListenAddress("127.0.0.1", port)])
        socket.create_server(("127.0.0.1", free)).close()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "fe80::1%nowhere0"])
def test_an_entry_that_can_not_be_used_is_named(host: str) -> None:
    """The error names an unknown name or interface, and `check_listen` finds it too."""
    entry = ListenAddress(host, 7727)
    with pytest.raises(QscpdError, match=re.escape(f"server.listen: {entry}: ")) as caught:
        bind_all([entry])
    assert check_listen([entry]).problems == [str(caught.value)]


def test_overlaps_are_errors_of_the_configuration() -> None:
    """Entries that include each other are refused before anything is bound."""
    listen = [ListenAddress("0.0.0.0", 7), ListenAddress("localhost", 7)]  # noqa: S104
    with pytest.raises(ConfigError) as caught:
        bind_all(listen)
    assert "server.listen: 0.0.0.0:7 already includes 127.0.0.1:7 (localhost:7); keep one" in str(
        caught.value
    )
    assert check_listen(listen).problems == caught.value.problems


@pytest.mark.skipif(not hasattr(os, "O_PATH"), reason="only Linux binds an address that the machine lacks")
def test_an_address_that_the_machine_lacks_is_bound() -> None:
    """It is bound and listed as usable; `check_listen` warns."""
    entry = ListenAddress(ELSEWHERE, 0)
    with contextlib.closing(bind_all([entry])) as bound:
        assert bound.sockets[0].getsockname()[0] == ELSEWHERE
    problems, warnings = check_listen([entry])
    assert problems == []
    assert [warning.partition(",")[0] for warning in warnings] == [
        f"server.listen: this machine lacks {ELSEWHERE}:0"
    ]


def test_all_addresses_of_a_name_get_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the port of the first address is taken on another, the system chooses again."""
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    ports: list[int] = []
    with socket.socket() as taken:

        def take_first(ip: IPAddress, port: int) -> Any:  # noqa: ANN401 - as the function itself
            if port and not ports:
                taken.bind(("127.0.0.2", port))
                taken.listen()
            ports.append(port)
            return socket_address(ip, port)

        monkeypatch.setattr(binding, "socket_address", take_first)
        with contextlib.closing(bind_all([ListenAddress("chat.example", 0)])) as bound:
            first, second = (each.getsockname() for each in bound.sockets)
    assert (first[0], second[0]) == ("127.0.0.1", "127.0.0.2")
    assert first[1] == second[1]


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""
    found = [
        (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0, 0, 0))
        for each in addresses
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_a_privileged_port(request: pytest.FixtureRequest) -> None:
    """A port below 1024 names the capability and the place of the documentation."""
    with as_user(request.path.parent), pytest.raises(PermissionDeniedError) as caught:
        bind_all([ListenAddress("127.0.0.1", 7)])
    for words in ("127.0.0.1:7", "CAP_NET_BIND_SERVICE", "systemctl edit qscpd", "docs/installation.md"):
        assert words in str(caught.value)


@pytest.mark.parametrize("call", ["socket", "setsockopt", "bind", "listen"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1", "::1", ELSEWHERE, "2001:db8::7", "localhost"])  # noqa: S104
def test_every_error_of_the_system_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, host: str, call: str
) -> None:
    """Whatever the kernel answers, the error names the address; nothing else is raised."""
    for number in errno.errorcode:
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socket", failing_socket(call, number))
            with pytest.raises(QscpdError, match=r"server\.listen: ") as caught:
                bind_all([ListenAddress(host, 7727)])
        assert host in str(caught.value)


def failing_socket(call: str, number: int) -> type[socket.socket]:
    """Return a class of sockets of which one call fails, or the making of one."""

    class Failing(socket.socket):
        def __init__(self, *args: Any) -> None:  # noqa: ANN401 - as the class itself
            if call == "socket":
                raise OSError(number, os.strerror(number))
            super().__init__(*args)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    if call != "socket":
        setattr(Failing, call, fail)
    return Failing
