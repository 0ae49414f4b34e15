"""Passwords: the rules for new ones, their hashes, and the few threads that may compute one.

A hash is argon2id and takes tens of milliseconds and tens of mebibytes on purpose, so
it never runs on the event loop, and how many run or wait is bounded.
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

__all__ = [
    "PASSWORD_MINIMUM",
    "MalformedHashError",
    "PasswordHasher",
    "PasswordPool",
    "PoolFullError",
    "check_hash",
    "check_new_password",
    "generate_password",
]

PASSWORD_MINIMUM: Final = 8
"""Characters in a new password: the floor of NIST SP 800-63B. Its newest revision asks for 15 where a
password is the only factor; an operator who wants that has `--generate`. Rules about kinds of characters
and forced changes make passwords worse, it says, so there are none."""

_GENERATED_BYTES: Final = 15
"""Random bytes in a generated password: 120 bits, and 20 characters without padding."""

_HASH_BYTES: Final = 32

_NICE: Final = 10
"""How much the threads stand back (nice(1) goes to 19): a tenth of a busy processor is still theirs."""

ResultT = TypeVar("ResultT")


class MalformedHashError(QscpdError):
    """A stored password hash is not argon2; the account needs a new password."""


class PoolFullError(QscpdError):
    """As many passwords as allowed are waiting to be checked already."""


def _normalize(password: str) -> bytes:
    """Return the bytes that are hashed.

    NFKC, as NIST SP 800-63B asks for: the same characters, typed on keyboards that compose
    them differently, are the same password.
    """
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")


def check_new_password(password: str) -> None:
    """Check a password before it is given to an account.

    Raises:
        UsageError: It breaks a rule; the text says which, and never the password.
    """
    # Length counts characters as typed; NFKC may make more or fewer of them.
    if len(password) < PASSWORD_MINIMUM:
        raise UsageError(f"the password is too short; use at least {PASSWORD_MINIMUM} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise UsageError("the password has control characters in it; use only characters that can be typed")
    if max(len(password.encode()), len(_normalize(password))) > PASSWORD_LIMIT:
        raise UsageError(f"the password is too long; use at most {PASSWORD_LIMIT} bytes of UTF-8")


def check_hash(password_hash: str) -> None:
    """Check the form of a password hash before it is stored.

    Raises:
        MalformedHashError: It is not one of argon2.
    """
    from passlib.hash import argon2  # noqa: PLC0415 - slow to import, and few commands hash

    try:
        argon2.from_string(password_hash)
    except ValueError:
        # The library's text may have the hash in it.
        raise MalformedHashError("the password hash is malformed") from None


def generate_password() -> str:
    """Make a random password from letters, digits, hyphen and underscore."""
    return secrets.token_urlsafe(_GENERATED_BYTES)


class PasswordHasher:
    """Hashes and verifies with the parameters of the configuration; safe for use by several threads."""

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
        """A hash of the same cost that no password fits, to verify against for a user who does not exist."""
        return self._dummy

    def hash(self, password: str) -> str:
        """Hash a password, which was checked by `check_new_password` or has been verified."""
        password_hash: str = self._scheme.hash(_normalize(password))
        return password_hash

    def verify(self, password: str, password_hash: str) -> bool:
        """Whether the password fits.

        Raises:
            MalformedHashError: The hash is not one of argon2.
        """
        encoded = _normalize(password)
        if len(encoded) > PASSWORD_LIMIT:
            # Nothing that long was ever hashed, and what a stranger can make us hash stays bounded.
            return False
        try:
            return bool(self._scheme.verify(encoded, password_hash))
        except ValueError:
            # The library's text may have the hash in it.
            raise MalformedHashError("a stored password hash is malformed; set the password again") from None

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than these.

        Raises:
            MalformedHashError: The hash is not one of argon2.
        """
        try:
            return bool(self._scheme.needs_update(password_hash))
        except ValueError:
            raise MalformedHashError("a stored password hash is malformed; set the password again") from None


class PasswordPool:
    """A bounded queue in front of a few threads that hash; belongs to one event loop."""

    def __init__(self, hasher: PasswordHasher, *, workers: int, queue: int) -> None:
        """Start without threads; they come with the first passwords.

        Args:
            hasher: What the threads run.
            workers: How many passwords are worked on at once.
            queue: How many more may wait.
        """
        self._hasher = hasher
        self._limit = workers + queue
        self._pending = 0
        self._executor = ThreadPoolExecutor(
            workers, thread_name_prefix="password", initializer=_let_others_go_first
        )

    @property
    def pending(self) -> int:
        """How many passwords are worked on or wait."""
        return self._pending

    def check_room(self) -> None:
        """Check whether one more password would be taken now.

        Raises:
            PoolFullError: It would not.
        """
        if self._pending >= self._limit:
            raise PoolFullError(f"{self._limit} passwords are being checked or wait already")

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password fits; None takes as long, and never fits.

        Raises:
            PoolFullError: At once, when the queue is full.
            MalformedHashError: The hash is not one of argon2.
        """
        if password_hash is None:
            await self._run(lambda: self._hasher.verify(password, self._hasher.dummy_hash))
            return False
        return await self._run(lambda: self._hasher.verify(password, password_hash))

    async def hash(self, password: str) -> str:
        """Hash a password.

        Raises:
            PoolFullError: At once, when the queue is full.
        """
        return await self._run(lambda: self._hasher.hash(password))

    def needs_rehash(self, password_hash: str) -> bool:
        """As of the hasher; it only reads the hash, and needs no thread."""
        return self._hasher.needs_rehash(password_hash)

    def close(self) -> None:
        """Drop what waits; what a thread is working on ends by itself within a moment."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        self.check_room()
        try:
            future = self._executor.submit(work)
        except RuntimeError:
            raise PoolFullError("no more passwords are checked: the daemon is stopping") from None
        self._pending += 1
        # Counted until the thread is done, not until the caller stops waiting: a caller
        # that was cancelled has not given its thread back.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: self._release_soon(loop))
        return await asyncio.wrap_future(future)

    def _release_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        # A loop that is closed raises, and has no use for the count any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._pending -= 1


def _let_others_go_first() -> None:
    """Give this thread less of a busy processor than the loop gets.

    When a thousand people log in at once, those who are in should not notice. A priority is a thread's own on
    Linux (setpriority(2), "C library/kernel differences").
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
