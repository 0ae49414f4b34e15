"""Addresses in the logs."""

import pytest

from qscpd.net.address_policy import shown_address


@pytest.mark.parametrize(
    ("policy", "failure", "shown"),
    [
        ("always", False, "192.0.2.77"),
        ("always", True, "192.0.2.77"),
        ("failures", False, None),
        ("failures", True, "192.0.2.77"),
        ("truncated", False, "192.0.2.0"),
        ("truncated", True, "192.0.2.0"),
        ("never", False, None),
        ("never", True, None),
    ],
)
def test_policies(policy: str, failure: bool, shown: str | None) -> None:
    """Each policy applies to failed logins and to other events."""
    assert shown_address("192.0.2.77", policy, failure=failure) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("::ffff:192.0.2.77", "::"),
        ("", None),
    ],
)
def test_truncation_of_ipv6(address: str, shown: str | None) -> None:
    """A network of 48 bits remains, and an invalid address is left out."""
    assert shown_address(address, "truncated", failure=True) == shown
