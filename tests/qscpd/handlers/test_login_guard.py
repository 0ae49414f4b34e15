"""What slows logins down: penalties of addresses, delays of accounts, and who is never held up."""

from dataclasses import replace

import pytest

from qscpd.config import Config, LoginConfig
from qscpd.domain.model import Account, AccountState
from qscpd.fairness import Lane
from qscpd.handlers.login_guard import Attempt, LoginGuard
from qscpd.net.admission import Admission
from tests.support.clock import ManualClock

ACCOUNTS = {name: Account(n, name, AccountState.ACTIVE, 0) for n, name in enumerate(("alice", "bob"), 1)}
DEVICE = "6f1c02b9a4d84e5f9b3a7c1d2e8f4a60"


class Gate:
    """A guard with a clock that the test moves."""

    def __init__(self, **login: object) -> None:
        config = replace(Config(), login=replace(LoginConfig(), **login))  # type: ignore[arg-type]
        self.clock = ManualClock()
        self.admission = Admission(config, self.clock, descriptors=1000)
        self.guard = LoginGuard(self.admission, self.clock)

    def attempt(self, user: str, remote: str, device: str = "") -> Attempt:
        """Return an attempt."""
        visitor = self.admission.visitor(remote)
        return self.guard.attempt(visitor, user, ACCOUNTS.get(user), device)

    def fail(self, user: str, remote: str, device: str = "") -> None:
        """Let a login fail, however it is judged."""
        attempt = self.attempt(user, remote, device)
        self.guard.failed(attempt, self.guard.judge(attempt))

    def succeed(self, user: str, remote: str, device: str = "") -> None:
        """Let a login succeed."""
        self.guard.succeeded(self.attempt(user, remote, device))

    def refused_s(self, user: str, remote: str, device: str = "") -> float:
        """Return for how long a login is refused."""
        return self.guard.judge(self.attempt(user, remote, device)).refused_s

    def delay_s(self, user: str, remote: str, device: str = "") -> float:
        """Return the delay of a login."""
        judgement = self.guard.judge(self.attempt(user, remote, device))
        assert judgement.refused_s == 0
        return judgement.delay_s

    def lane(self, user: str, remote: str, device: str = "") -> Lane:
        """Return the lane of a login."""
        return self.guard.judge(self.attempt(user, remote, device)).lane


def test_an_address_that_guesses_is_refused_for_a_while() -> None:
    """After six failures an address is refused until its penalty has run out; others are not."""
    gate = Gate()
    for number in range(6):
        assert gate.refused_s("alice", "192.0.2.1") == 0
        gate.fail(f"name{number}", "192.0.2.1")
    assert gate.refused_s("alice", "192.0.2.1") == 30
    assert gate.refused_s("alice", "192.0.2.2") == 0
    gate.clock.now += 30
    assert gate.refused_s("alice", "192.0.2.1") == 0


def test_a_user_behind_the_same_address_is_not_refused() -> None:
    """Who logged in from the address before is not held up by others who guess there."""
    gate = Gate()
    gate.succeed("alice", "192.0.2.1")
    for _ in range(50):
        gate.fail("bob", "192.0.2.1")
    assert gate.lane("alice", "192.0.2.1") is Lane.KNOWN
    assert gate.refused_s("bob", "192.0.2.1") > 0
    assert gate.lane("alice", "192.0.2.2") is Lane.CLEAN


def test_a_known_device_is_not_held_up_anywhere() -> None:
    """On a device that logged in before, a user passes from any address, also one with a penalty."""
    gate = Gate()
    gate.succeed("alice", "192.0.2.1", DEVICE)
    for _ in range(50):
        gate.fail("alice", "192.0.2.9")
    assert gate.lane("alice", "192.0.2.9", DEVICE) is Lane.KNOWN
    assert gate.refused_s("alice", "192.0.2.9") > 0


def test_strangers_delay_only_strangers() -> None:
    """Guesses at an account from many addresses delay its logins from new places, never from known ones."""
    gate = Gate()
    gate.succeed("alice", "192.0.2.1")
    delays = []
    for number in range(12):
        delays.append(gate.delay_s("alice", "203.0.113.1"))
        gate.fail("alice", f"198.51.100.{number}")
    assert delays == [0] * 6 + [0.25, 0.5, 1, 1, 1, 1]
    assert gate.delay_s("alice", "192.0.2.1") == 0
    assert gate.delay_s("bob", "203.0.113.1") == 0


