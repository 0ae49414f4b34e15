"""Passwords: rules, hashes, and the threads that compute them.

A hash is argon2id and deliberately takes tens of milliseconds and tens of mebibytes. So
it never runs on the event loop, and the number of running and waiting hashes is bounded.
"""

import asyncio
import contextlib
import os
import secrets
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from qscp.limits import PASSWORD_LIMIT
from qscpd.config.model import Argon2Config
from qscpd.errors import QscpdError, UsageError
from qscpd.fairness import FairQueue

PASSWORD_MINIMUM: Final = 8
"""Fewest characters in a new password: the minimum of NIST SP 800-63B. Its newest revision asks for 15
where a password is the only factor; `--generate` makes such a one. There are no rules about kinds of
characters and no forced changes: the standard says that they make passwords worse."""

_GENERATED_BYTES: Final = 15
"""Random bytes in a generated password: 120 bits, and 20 characters without padding."""

_HASH_BYTES: Final = 32

_NICE: Final = 10
"""nice(2) increment of the hashing threads (at most 19): they still get a tenth of a busy processor."""

_PER_ACCOUNT: Final = 20
"""Passwords of one account and address that can wait: as many devices as reconnect at once."""

_TURN_OF_OTHERS: Final = 4
"""Every so-maniest turn is not for users who logged in from there before, if others wait."""

_USUAL_S: Final = 0.03
"""What a hash takes until some were measured."""

_SMOOTHING: Final = 16
"""Hashes over which that time is averaged."""

ResultT = TypeVar("ResultT")


class MalformedHashError(QscpdError):
    """A stored password hash is not argon2; the account needs a new password."""


class PoolFullError(QscpdError):
    """The queue of passwords to check is full."""


def _normalize(password: str) -> bytes:
    """Return the bytes that are hashed.

    NFKC, as NIST SP 800-63B requires: the same characters are the same password, however a
    keyboard composes them.
    """
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")


