"""Rates: how fast an account and a session may send, as token buckets.

Each bucket fills at a constant rate up to a burst. A session that finds one empty is read no further until
it has refilled a little; nothing is refused. The sessions of an account draw from the same buckets, and
wait for them in turn.

Most frames must not cost a look at the clock. So a bucket has a purse of tokens that were taken out of
it before, and only an empty purse is refilled by the clock. The purse counts towards the burst: what
passes in any time is at most burst + rate x time.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol

from qscpd.config import LimitsConfig

Kind = Literal["messages", "bytes", "requests", "frames"]

_FRAMES_PER_MESSAGE: Final = 10
"""Frames of any kind that a session may send for each message that its account may send."""

_PURSES: Final = 8
"""A full purse is the burst divided by this."""

_NANO: Final = 10**9


class Limit(NamedTuple):
    """Limit of one kind."""

    rate: int
    """Tokens a second."""
    burst: int
    """Tokens in a full bucket."""

    @property
    def purse(self) -> int:
        """Tokens in a full purse."""
        return self.burst // _PURSES

    @property
    def portion(self) -> int:
        """Tokens that are worth waiting for: those of a second, if the purse has room for them."""
        return min(self.rate, self.purse)


def limit_of(kind: Kind, limits: LimitsConfig) -> Limit:
    """Return the configured limit of a kind."""
    match kind:
        case "messages":
            return Limit(limits.messages_per_second, limits.message_burst)
        case "bytes":
            return Limit(limits.bytes_per_second, limits.byte_burst)
        case "requests":
            return Limit(limits.requests_per_second, limits.request_burst)
        case "frames":
            return Limit(
                _FRAMES_PER_MESSAGE * limits.messages_per_second, _FRAMES_PER_MESSAGE * limits.message_burst
            )


class Bucket:
    """Token bucket of one kind; exact, in integers.

    Attributes:
        kind: What is counted.
        left: Tokens in the purse, to be taken without asking; negative after a debt.
        low: Tokens below which the purse is worth refilling: half of it.
    """

    __slots__ = ("_at_ns", "_stock", "kind", "left", "low")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.left = 0
        self.low = 1
        self._stock = 0
        """Tokens that are not in the purse, in billionths."""
        self._at_ns = -1
        """Time of the last refill; negative before the first one."""

    def refill(self, now: float, limit: Limit) -> bool:
        """Fill the purse as far as the bucket has tokens; return whether there is any in it.

        Args:
            now: Loop time in seconds.
            limit: The present limit.
        """
        rate, burst = limit
        purse, left = burst // _PURSES, self.left
        at_ns = int(now * _NANO)
        if self._at_ns < 0:
            stock = burst * _NANO
        else:
            most = (burst - purse - left if left < 0 else burst - purse) * _NANO
            stock = self._stock + rate * (at_ns - self._at_ns)
            if stock > most:  # noqa: PLR1730 - `min` takes twice as long
                stock = most
        taken = min(purse - left, stock // _NANO)
        if taken > 0:
            self.left = left = left + taken
            stock -= taken * _NANO
        self._at_ns, self._stock, self.low = at_ns, stock, max(purse // 2, 1)
        return left > 0

    def is_full(self, now: float, limit: Limit) -> bool:
        """Return whether nothing is missing to the burst but what was left in the purse."""
        if self._at_ns < 0:
            return True
        grown = self._stock + limit.rate * (int(now * _NANO) - self._at_ns)
        return grown >= (limit.burst - self.left) * _NANO

    def wait_s(self, limit: Limit) -> float:
        """Return how long after the last refill there is enough to go on, in seconds."""
        missing = (limit.portion - self.left) * _NANO - self._stock
        return max(missing, 0) / (limit.rate * _NANO)


class Waiter(Protocol):
    """A session that waits for tokens."""

    def continue_reading(self) -> None:
        """Continue: there are tokens."""


class RateLimiter:
    """Buckets that sessions draw from, and the sessions that wait for them.

    Args:
        kinds: What is limited.
        limits: Returns the present limits.
        loop: The loop, for its clock.

    Attributes:
        buckets: One for each kind.
        waiting: Sessions that found a bucket empty, in order; all others wait behind them.
        dry: Whether a purse may be empty, or sessions wait: `refill` has to be asked.
        sharing: Number of sessions that share what is in the purses at this moment.
        due: Loop time at which those that wait continue.
        reason: Kind of the bucket that is empty.
    """

    __slots__ = ("_limits", "_loop", "_timer", "buckets", "dry", "due", "reason", "sharing", "waiting")

    def __init__(
        self, kinds: tuple[Kind, ...], limits: Callable[[], LimitsConfig], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self.buckets = tuple(map(Bucket, kinds))
        self.waiting: dict[Waiter, None] = {}
        self.dry = True
        self.sharing = 1
        self.due = 0.0
        self.reason: Kind = kinds[0]

    def now(self) -> float:
        """Return the loop's time in seconds."""
        return self._loop.time()

    def refill(self) -> bool:
        """Refill purses that are nearly empty; return False if one stays empty, or others wait already."""
        if self.waiting:
            return False
        now = self._loop.time()
        for bucket in self.buckets:
            if bucket.left < bucket.low and not bucket.refill(now, limit_of(bucket.kind, self._limits())):
                self.reason = bucket.kind
                self.dry = True
                return False
        self.dry = False
        return True

    def wait(self, session: Waiter) -> None:
        """Let a session continue when there is enough again of what there was none of."""
        self.waiting[session] = None
        self.dry = True
        if self._timer is None:
            limits = self._limits()
            empty = [each for each in self.buckets if each.left <= 0]
            wait_s = max((each.wait_s(limit_of(each.kind, limits)) for each in empty), default=0.0)
            self.due = self._loop.time() + wait_s
            self._timer = self._loop.call_at(self.due, self._continue)

    def forget(self, session: Waiter) -> None:
        """Forget a session whose link is gone."""
        self.waiting.pop(session, None)
        if not self.waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def is_full(self) -> bool:
        """Return whether all buckets are full: a new limiter would be no different."""
        now, limits = self._loop.time(), self._limits()
        return all(each.is_full(now, limit_of(each.kind, limits)) for each in self.buckets)

    def _continue(self) -> None:
        """Let all sessions that wait continue; each gets its share of what is in the purses."""
        self._timer = None
        waiting, self.waiting = self.waiting, {}
        self.sharing = len(waiting)
        left = iter(waiting)
        try:
            for session in left:
                session.continue_reading()
        finally:  # A bug in one session must not let the others wait for ever.
            self.sharing = 1
            for session in left:
                self._loop.call_soon(session.continue_reading)