def test_a_delay_is_no_lock_out() -> None:
    """However many guesses there are, the delay of a login has a bound, and decays."""
    gate = Gate()
    for number in range(10_000):
        gate.fail("alice", f"10.0.{number // 250}.{number % 250}")
    assert gate.delay_s("alice", "203.0.113.1") == 1
    gate.clock.now += 15 * 60
    assert gate.delay_s("alice", "203.0.113.1") == 0


@pytest.mark.parametrize("user", ["alice", "nobody-here", "No Name!"])
def test_unknown_names_are_treated_as_accounts(user: str) -> None:
    """Nothing tells an account from a name that nobody has: penalties and delays are the same."""
    gate = Gate()
    for number in range(8):
        gate.fail(user, f"198.51.100.{number}")
    assert gate.delay_s(user, "203.0.113.1") == (0 if user == "No Name!" else 1)
    gate.fail(user, "203.0.113.1")
    assert gate.lane(user, "203.0.113.1") is Lane.FAILED


def test_guesses_at_a_known_place_make_it_unknown_for_a_while() -> None:
    """Who guesses a neighbour's password behind one address has six tries, then the address's penalty."""
    gate = Gate()
    gate.succeed("alice", "192.0.2.1")
    gate.succeed("alice", "192.0.2.1", DEVICE)
    for _ in range(6):
        assert gate.lane("alice", "192.0.2.1") is Lane.KNOWN
        gate.fail("alice", "192.0.2.1")
    assert gate.refused_s("alice", "192.0.2.1") == 30
    assert gate.lane("alice", "192.0.2.1", DEVICE) is Lane.KNOWN
    gate.clock.now += 30
    assert gate.lane("alice", "192.0.2.1") is Lane.KNOWN


def test_allowed_networks_are_not_penalised_but_wait_behind_others() -> None:
    """An address of `allow` is never refused; with failures it comes after addresses without any."""
    gate = Gate()
    for _ in range(100):
        gate.fail("nobody", "127.0.0.1")
    assert gate.refused_s("alice", "127.0.0.1") == 0
    assert gate.lane("alice", "127.0.0.1") is Lane.FAILED
    assert gate.lane("alice", "127.0.0.2") is Lane.CLEAN


def test_penalties_can_be_turned_off() -> None:
    """With penalties of 0 s and no delay, nothing is held up."""
    settings = replace(LoginConfig().penalty, auth_fail_s=0.0)
    gate = Gate(penalty=settings, account_delay_s=0.0)
    for _ in range(100):
        gate.fail("alice", "192.0.2.1")
    assert (gate.refused_s("alice", "192.0.2.1"), gate.delay_s("alice", "192.0.2.1")) == (0, 0)


def test_the_table_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound, the name that failed longest ago is forgotten."""
    monkeypatch.setattr("qscpd.handlers.login_guard._ACCOUNTS", 10)
    gate = Gate()
    for number in range(50):
        gate.fail(f"name{number}", f"192.0.2.{number}")
    assert list(gate.guard._failures) == [f"name{number}" for number in range(40, 50)]


def test_shares_of_the_queue() -> None:
    """A place in the queue has the keys of its address; a known device has one of its own."""
    gate = Gate(queue=100, queue_per_address=7)
    gate.succeed("alice", "2001:db8:1:2::3", DEVICE)

    def place(user: str, remote: str, device: str = "") -> tuple[object, ...]:
        attempt = gate.attempt(user, remote, device)
        found = gate.guard.place(attempt, gate.guard.judge(attempt), lambda: True, lambda: False)
        return found.lane, found.path, found.most

    network, address = "2001:db8:1::/48", "2001:db8:1:2::/64"
    assert place("alice", "2001:db8:1:2::9") == (Lane.KNOWN, (network, address, "alice"), 7)
    assert place("alice", "2001:db8:1:2::9", DEVICE)[1] == (network, address, f"alice {DEVICE}")
    assert place("bob", "127.0.0.1") == (Lane.CLEAN, ("127.0.0.1", "127.0.0.1", "bob"), 100)
