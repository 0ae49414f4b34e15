"""Named reads of the store on threads of their own, so that no page or search delays a commit.

Each thread has a reader of its own (`qscpd.store.open_reader`). A read is one snapshot that begins when
the thread takes it up. So it has every commit that was published before it was asked for. It can also
have a commit whose events are still on their way to the loop: to have those first, wait for
`StoreWriter.drained` after the read. Between two reads a reader has no open transaction, so the store
can always drop what only an old snapshot needs.

A read is short: a page ends early if it costs much, and a search is many reads, one for each step. Between
them the queue serves look-ups of logins first, then pages, then searches, and within these each account in
turn.

The queue needs no limit of its own. A session has at most one login or request and one replay, each
with one read at a time, and the number of sessions is limited.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self, TypeVar, cast

from qscpd.domain.model import (
    ConversationPage,
    ConversationRow,
    Credentials,
    FoundPage,
    HistoryPage,
    LogRow,
    ReplayPage,
)
from qscpd.domain.search import Search, SearchQuery
from qscpd.errors import StoreError
from qscpd.fairness import Cost, CostQueue
from qscpd.store.base import StoreReader

_THREADS: Final = 2
"""Two, of which one at a time reads a page or searches: the other is for look-ups, so that no login waits for
a slow page. More would not read faster, because they share Python's lock. And two that compute make the loop
wait for that lock twice as long: the one takes it while the other rests."""

_NOBODY: Final = 0
"""The account of reads before a login."""

T = TypeVar("T")


class _Read:
    """A read, and the future of the loop that gets its result.

    `asyncio.wrap_future` would do, but leaves a circle of references behind: the result, a page, and the
    frames of an error would stay until the next garbage collection. A cursor in such a frame keeps its
    transaction open.
    """

    __slots__ = ("_loop", "_work", "cost", "future")

    def __init__(self, work: Callable[[StoreReader], object], cost: Cost) -> None:
        self.cost = cost
        self._work = work
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[object] = self._loop.create_future()

    def run(self, reader: StoreReader) -> None:
        """Read, unless nobody waits for it any more."""
        if self.future.cancelled():
            return
        try:
            result = self._work(reader)
        except Exception as error:  # noqa: BLE001 - it is raised where the read is awaited
            self._loop.call_soon_threadsafe(_settle, self.future, None, error)
            del self  # The error has this frame, and the future has the error.
        else:
            self._loop.call_soon_threadsafe(_settle, self.future, result, None)


def _settle(future: "asyncio.Future[object]", result: object, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class StoreReads:
    """Named reads of the store on threads of their own, as a context manager.

    Each method is the one of `StoreReader` with the same name, and raises the same errors. A failed read
    concerns only its caller. A cancelled one is not begun, or its result is dropped.

    Args:
        open_reader: Opens a reader; called once on each thread, which also closes it.

    Raises:
        StoreError: On entering: the store can't be opened for reading. Of a method: it is closed.
        PermissionDeniedError: On entering: this user may not read the store.
    """

    def __init__(self, open_reader: Callable[[], StoreReader]) -> None:
        self._open_reader = open_reader
        self._queue: CostQueue[_Read] = CostQueue()
        self._wake = threading.Condition()
        self._closing = self._reading_long = False
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        opened: list[Future[None]] = [Future() for _ in range(_THREADS)]
        for number, each in enumerate(opened, 1):
            thread = threading.Thread(
                target=self._run, args=(each,), name=f"qscpd-reads-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)
        try:
            for each in opened:
                each.result()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish what is queued, then end the threads; further reads are refused."""
        self._end()

    def _end(self) -> None:
        threads, self._threads = self._threads, []
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        for thread in threads:
            thread.join()

    async def conversations(self, account: int) -> Sequence[ConversationRow]:
        """See `StoreReader.conversations`; all of them."""
        return await self._read(account, lambda reader: reader.conversations(account))

    async def conversation_list(self, account: int, after: int, limit: int) -> ConversationPage:
        """See `StoreReader.conversation_list`."""
        return await self._read(account, lambda reader: reader.conversation_list(account, after, limit))

    async def history_page(
        self,
        account: int,
        conversation: int,
        *,
        before: int | None,
        after: int | None,
        limit: int,
        max_bytes: int,
    ) -> HistoryPage | None:
        """See `StoreReader.history_page`."""
        return await self._read(
            account,
            lambda reader: reader.history_page(
                account, conversation, before=before, after=after, limit=limit, max_bytes=max_bytes
            ),
        )

    async def replay_page(
        self, account: int, conversation: int, *, after: int, limit: int, max_bytes: int
    ) -> ReplayPage | None:
        """See `StoreReader.replay_page`."""
        return await self._read(
            account,
            lambda reader: reader.replay_page(
                account, conversation, after=after, limit=limit, max_bytes=max_bytes
            ),
        )

    async def search(self, query: SearchQuery) -> FoundPage:
        """Search an account's conversations, step by step; others' reads come between two steps.

        Args:
            query: What is searched for.
        """
        search = Search(query)
        while True:
            page = await self._read(query.account, lambda reader: reader.search(search), Cost.SEARCH)
            if page is not None:
                return page

    async def credentials(self, name: str) -> Credentials | None:
        """See `StoreReader.credentials`."""
        return await self._read(_NOBODY, lambda reader: reader.credentials(name), Cost.LOW)

    async def last_mute(self, conversation: int, account: int) -> LogRow | None:
        """See `StoreReader.last_mute`; each room has its turn."""
        return await self._read(-conversation, lambda reader: reader.last_mute(conversation, account))

    async def room_log(self, conversation: int, before: int | None, limit: int) -> Sequence[LogRow]:
        """See `StoreReader.room_log`; each room has its turn."""
        return await self._read(-conversation, lambda reader: reader.room_log(conversation, before, limit))

    async def _read(self, account: int, work: Callable[[StoreReader], T], cost: Cost = Cost.PAGE) -> T:
        """Return the result of a read, when it is the turn of its cost and account."""
        if not self._threads:
            raise StoreError("the store is closed")
        read = _Read(work, cost)
        with self._wake:
            self._queue.push(cost, account, read)
            self._wake.notify()
        try:
            return cast("T", await read.future)
        finally:
            del read  # An error has this frame, too.

    # --- on each thread

    def _run(self, opened: "Future[None]") -> None:
        try:
            reader = self._open_reader()
        except Exception as error:  # noqa: BLE001 - it is raised on entering
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            while (read := self._next()) is not None:
                read.run(reader)
                self._finish(read)
                del read  # its result can be a page, which must not stay until the next read
        finally:
            reader.close()

    def _next(self) -> _Read | None:
        """Wait for the next read; return None at the end."""
        with self._wake:
            while (read := self._queue.pop(self._is_allowed)) is None:
                if self._closing and not self._queue:
                    return None
                self._wake.wait()
            self._reading_long |= read.cost is not Cost.LOW
            return read

    def _is_allowed(self, cost: Cost, _: int) -> bool:
        return cost is Cost.LOW or not self._reading_long

    def _finish(self, read: _Read) -> None:
        """Let the other thread begin what had to wait for a read."""
        if read.cost is not Cost.LOW:
            with self._wake:
                self._reading_long = False
                self._wake.notify_all()
