"""Which addresses count as one peer."""

from ipaddress import ip_network

import pytest

from qscpd.net.address_share import is_in, share_of


@pytest.mark.parametrize(
    ("address", "share", "network"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("64:ff9b::c000:207", "192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::1%eth0", "fe80::1%eth0"),
        ("::1", "::1", "::1"),
        ("", "", ""),
    ],
)
def test_keys_of_an_address(address: str, share: str, network: str) -> None:
    """IPv4 counts by address, also inside IPv6; IPv6 by /64 and /48, on a link by address."""
    assert share_of(address) == (share, network)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.9", True),
        ("::ffff:127.0.0.9", True),
        ("2001:db8::1", True),
        ("128.0.0.1", False),
        ("::1", False),
        ("", False),
    ],
)
def test_networks_of_either_family(address: str, inside: bool) -> None:
    """An address is in a network of its family only."""
    assert is_in(address, (ip_network("127.0.0.0/8"), ip_network("2001:db8::/32"))) is inside
    assert not is_in(address, ())
