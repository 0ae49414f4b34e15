"""Addresses to listen on."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest

from qscpd.config import Endpoint, ListenAddress, find_overlaps
from qscpd.config.listen import Listeners

KIND = Listeners()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("127.0.0.1:7727", "127.0.0.1:7727"),
        ("127.0.0.1:07562", "127.0.0.1:7562"),
        ("127.0.0.1:017562", "127.0.0.1:17562"),
        ("[0:0:0:0:0:0:0:1]:1", "[::1]:1"),
        ("[::0001]:1", "[::1]:1"),
        ("[2001:DB8::A]:1", "[2001:db8::a]:1"),
        ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
        ("[fe80::1%2]:1", "[fe80::1%2]:1"),
        ("[127.0.0.1]:1", "127.0.0.1:1"),
        ("*:1", "*:1"),
        ("localhost:1", "localhost:1"),
        ("localhost.:1", "localhost.:1"),
        ("bücher.example:1", "bücher.example:1"),
        ("my_host-1:1", "my_host-1:1"),
    ],
)
def test_an_address_has_one_form(text: str, shown: str) -> None:
    """Forms of one address are equal, and what is shown reads to the same value."""
    parsed = KIND.parse_item(text)
    assert str(parsed) == shown
    assert KIND.parse(KIND.show((parsed,)), Path()) == (parsed,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[::ffff:127.0.0.1]:7", "is an IPv4 address in the form of IPv6; write 127.0.0.1:7"),
        ("[::ffff:7f00:1]:7", "is an IPv4 address in the form of IPv6; write 127.0.0.1:7"),
        (
            "[fe80::1]:7",
            "is link-local, and every interface can have it; add the interface: [fe80::1%eth0]:7",
        ),
        ("[2001:db8::1%eth0]:7", "is not link-local, so it has no interface; write [2001:db8::1]:7"),
        ("[127.0.0.1%lo]:7", "is not link-local, so it has no interface; write 127.0.0.1:7"),
        ("[:::]:7", "is not an IPv6 address and port"),
        ("[1:2:3]:7", "is not an IPv6 address and port"),
        ("[1.2.3]:7", "is not an IPv6 address and port"),
        ("127.1:7", "is not an IPv4 address and port; write four numbers"),
        ("0:7", "is not an IPv4 address and port"),
        ("010.0.0.1:7", "is not an IPv4 address and port"),
        ("0x7f000001:7", "is not an IPv4 address and port"),
        ("2130706433:7", "is not an IPv4 address and port"),
        ("256.0.0.1:7", "is not an IPv4 address and port"),
        ("1.2.3.4.5:7", "is not an IPv4 address and port"),
        ("192.0.2.:7", "is not an IPv4 address and port"),
        ("224.0.0.1:7", "is a multicast address, and nobody can connect to one"),
        ("[ff02::1]:7", "is a multicast address"),
        ("255.255.255.255:7", "is a broadcast address"),
        (f"{'a' * 64}.example:7", "is not a name of DNS and a port"),
        ("a..example:7", "is not a name of DNS and a port"),
        ("a\0b:7", "is not a name of DNS and a port"),
        ("a\udc80b:7", "is not a name of DNS and a port"),
        (":7", "is not an address and port"),
    ],
)
def test_what_can_not_be_listened_on_is_refused(text: str, sentence: str) -> None:
    """The error quotes the text and says what to write."""
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        KIND.parse_item(text)
    assert str(caught.value).startswith(repr(text))


def endpoints(*texts: str) -> list[Endpoint]:
    """Return the endpoints of entries; `name=address:port` is a name that was looked up."""
    made: list[Endpoint] = []
    for text in texts:
        name, _, rest = text.rpartition("=")
        entry = KIND.parse_item(rest)
        found = entry.addresses
        made += [Endpoint(ListenAddress(name or entry.host, entry.port), ip) for ip in found]
    return made


@pytest.mark.parametrize(
    ("texts", "problems"),
    [
        (("0.0.0.0:1", "[::]:1"), []),
        (("127.0.0.1:1", "127.0.0.1:2"), []),
        (("127.0.0.1:1", "127.0.0.2:1"), []),
        (("0.0.0.0:0", "127.0.0.1:0", "127.0.0.1:0"), []),
        (("[fe80::1%eth0]:1", "[fe80::1%eth1]:1"), []),
        (("0.0.0.0:1", "[::1]:1"), []),
        (("127.0.0.1:1", "127.0.0.1:1"), ["127.0.0.1:1 is listed twice; keep one"]),
        (("[::1]:1", "[0::1]:01"), ["[::1]:1 is listed twice; keep one"]),
        (("0.0.0.0:1", "127.0.0.1:1"), ["0.0.0.0:1 already includes 127.0.0.1:1; keep one"]),
        (("192.0.2.1:1", "0.0.0.0:1"), ["0.0.0.0:1 already includes 192.0.2.1:1; keep one"]),
        (("[::]:1", "[fe80::1%eth0]:1"), ["[::]:1 already includes [fe80::1%eth0]:1; keep one"]),
        (("*:1", "[::1]:1"), ["*:1 already includes [::1]:1; keep one"]),
        (("*:1", "[::]:1"), ["*:1 and [::]:1 both listen on [::]:1; keep one"]),
        (
            ("127.0.0.1:1", "localhost=127.0.0.1:1", "localhost=[::1]:1"),
            ["127.0.0.1:1 and localhost:1 both listen on 127.0.0.1:1; keep one"],
        ),
        (("[::]:1", "localhost=[::1]:1"), ["[::]:1 already includes [::1]:1 (localhost:1); keep one"]),
        (
            ("0.0.0.0:1", "192.0.2.1:1", "192.0.2.2:1"),
            [
                "0.0.0.0:1 already includes 192.0.2.1:1; keep one",
                "0.0.0.0:1 already includes 192.0.2.2:1; keep one",
            ],
        ),
    ],
)
def test_overlaps_name_both_entries(texts: tuple[str, ...], problems: list[str]) -> None:
    """One address on one port can be listed once; a wildcard includes all of its family."""
    assert find_overlaps(endpoints(*texts)) == problems


def test_a_name_has_no_addresses_before_the_look_up() -> None:
    """An entry knows its addresses, unless it is a name."""
    assert KIND.parse_item("localhost:1").addresses == ()
    assert KIND.parse_item("[::1]:1").addresses == (ip_address("::1"),)
    assert KIND.parse_item("*:1").addresses == (IPv4Address(0), IPv6Address(0))
