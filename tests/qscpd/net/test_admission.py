"""Admission of connections before the login."""

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscpd.config import Config, LoginConfig, ServerConfig
from qscpd.net.admission import Admission, Visitor
from tests.support.clock import ManualClock


class Door:
    """An admission whose random numbers the test sets.

    Attributes:
        admission: The admission.
        clock: Its clock.
        number: The next random numbers.
        evicted: Addresses of evicted connections, in order.
    """

    def __init__(self, most: int = 1000, descriptors: int = 10_000, **login: object) -> None:
        settings = replace(LoginConfig(), **{"drop_start": 10_000, "drop_full": 10_000, **login})  # type: ignore[arg-type]
        config = Config(server=ServerConfig(max_connections=most), login=settings)
        self.clock = ManualClock()
        self.number = 0.0
        self.evicted: list[str] = []
        self.admission = Admission(config, self.clock, descriptors=descriptors, chance=lambda: self.number)

    def come(self, remote: str) -> Visitor | str:
        """Let a connection come; return its visitor, or why it is refused."""
        visitor = self.admission.admit(remote)
        if isinstance(visitor, Visitor):
            visitor.evict = lambda: self.evicted.append(remote)
        return visitor

    def enter(self, remote: str) -> Visitor:
        """Let a connection come that is admitted."""
        visitor = self.come(remote)
        assert isinstance(visitor, Visitor), visitor
        return visitor

    def leave(self, visitor: Visitor, *, timeout: bool = False) -> None:
        """End a connection."""
        self.admission.left(visitor, timeout=timeout, ours=False)


def test_an_address_has_a_number_of_connections_before_the_login() -> None:
    """One more than the cap is refused; others are not, and one that ends or logs in makes room."""
    door = Door(connections_per_address=3)
    first, second, _ = [door.enter("192.0.2.1") for _ in range(3)]
    assert door.come("192.0.2.1") == "address"
    door.enter("192.0.2.2")
    first.tried = True
    door.leave(first)
    door.enter("192.0.2.1")
    assert door.come("192.0.2.1") == "address"
    door.admission.stop_waiting(second)
    door.enter("192.0.2.1")


def test_an_office_behind_one_address_fits() -> None:
    """Connections that are logged in do not count for their address."""
    door = Door(connections_per_address=2)
    for _ in range(500):
        door.admission.stop_waiting(door.enter("192.0.2.1"))
    door.enter("192.0.2.1")
    assert door.admission.waiting == 1


def test_an_address_gets_one_more_for_each_account_that_logged_in_there() -> None:
    """After a restart of an office's router, all its users can come back at once."""
    door = Door(connections_per_address=2)
    for account in range(100):
        door.admission.known.add(account, "192.0.2.1", "")
    for _ in range(102):
        door.enter("192.0.2.1")
    assert door.come("192.0.2.1") == "address"


def test_allowed_networks_have_a_cap_of_their_own() -> None:
    """A network of `allow` has its own cap and no penalties."""
    door = Door(connections_per_address=1, connections_per_allowed=5, allow=(ip_network("192.0.2.0/24"),))
    visitors = [door.enter("192.0.2.1") for _ in range(5)]
    assert door.come("192.0.2.1") == "address"
    for visitor in visitors:
        door.leave(visitor, timeout=True)
    assert door.admission.penalty(visitors[0]) == 0
    assert door.admission.has_failed(visitors[0])


def test_an_ipv6_network_has_four_shares() -> None:
    """However many /64s a /48 has, it gets four shares."""
    door = Door(connections_per_address=2)
    for number in range(8):
        door.enter(f"2001:db8:1:{number:x}::1")
    assert door.come("2001:db8:1:ff::1") == "network"
    door.enter("2001:db8:2::1")


def test_a_new_connection_takes_the_place_of_one_of_the_largest_share() -> None:
    """With no room left, the oldest connection of the address with most of them goes."""
    door = Door(most=10, connections_per_address=10)
    door.enter("192.0.2.2")
    for _ in range(9):
        door.enter("192.0.2.1")
    assert door.come("192.0.2.1") == "max_connections"
    for number in range(3, 7):
        door.enter(f"192.0.2.{number}")
    assert door.evicted == ["192.0.2.1"] * 4


def test_connections_that_are_logged_in_are_never_evicted() -> None:
    """If all connections are logged in, a new one is refused."""
    door = Door(most=3)
    for _ in range(3):
        door.admission.stop_waiting(door.enter("192.0.2.1"))
    assert door.come("192.0.2.2") == "max_connections"
    assert door.evicted == []


def test_descriptors_bound_connections_too() -> None:
    """If the process can have fewer files open than connections, that is the bound."""
    door = Door(most=100, descriptors=2)
    for _ in range(2):
        door.admission.stop_waiting(door.enter("192.0.2.1"))
    assert door.come("192.0.2.2") == "descriptors"


