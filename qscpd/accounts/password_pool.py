"""Queue of passwords to check, and the threads that hash them."""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from qscpd.accounts.passwords import HashingError, PasswordHasher
from qscpd.errors import QscpdError
from qscpd.fairness import Lane, Lanes

_NICE: Final = 10
"""nice(2) increment of the hashing threads (at most 19): they still get a tenth of a busy processor."""

_PER_ACCOUNT: Final = 20
"""Passwords of one account and address that can wait: as many devices as reconnect at once."""

_USUAL_S: Final = 0.03
"""What a hash takes until some were measured."""

_SMOOTHING: Final = 16
"""Hashes over which that time is averaged."""

_RELEASE_AFTER_S: Final = 10.0
"""Time from an empty queue until the memory of hashes is released. Taking it again costs a hash 9 ms more, so
not after each."""

ResultT = TypeVar("ResultT")


class PoolFullError(QscpdError):
    """The queue of passwords to check is full."""


class Place(NamedTuple):
    """Whose turn a password takes."""

    lane: Lane = Lane.CLEAN
    network: str = ""
    address: str = ""
    account: str = ""
    most: int = sys.maxsize
    """Passwords of the address that can wait."""
    wanted: Callable[[], bool] = lambda: True
    """Whether the peer still waits for the answer."""
    hung_up: Callable[[], bool] = lambda: False
    """Whether the peer has closed its side of the connection."""

    @property
    def path(self) -> tuple[str, str, str]:
        """Its share of a lane."""
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
    one that tries a single one. Lanes have priority, but leave every fourth turn to the next one. When the
    queue is full, the newest of the longest share is dropped, in the lane that comes last.
    """

    def __init__(
        self,
        hasher: PasswordHasher,
        *,
        workers: int,
        queue: int,
        release_memory: Callable[[], None] = lambda: None,
    ) -> None:
        """Create the pool; its threads start with the first passwords.

        Args:
            hasher: The hasher of all threads.
            workers: Number of threads.
            queue: Number of passwords that can wait.
            release_memory: Called on the loop a while after hashes, when none runs or waits.
        """
        self._hasher = hasher
        self._release_memory = release_memory
        self._release: asyncio.TimerHandle | None = None
        self._workers = workers
        self._limit = queue
        self._running = 0
        self._closed = False
        self._hash_s = _USUAL_S
        self._lanes: Lanes[_Waiting] = Lanes()
        self._executor = ThreadPoolExecutor(
            workers, thread_name_prefix="password", initializer=_lower_priority
        )

    @property
    def pending(self) -> int:
        """Number of passwords in work or waiting."""
        return self._running + len(self._lanes)

    def check_room(self, place: Place) -> None:
        """Check that the queue has room for a password.

        Raises:
            PoolFullError: It has not.
        """
        queue = self._lanes[place.lane]
        if (
            self._closed
            or queue.size(*place.path) >= _PER_ACCOUNT
            or queue.size(place.network, place.address) >= place.most
        ):
            raise PoolFullError("too many passwords of one address or account wait to be checked")

    def wait_s(self, place: Place) -> float:
        """Return about how many seconds a password waits, from what waits now."""
        queue = self._lanes[place.lane]
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
            HashingError: There is not enough memory.
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
        while len(self._lanes):
            _refuse(self._lanes.pop().future)
        if self._release is not None:
            self._release.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], ResultT], place: Place) -> ResultT:
        self.check_room(place)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ResultT] = loop.create_future()
        waiting = _Waiting(work, future, place, loop)
        self._lanes[place.lane].push(waiting, *place.path)
        self._start()
        if len(self._lanes) > self._limit:
            _refuse(self._lanes.drop().future)
        try:
            return await future
        finally:
            # A caller that is cancelled waits no longer; a thread that has begun is counted to its end.
            for lane in (place.lane, Lane.LAST):
                self._lanes[lane].discard(waiting, *place.path)

    def _start(self) -> None:
        """Start hashes as long as a thread is free and a password waits."""
        while self._running < self._workers and len(self._lanes):
            left = len(self._lanes) - len(self._lanes[Lane.LAST])
            waiting = self._lanes.pop()
            place = waiting.place
            if not place.wanted():
                _refuse(waiting.future)
                continue
            if left and place.hung_up():
                self._lanes[Lane.LAST].push(waiting, *place.path)
                continue
            self._running += 1
            begun = time.monotonic()
            try:
                running = self._executor.submit(waiting.work)
            except RuntimeError as error:  # no new thread can be started
                self._running -= 1
                _refuse(waiting.future, HashingError(f"no thread to hash a password: {error}"))
                if self._running:
                    return  # the others can wait for its thread
                continue
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
                _refuse(waiting.future)
            elif (error := done.exception()) is not None:
                waiting.future.set_exception(error)
            else:
                waiting.future.set_result(done.result())
        if not self._closed:
            self._start()
            if not self.pending and self._release is None:
                self._release = waiting.loop.call_later(_RELEASE_AFTER_S, self._end_burst)

    def _end_burst(self) -> None:
        self._release = None
        if not self.pending:  # else the end of the queue starts the timer again
            self._release_memory()


def _refuse(future: "asyncio.Future[Any]", error: QscpdError | None = None) -> None:
    if not future.done():
        future.set_exception(error or PoolFullError("too many passwords wait to be checked"))


def _lower_priority() -> None:
    """Give this thread less of a busy processor than the event loop gets.

    A thousand simultaneous logins should not slow down existing sessions. On Linux the priority is
    per thread (setpriority(2), "C library/kernel differences").
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