def check_new_password(password: str) -> None:
    """Check the rules for a new password.

    Raises:
        UsageError: It breaks a rule; the text names the rule, never the password.
    """
    # Length counts characters as typed; NFKC can change their number.
    if len(password) < PASSWORD_MINIMUM:
        raise UsageError(f"the password is too short; use at least {PASSWORD_MINIMUM} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise UsageError("the password contains control characters; use only characters that can be typed")
    if max(len(password.encode()), len(_normalize(password))) > PASSWORD_LIMIT:
        raise UsageError(f"the password is too long; use at most {PASSWORD_LIMIT} bytes of UTF-8")


def check_hash(password_hash: str) -> None:
    """Check the form of a password hash before it is stored.

    Raises:
        MalformedHashError: It is not an argon2 hash.
    """
    from passlib.hash import argon2  # noqa: PLC0415 - slow to import, and few commands hash

    try:
        argon2.from_string(password_hash)
    except ValueError:
        # The library's text can contain the hash.
        raise MalformedHashError("the password hash is malformed") from None


def generate_password() -> str:
    """Return a random password of letters, digits, hyphens and underscores."""
    return secrets.token_urlsafe(_GENERATED_BYTES)


class PasswordHasher:
    """Hasher with the parameters of the configuration; safe for use by several threads."""

    def __init__(self, config: Argon2Config) -> None:
        from passlib.hash import argon2  # noqa: PLC0415 - slow to import, and few commands hash

        self._scheme = argon2.using(
            type="ID",
            memory_cost=config.memory_kib,
            rounds=config.iterations,
            parallelism=config.parallelism,
            digest_size=_HASH_BYTES,
        )
        self._dummy: str = self._scheme.hash(secrets.token_bytes(_HASH_BYTES))

    @property
    def dummy_hash(self) -> str:
        """A hash of the same cost that matches no password, for logins of unknown users."""
        return self._dummy

    def hash(self, password: str) -> str:
        """Return the hash of a password that was checked or verified before."""
        password_hash: str = self._scheme.hash(_normalize(password))
        return password_hash

    def verify(self, password: str, password_hash: str) -> bool:
        """Return whether the password matches the hash.

        Raises:
            MalformedHashError: The hash is not an argon2 hash.
        """
        encoded = _normalize(password)
        if len(encoded) > PASSWORD_LIMIT:
            # No password is that long, and an unauthenticated peer must not make us hash more.
            return False
        try:
            return bool(self._scheme.verify(encoded, password_hash))
        except ValueError:
            # The library's text can contain the hash.
            raise MalformedHashError("a stored password hash is malformed; set the password again") from None

    def needs_rehash(self, password_hash: str) -> bool:
        """Return whether the hash was made with other parameters.

        Raises:
            MalformedHashError: The hash is not an argon2 hash.
        """
        try:
            return bool(self._scheme.needs_update(password_hash))
        except ValueError:
            raise MalformedHashError("a stored password hash is malformed; set the password again") from None


class Place(NamedTuple):
    """Whose turn a password takes."""

    known: bool = False
    """Whether the user logged in from there before."""
    network: str = ""
    address: str = ""
    account: str = ""
    most: int = sys.maxsize
    """Passwords of the address that can wait."""
    wanted: Callable[[], bool] = lambda: True
    """Whether there is still a peer who waits for the answer."""

    @property
    def path(self) -> tuple[str, str, str]:
        """Its share of the queue."""
        return self.network, self.address, self.account


ANYWHERE: Final = Place()


class _Waiting(NamedTuple):
    """A password that waits for a thread."""

    work: Callable[[], Any]
    future: "asyncio.Future[Any]"
    place: Place
    loop: asyncio.AbstractEventLoop


class PasswordPool:
    """Bounded queue in front of a few hashing threads, fair between addresses; belongs to one event loop.

    Networks, addresses and accounts have their turns, so one that tries a thousand passwords waits, not
    one that tries a single one. Users who logged in from there before come first, but leave every fourth
    turn to others. When the queue is full, the newest of the longest share is dropped.
    """

    def __init__(self, hasher: PasswordHasher, *, workers: int, queue: int) -> None:
        """Create the pool; its threads start with the first passwords.

        Args:
            hasher: The hasher of all threads.
            workers: Number of threads.
            queue: Number of passwords that can wait.
        """
        self._hasher = hasher
        self._workers = workers
        self._limit = queue
        self._running = 0
        self._turns = 0
        self._closed = False
        self._hash_s = _USUAL_S
        self._known: FairQueue[_Waiting] = FairQueue()
        self._others: FairQueue[_Waiting] = FairQueue()
        self._executor = ThreadPoolExecutor(
            workers, thread_name_prefix="password", initializer=_lower_priority
        )

    @property
    def pending(self) -> int:
        """Number of passwords in work or waiting."""
        return self._running + len(self._known) + len(self._others)

    def check_room(self, place: Place) -> None:
        """Check that the queue has room for a password.

        Raises:
            PoolFullError: It has not.
        """
        queue = self._queue(place)
        if (
            self._closed
            or queue.size(*place.path) >= _PER_ACCOUNT
            or queue.size(place.network, place.address) >= place.most
        ):
            raise PoolFullError("too many passwords of one address or account wait to be checked")

    def wait_s(self, place: Place) -> float:
        """Return about how many seconds a password waits, from what waits now."""
        queue = self._queue(place)
        ahead = (queue.size(place.network, place.address) + 1) * max(queue.turns(), 1)
        return min(ahead, self.pending) * self._hash_s / self._workers

    async def verify(self, password: str, password_hash: str | None, place: Place = ANYWHERE) -> bool:
        """Return whether the password matches; a hash of None takes as long and never matches.

        Args:
            password: The password.
            password_hash: The hash of the account; None if there is no such account.
            place: Whose turn it takes.

        Raises:
            PoolFullError: The queue is full, or the place's share of it.
            MalformedHashError: The hash is not an argon2 hash.
        """
        if password_hash is None:
            await self._run(lambda: self._hasher.verify(password, self._hasher.dummy_hash), place)
            return False
        return await self._run(lambda: self._hasher.verify(password, password_hash), place)

    async def hash(self, password: str, place: Place = ANYWHERE) -> str:
        """Return the hash of a password.

        Raises:
            PoolFullError: As `verify`.
        """
        return await self._run(lambda: self._hasher.hash(password), place)

    def needs_rehash(self, password_hash: str) -> bool:
        """Return whether the hash was made with other parameters; needs no thread."""
        return self._hasher.needs_rehash(password_hash)

    def close(self) -> None:
        """Drop waiting passwords; running hashes end on their own within a moment."""
        self._closed = True
        while self._known or self._others:
            _refuse(self._next())
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], ResultT], place: Place) -> ResultT:
        self.check_room(place)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ResultT] = loop.create_future()
        waiting = _Waiting(work, future, place, loop)
        queue = self._queue(place)
        queue.push(waiting, *place.path)
        self._start()
        if len(self._known) + len(self._others) > self._limit:
            _refuse((self._others or self._known).drop())
        try:
            return await future
        finally:
            # A caller that is cancelled waits no longer; a thread that has begun is counted to its end.
            queue.discard(waiting, *place.path)

    def _queue(self, place: Place) -> FairQueue[_Waiting]:
        return self._known if place.known else self._others

    def _next(self) -> _Waiting:
        self._turns += 1
        if self._known and (self._turns % _TURN_OF_OTHERS or not self._others):
            return self._known.pop()
        return self._others.pop()

    def _start(self) -> None:
        """Start hashes as long as a thread is free and a password waits."""
        while self._running < self._workers and (self._known or self._others):
            waiting = self._next()
            if not waiting.place.wanted():
                _refuse(waiting)
                continue
            self._running += 1
            begun = time.monotonic()
            running = self._executor.submit(waiting.work)
            running.add_done_callback(partial(self._end_soon, waiting, begun))

    def _end_soon(self, waiting: _Waiting, begun: float, done: Future[Any]) -> None:
        # A closed loop raises, and no longer needs the result.
        with contextlib.suppress(RuntimeError):
            waiting.loop.call_soon_threadsafe(self._end, waiting, begun, done)

    def _end(self, waiting: _Waiting, begun: float, done: Future[Any]) -> None:
        self._running -= 1
        self._hash_s += (time.monotonic() - begun - self._hash_s) / _SMOOTHING
        if not waiting.future.done():
            if done.cancelled():
                _refuse(waiting)
            elif (error := done.exception()) is not None:
                waiting.future.set_exception(error)
            else:
                waiting.future.set_result(done.result())
        if not self._closed:
            self._start()


def _refuse(waiting: _Waiting) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(PoolFullError("too many passwords wait to be checked"))


def _lower_priority() -> None:
    """Give this thread less of a busy processor than the event loop gets.

    A thousand simultaneous logins should not slow down existing sessions. On Linux the priority is
    per thread (setpriority(2), "C library/kernel differences").
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