def test_a_part_is_kept_for_addresses_that_logged_in_before() -> None:
    """One of sixteen connections is for known addresses, and these are not evicted."""
    door = Door(most=16)
    door.admission.known.add(1, "192.0.2.9", "")
    for number in range(15):
        door.admission.stop_waiting(door.enter(f"192.0.2.{number + 20}"))
    assert door.come("192.0.2.1") == "max_connections"
    door.enter("192.0.2.9")
    assert door.come("192.0.2.1") == "max_connections"
    assert door.evicted == []


@pytest.mark.parametrize(
    ("waiting", "number", "dropped"),
    [
        (9, 0.0, False),
        (10, 0.29, True),
        (10, 0.31, False),
        (15, 0.64, True),
        (15, 0.66, False),
        (20, 1, True),
    ],
)
def test_early_drop_grows_from_start_to_full(waiting: int, number: float, dropped: bool) -> None:
    """From `drop_start` on the chance is `drop_rate`; it grows to certainty at `drop_full`."""
    door = Door(drop_start=10, drop_rate=30, drop_full=20)
    door.number = 2.0  # never
    for _ in range(waiting):
        door.enter("192.0.2.1")
    door.number = number
    assert isinstance(door.come("192.0.2.1"), str) is dropped


def test_early_drop_takes_from_the_largest_share() -> None:
    """Under pressure a connection of the largest share goes, not the new one of another address."""
    door = Door(drop_start=10, drop_rate=100, drop_full=20)
    for _ in range(10):
        door.enter("192.0.2.1")
    door.enter("192.0.2.2")
    assert door.evicted == ["192.0.2.1"]


def test_timeouts_and_churn_add_up_to_a_penalty() -> None:
    """An address that only connects and leaves gets an eighth of its share, and all of it again later."""
    door = Door(connections_per_address=8)
    for _ in range(30):
        door.leave(door.enter("192.0.2.1"))
    visitor = door.enter("192.0.2.1")
    assert door.admission.penalty(visitor) == 30
    assert door.come("192.0.2.1") == "address"
    door.leave(visitor, timeout=True)
    door.clock.now += 39
    door.enter("192.0.2.1")
    assert door.come("192.0.2.1") == "address"
    door.clock.now += 1
    door.enter("192.0.2.1")


def test_a_login_or_a_try_is_no_churn() -> None:
    """A connection that logged in, has tried to, or was ended by the daemon costs nothing."""
    door = Door()
    done, tried, ours, evicted = [door.enter("192.0.2.1") for _ in range(4)]
    door.admission.stop_waiting(done)
    tried.tried = True
    for visitor in (done, tried):
        door.leave(visitor)
    door.admission.left(ours, timeout=True, ours=True)
    door.admission.stop_waiting(evicted)
    door.leave(evicted, timeout=True)
    assert not door.admission.has_failed(tried)


def test_a_known_address_is_not_held_to_its_penalty() -> None:
    """Users of an address that logged in before can connect, also beside an attacker."""
    door = Door()
    door.admission.known.add(1, "192.0.2.1", "")
    for _ in range(40):
        door.leave(door.enter("192.0.2.1"))
    for _ in range(10):
        door.enter("192.0.2.1")


def test_failures_of_many_addresses_penalise_their_network() -> None:
    """Failures that change their /64 each time add up for the /48, at a sixteenth."""
    door = Door()
    for number in range(16 * 6):
        visitor = door.admission.visitor(f"2001:db8:1:{number:x}::1")
        assert door.admission.penalty(visitor) == 0
        door.admission.charge(visitor, 5)
    assert door.admission.penalty(door.admission.visitor("2001:db8:1:ffff::1")) == 30
    assert door.admission.penalty(door.admission.visitor("2001:db8:2::1")) == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["come", "leave", "login"])), max_size=200))
def test_counts_agree_with_the_connections(events: list[tuple[int, str]]) -> None:
    """After any events, the counts are those of the connections that wait, and nothing is left at the end."""
    door = Door(most=12, connections_per_address=4, drop_start=6, drop_full=9)
    here: list[Visitor] = []
    for number, event in events:
        if event == "come":
            visitor = door.come(f"2001:db8:{number // 3}:{number}::1")
            if isinstance(visitor, Visitor):
                here.append(visitor)
        elif number < len(here):
            if event == "leave":
                door.leave(here.pop(number))
            else:
                door.admission.stop_waiting(here[number])
        waiting = [each for each in here if each.waiting]
        assert door.admission.waiting == len(waiting)
        assert door.admission._open == len(here)
        for each in here:
            mine = sum(other.share.address == each.share.address for other in waiting)
            assert door.admission._addresses[each.share.address] == mine <= 4
    for each in here:
        door.leave(each)
    assert (door.admission.waiting, door.admission._open) == (0, 0)
    assert not door.admission._evictable
    assert not len(door.admission._addresses) + len(door.admission._networks)