class AccountRates(RateLimiter):
    """Rates of one account.

    Attributes:
        messages: Messages, edits, redactions and reactions.
        bytes: Bytes of all frames.
        requests: Requests that the server has to look something up for, or has to send to others.
        account: Id of the account.
        sessions: Number of its sessions.
    """

    __slots__ = ("account", "bytes", "messages", "requests", "sessions")

    def __init__(
        self, account: int, limits: Callable[[], LimitsConfig], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(("messages", "bytes", "requests"), limits, loop)
        self.messages, self.bytes, self.requests = self.buckets
        self.account = account
        self.sessions = 0


class SessionRates(RateLimiter):
    """Rates of one session.

    Attributes:
        frames: Frames of any kind.
    """

    __slots__ = ("frames",)

    def __init__(self, limits: Callable[[], LimitsConfig], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(("frames",), limits, loop)
        (self.frames,) = self.buckets


class Rates:
    """Rates of all accounts; one without a session is kept until its buckets are full again.

    Otherwise a new connection would come with new bursts.

    Args:
        limits: Returns the present limits.
    """

    def __init__(self, limits: Callable[[], LimitsConfig]) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._accounts: dict[int, AccountRates] = {}
        self._idle: dict[int, None] = {}
        """Accounts without a session, in the order in which the last one ended."""

    def __len__(self) -> int:
        return len(self._accounts)

    def of_session(self) -> SessionRates:
        """Return the rates of a new session."""
        return SessionRates(self._limits, self._loop)

    def enter(self, account: int) -> AccountRates:
        """Return the rates of an account that a session has logged in to."""
        self._forget_full()
        self._idle.pop(account, None)
        rates = self._accounts.get(account)
        if rates is None:
            rates = self._accounts[account] = AccountRates(account, self._limits, self._loop)
        rates.sessions += 1
        return rates

    def leave(self, rates: AccountRates) -> None:
        """Note that a session of an account has ended."""
        rates.sessions -= 1
        if not rates.sessions:
            self._idle[rates.account] = None
        self._forget_full()

    def _forget_full(self) -> None:
        """Forget idle accounts, from the oldest on, until one is not full yet."""
        while self._idle:
            account = next(iter(self._idle))
            if not self._accounts[account].is_full():
                return
            del self._idle[account], self._accounts[account]
