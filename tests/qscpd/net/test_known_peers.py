"""Places where accounts logged in before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscpd.net import known_peers
from qscpd.net.known_peers import KnownPeers
from tests.support.clock import ManualClock

DEVICE = "6f1c02b9a4d84e5f9b3a7c1d2e8f4a60"


def test_a_login_makes_its_address_and_its_device_known() -> None:
    """After a login, address and device are known for that account only."""
    known = KnownPeers(ManualClock())
    assert not known.knows_address(1, "192.0.2.7")
    known.add(1, "192.0.2.7", DEVICE)
    assert known.knows_address(1, "192.0.2.7")
    assert known.knows_device(1, DEVICE)
    assert not known.knows_address(1, "192.0.2.8")
    assert not known.knows_address(2, "192.0.2.7")
    assert not known.knows_device(2, DEVICE)


def test_a_device_without_an_id_is_never_known() -> None:
    """A client that keeps nothing has no device that could be known."""
    known = KnownPeers(ManualClock())
    known.add(1, "192.0.2.7", "")
    assert not known.knows_device(1, "")


def test_places_are_forgotten_after_a_week() -> None:
    """A place is known for a week after the last login there."""
    clock = ManualClock()
    known = KnownPeers(clock)
    known.add(1, "192.0.2.7", DEVICE)
    clock.now += 7 * 86400
    assert known.knows_address(1, "192.0.2.7")
    known.add(1, "192.0.2.8", "")
    clock.now += 1
    assert not known.knows_address(1, "192.0.2.7")
    assert not known.knows_device(1, DEVICE)
    known.add(1, "192.0.2.8", "")
    assert known.accounts_at("192.0.2.7") == 0


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40)), max_size=200))
def test_it_is_bounded_and_counts_accounts(logins: list[tuple[int, int]]) -> None:
    """An account has its last sixteen places, and each address the number of its accounts."""
    known = KnownPeers(ManualClock())
    last: dict[int, list[int]] = {}
    for account, place in logins:
        known.add(account, f"192.0.2.{place}", f"{place:032x}")
        places = last.setdefault(account, [])
        if place in places:
            places.remove(place)
        last[account] = [*places, place][-16:]
    for place in range(1, 41):
        expected = [account for account, places in last.items() if place in places]
        assert known.accounts_at(f"192.0.2.{place}") == len(expected)
        for account in (1, 2, 3):
            assert known.knows_address(account, f"192.0.2.{place}") is (account in expected)
            assert known.knows_device(account, f"{place:032x}") is (account in expected)


def test_the_oldest_place_is_forgotten_first() -> None:
    """Of seventeen places the first one is forgotten, as an address and as a device."""
    known = KnownPeers(ManualClock())
    for place in range(17):
        known.add(1, f"192.0.2.{place}", f"{place:032x}")
    assert [known.knows_address(1, f"192.0.2.{place}") for place in range(17)] == [False, *[True] * 16]
    assert [known.knows_device(1, f"{place:032x}") for place in range(17)] == [False, *[True] * 16]
    assert known.accounts_at("192.0.2.0") == 0


def test_the_account_that_was_away_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many accounts, the one with the oldest login is forgotten, and its places are free."""
    monkeypatch.setattr(known_peers, "_ACCOUNTS", 2)
    known = KnownPeers(ManualClock())
    for account in (1, 2, 1, 3):
        known.add(account, "192.0.2.7", DEVICE)
    assert [known.knows_address(account, "192.0.2.7") for account in (1, 2, 3)] == [True, False, True]
    assert known.accounts_at("192.0.2.7") == 2
