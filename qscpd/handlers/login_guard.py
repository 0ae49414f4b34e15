"""What slows logins down before their password is checked: penalties, delays, shares of the queue.

A user who logged in from an address, or on a device, before is held up by nothing that others do.
Unknown names are treated as those of accounts, so nothing here tells which accounts exist.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from qscp.errors import InvalidNameError
from qscp.names import normalize_name
from qscpd.accounts.password_pool import Place
from qscpd.domain.model import Account
from qscpd.fairness import Lane
from qscpd.net.admission import Admission, Visitor
from qscpd.net.penalties import Penalties

_ACCOUNTS: Final = 65_536
"""Names whose failures are remembered; the one that failed longest ago is forgotten first."""

_FREE: Final = 5
"""Failures of a name, of everyone without a place there, that delay nobody."""

_FIRST_DELAY_S: Final = 0.25
"""Delay after one more; each further one doubles it."""

_HALVED_S: Final = 60.0
"""Seconds after which half of the failures are forgotten."""


class Attempt(NamedTuple):
    """A login that is about to be decided."""

    visitor: Visitor
    name: str
    """Name of the account, if there is one; empty for one that no account can have."""
    account: int | None
    device: str


class Judgement(NamedTuple):
    """What happens to a login before its password is checked."""

    lane: Lane
    """Who waits before and behind it."""
    device: bool = False
    """Whether the user logged in on the device before."""
    refused_s: float = 0.0
    """If not 0: it is not checked, and can be tried again after so many seconds."""
    delay_s: float = 0.0
    """Delay before it is checked."""


class LoginGuard:
    """Judge of logins, by what their address and their account have done before.

    Args:
        admission: Where addresses are known and penalised.
        clock: Seconds that never go back.
    """

    def __init__(self, admission: Admission, clock: Callable[[], float]) -> None:
        self._admission = admission
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Failures of a name by strangers to it, as a number that decays, and when it was written."""
        self._lapses = Penalties(clock)
        """Failures at known places: after some of them, the place is not known for a while."""

    def attempt(self, visitor: Visitor, user: str, account: Account | None, device: str) -> Attempt:
        """Return the attempt of a peer.

        Args:
            visitor: The peer's connection.
            user: The name as given.
            account: The account with that name, if there is one.
            device: The device's id; empty for one that keeps nothing.
        """
        try:
            name = normalize_name(user)
        except InvalidNameError:
            name = ""
        return Attempt(visitor, name, account.id if account else None, device)

    def judge(self, attempt: Attempt) -> Judgement:
        """Return what happens to a login before its password is checked."""
        by_device = self._knows_device(attempt)
        if by_device or self._knows_address(attempt):
            return Judgement(Lane.KNOWN, device=by_device)
        if penalty := self._admission.penalty(attempt.visitor):
            return Judgement(Lane.FAILED, refused_s=penalty)
        lane = Lane.FAILED if self._admission.has_failed(attempt.visitor) else Lane.CLEAN
        return Judgement(lane, delay_s=self._delay(attempt.name))

    def place(
        self,
        attempt: Attempt,
        judgement: Judgement,
        wanted: Callable[[], bool],
        hung_up: Callable[[], bool],
    ) -> Place:
        """Return the place of an attempt in the queue of passwords.

        A known device has a share of its own, so that guesses from its own address can't fill it.

        Args:
            attempt: The attempt.
            judgement: What `judge` has returned for it.
            wanted: Returns whether the peer still waits for the answer.
            hung_up: Returns whether it has closed its side of the connection.
        """
        visitor = attempt.visitor
        login = self._admission.config.login
        return Place(
            lane=judgement.lane,
            network=visitor.share.network,
            address=visitor.share.address,
            account=f"{attempt.name} {attempt.device}" if judgement.device else attempt.name,
            most=login.queue if visitor.allowed else login.queue_per_address,
            wanted=wanted,
            hung_up=hung_up,
        )

    def failed(self, attempt: Attempt, judgement: Judgement) -> None:
        """Note that the password was wrong."""
        settings = self._admission.config.login.penalty
        self._admission.charge(attempt.visitor, settings.auth_fail_s)
        if judgement.lane is Lane.KNOWN:
            lapse = _device_key(attempt) if judgement.device else _address_key(attempt)
            self._lapses.charge(
                lapse, settings.auth_fail_s, threshold=settings.threshold_s, longest=settings.longest_s
            )
        elif attempt.name:
            now = self._clock()
            failures = self._decayed(attempt.name) + 1
            self._failures.pop(attempt.name, None)
            self._failures[attempt.name] = (failures, now)
            if len(self._failures) > _ACCOUNTS:
                self._failures.popitem(last=False)

    def succeeded(self, attempt: Attempt) -> None:
        """Note that the password was right: from now on the place is known."""
        if attempt.account is not None:
            self._admission.known.add(attempt.account, attempt.visitor.share.address, attempt.device)

    def _knows_device(self, attempt: Attempt) -> bool:
        if attempt.account is None or self._lapses.remaining(_device_key(attempt)):
            return False
        return self._admission.known.knows_device(attempt.account, attempt.device)

    def _knows_address(self, attempt: Attempt) -> bool:
        if attempt.account is None or self._lapses.remaining(_address_key(attempt)):
            return False
        return self._admission.known.knows_address(attempt.account, attempt.visitor.share.address)

    def _delay(self, name: str) -> float:
        """Return the delay of a name: it grows with failures, and a right password waits no longer.

        It is never a lock-out: each login waits for itself, however many others there are.
        """
        excess = self._decayed(name) - _FREE
        if excess < 1:
            return 0.0
        longest = self._admission.config.login.account_delay_s
        return min(_FIRST_DELAY_S * math.exp2(min(excess - 1, 16.0)), longest)

    def _decayed(self, name: str) -> float:
        failures, at = self._failures.get(name, (0.0, 0.0))
        return failures * math.exp2((at - self._clock()) / _HALVED_S) if failures else 0.0


def _device_key(attempt: Attempt) -> tuple[object, ...]:
    return attempt.account, "device", attempt.device


def _address_key(attempt: Attempt) -> tuple[object, ...]:
    return attempt.account, "address", attempt.visitor.share.address
