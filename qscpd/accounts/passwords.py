"""Passwords: rules, hashes, and the threads that compute them.

A hash is argon2id and deliberately takes tens of milliseconds and tens of mebibytes. So
it never runs on the event loop, and the number of running and waiting hashes is bounded.
"""

import asyncio
import contextlib
import os
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from qscp.limits import PASSWORD_LIMIT
from qscpd.config.model import Argon2Config
from qscpd.errors import QscpdError, UsageError

PASSWORD_MINIMUM: Final = 8
"""Fewest characters in a new password: the minimum of NIST SP 800-63B. Its newest revision asks for 15
where a password is the only factor; `--generate` makes such a one. There are no rules about kinds of
characters and no forced changes: the standard says that they make passwords worse."""

_GENERATED_BYTES: Final = 15
"""Random bytes in a generated password: 120 bits, and 20 characters without padding."""

_HASH_BYTES: Final = 32

_NICE: Final = 10
"""nice(2) increment of the hashing threads (at most 19): they still get a tenth of a busy processor."""

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


class PasswordPool:
    """Bounded queue in front of a few hashing threads; belongs to one event loop."""

    def __init__(self, hasher: PasswordHasher, *, workers: int, queue: int) -> None:
        """Create the pool; its threads start with the first passwords.

        Args:
            hasher: The hasher of all threads.
            workers: Number of threads.
            queue: Number of passwords that can wait.
        """
        self._hasher = hasher
        self._limit = workers + queue
        self._pending = 0
        self._executor = ThreadPoolExecutor(
            workers, thread_name_prefix="password", initializer=_lower_priority
        )

    @property
    def pending(self) -> int:
        """Number of passwords in work or waiting."""
        return self._pending

    def check_room(self) -> None:
        """Check that the queue has room for a password.

        Raises:
            PoolFullError: It has not.
        """
        if self._pending >= self._limit:
            raise PoolFullError(f"{self._limit} passwords are already being checked or waiting")

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Return whether the password matches; a hash of None takes as long and never matches.

        Raises:
            PoolFullError: The queue is full.
            MalformedHashError: The hash is not an argon2 hash.
        """
        if password_hash is None:
            await self._run(lambda: self._hasher.verify(password, self._hasher.dummy_hash))
            return False
        return await self._run(lambda: self._hasher.verify(password, password_hash))

    async def hash(self, password: str) -> str:
        """Return the hash of a password.

        Raises:
            PoolFullError: The queue is full.
        """
        return await self._run(lambda: self._hasher.hash(password))

    def needs_rehash(self, password_hash: str) -> bool:
        """Return whether the hash was made with other parameters; needs no thread."""
        return self._hasher.needs_rehash(password_hash)

    def close(self) -> None:
        """Drop waiting passwords; running hashes end on their own within a moment."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        self.check_room()
        try:
            future = self._executor.submit(work)
        except RuntimeError:
            raise PoolFullError("no passwords are checked any more: the daemon is stopping") from None
        self._pending += 1
        # Counted until the thread is done, even if the caller is cancelled before: its thread
        # is still busy.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: self._release_soon(loop))
        return await asyncio.wrap_future(future)

    def _release_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        # A closed loop raises, and no longer needs the count.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._pending -= 1


def _lower_priority() -> None:
    """Give this thread less of a busy processor than the event loop gets.

    A thousand simultaneous logins should not slow down existing sessions. On Linux the priority is
    per thread (setpriority(2), "C library/kernel differences").
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
