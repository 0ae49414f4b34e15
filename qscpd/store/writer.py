"""The one thread that owns the store, and group commit.

What arrived while the last commit ran is one transaction: under load the cost of a flush is
shared by hundreds of messages, and a message that comes alone waits for nobody.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import structlog

from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.store.base import NewMessage, Store, StoredMessage

__all__ = ["Pending", "StoreWriter"]

_BATCH_ROWS: Final = 1000
"""Messages in a transaction at most: more would only add latency (147,000 rows a second at 100 already)."""

_BATCH_BYTES: Final = 1024 * 1024
"""Characters of bodies in a transaction at most, so that 64 large messages don't hold up the small ones."""

_log = structlog.stdlib.get_logger("qscpd.store")

T = TypeVar("T")


class Pending(Protocol):
    """Something that waits for its message to be stored."""

    @property
    def message(self) -> NewMessage:
        """What is to be stored."""


P = TypeVar("P", bound=Pending)


class StoreWriter(Generic[P]):
    """Runs the store on a thread of its own, as a context manager.

    Every callback runs on the event loop, in the order of the commits.

    Args:
        store: The store; until the end only this thread touches it. Whoever opened it closes it.
        on_stored: Called after a commit with what waited and where it was stored.
        on_refused: Called when nothing of a batch was stored, with the reason.
        on_failed: Called once when it is unknown what was stored; nothing is answered any more.
    """

    def __init__(
        self,
        store: Store,
        *,
        on_stored: Callable[[Sequence[P], Sequence[StoredMessage]], None],
        on_refused: Callable[[Sequence[P], StoreError], None],
        on_failed: Callable[[StoreError], None],
    ) -> None:
        self._store = store
        self._on_stored = on_stored
        self._on_refused = on_refused
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()  # guards everything below
        self._wake = threading.Condition(self._lock)
        self._pending: deque[P] = deque()
        self._calls: deque[tuple[Callable[[Store], Any], asyncio.Future[Any]]] = deque()
        self._closing = False
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="qscpd-store", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish what was handed over, then end the thread.

        Callbacks that are still under way run when the loop gets to them: `await drained()` first.
        """
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def append(self, waiting: Sequence[P]) -> None:
        """Hand messages over, in order; each comes back by `on_stored` or `on_refused`."""
        with self._wake:
            self._pending.extend(waiting)
            self._wake.notify()

    async def call(self, work: Callable[[Store], T]) -> T:
        """Run something else on the store, between two batches, and return what it returns."""
        future: asyncio.Future[T] = self._loop.create_future()
        with self._wake:
            if self._failed or self._closing:
                raise StoreError("the store is closed")
            self._calls.append((work, future))
            self._wake.notify()
        return await future

    async def drained(self) -> None:
        """Wait until everything that was handed over before has come back."""
        while self._pending:
            await self.call(lambda _: None)
        # Callbacks are scheduled in order, so this one comes after those of the last batch.
        await self.call(lambda _: None)

    # --- on the store's thread

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._pending or self._calls or self._closing):
                    self._wake.wait()
                batch = self._take()
                calls, self._calls = self._calls, deque()
                if not batch and not calls:
                    return
            if batch:
                self._commit(batch)
            for work, future in calls:
                self._perform(work, future)

    def _take(self) -> list[P]:
        batch: list[P] = []
        size = 0
        while self._pending and len(batch) < _BATCH_ROWS and size < _BATCH_BYTES:
            waiting = self._pending.popleft()
            size += len(waiting.message.body)
            batch.append(waiting)
        return batch

    def _commit(self, batch: list[P]) -> None:
        if self._failed:
            return
        try:
            stored = self._store.append([waiting.message for waiting in batch])
        except (StoreFullError, StoreBusyError) as error:
            _log.error("store.refused", messages=len(batch), reason=str(error))
            self._back(self._on_refused, batch, error)
        except Exception as error:  # noqa: BLE001 - whatever it is: what was stored is unknown
            self._failed = True
            _log.critical("store.failed", messages=len(batch), exc_info=error)
            self._back(self._on_failed, error if isinstance(error, StoreError) else StoreError(repr(error)))
        else:
            self._back(self._on_stored, batch, stored)

    def _perform(self, work: Callable[[Store], T], future: asyncio.Future[T]) -> None:
        try:
            result = work(self._store)
        except Exception as error:  # noqa: BLE001 - it is raised where the call is awaited
            self._back(_settle, future, None, error)
        else:
            self._back(_settle, future, result, None)

    def _back(self, callback: Callable[..., None], *args: object) -> None:
        self._loop.call_soon_threadsafe(callback, *args)


def _settle(future: asyncio.Future[T], result: T, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
