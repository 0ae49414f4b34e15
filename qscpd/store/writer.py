"""The thread that owns the store: group commit, calls between commits, and housekeeping.

What arrived while the last commit ran is one transaction: under load hundreds of messages share the cost of
a flush, and a single message does not wait. When there is nothing to commit, housekeeping is done in steps.

Each commit is published on the bus, with the events that it caused and the answers that sessions wait for.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Generic, Self, TypeVar, cast

import structlog

from qscp.errors import ErrorCode
from qscpd.bus.base import Answers, Bus, Commit
from qscpd.domain.events import Event, MessagesStored
from qscpd.domain.model import Keep, Mark, Outcome, Refused, StoredMessage
from qscpd.domain.rooms import RoomChange
from qscpd.errors import StoreBusyError, StoreDamagedError, StoreError, StoreFullError
from qscpd.outage import CALM_S, Outage
from qscpd.store.base import Store
from qscpd.store.calls import Call, CallQueue, settle
from qscpd.store.clock_watch import ClockWatch
from qscpd.store.commits import events_of
from qscpd.store.housekeeper import Housekeeper
from qscpd.store.items import Batch, Item, PendingChat, PendingSkip, Precedence, Queued
from qscpd.store.order import Order

_BATCH_ROWS: Final = 1000
"""Items in a transaction at most: more would only add latency (147,000 rows a second at 100 already)."""

_BATCH_BYTES: Final = 1024 * 1024
"""Bytes of bodies in a transaction at most, so that 64 large messages don't hold up the small ones."""

_UTF8_BYTES: Final = 4
"""Bytes of a character at most; counting those of a text would cost more than a batch that is too small."""

_TURN_S: Final = 0.01
"""Time after which a transaction takes nothing more that is slow; writing the changes takes as long again."""

_CALLS_S: Final = 0.003
"""Time for calls while messages wait."""

_log = structlog.stdlib.get_logger("qscpd.store")

_UNCHANGED: Final = StoreFullError | StoreBusyError | StoreDamagedError
"""After these errors of a transaction, nothing of it is stored."""

S = TypeVar("S")
T = TypeVar("T")


class StoreWriter(Generic[S]):
    """Runs the store on a thread of its own, as a context manager.

    Commits are published on the event loop, in their order. A refusal is a commit of nothing, with answers.

    Args:
        store: The store; until the end only this thread uses it. The caller keeps ownership and closes it.
        bus: Where commits are published.
        keep: How much of each conversation is kept.
        on_failed: Called once when it is unknown what was stored; nothing is answered any more.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus[S],
        *,
        keep: Keep = Keep(),  # noqa: B008 - it is immutable
        on_failed: Callable[[StoreError], None],
    ) -> None:
        self._store = store
        self._bus = bus
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._back = self._loop.call_soon_threadsafe
        self._order: Order[S] = Order(store)
        self._precedence: Precedence[S] = Precedence()
        self._housekeeper = Housekeeper(store.housekeeping, keep)
        self._failed = False
        self._refusing = Outage(_log, "store.refused", "messages", calm_s=CALM_S)
        self._committed: list[Sequence[Event]] = []
        """Of the running call: the events of each transaction."""
        self._lock = threading.Lock()  # guards everything below
        self._wake = threading.Condition(self._lock)
        self._pending: deque[Queued[S]] = deque()
        self._calls = CallQueue()
        self._queued = 0  # items so far, to know what came before a call
        self._closing = False
        self._waiting = False
        self._thread = threading.Thread(target=self._run, name="qscpd-store", daemon=True)

    def __enter__(self) -> Self:
        self._store.listen(self._committed.append)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish what is queued, then end the thread.

        What is published last gets to subscribers later, on the loop: `await drained()` first.
        """
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._refusing.close()
        self._housekeeper.close()
        self._store.listen(None)

    @property
    def clock(self) -> ClockWatch:
        """Watches the wall clock, in the store's thread."""
        return self._housekeeper.clock

    def append(self, items: Sequence[Item[S]]) -> None:
        """Queue items to be committed, in order; the commits that are published have their results."""
        with self._wake:
            self._pending.extend(items)
            self._queued += len(items)
            if self._waiting:  # a system call that a busy thread does not need
                self._wake.notify()

    async def perform(self, mutation: Callable[[Store], T]) -> T:
        """Change the store by a function, between two batches, and return its result.

        It runs after everything that was queued before. The events of its transactions are published
        in the order of all commits, and before the caller continues.

        Args:
            mutation: The function; it runs on the store's thread.
        """
        return cast("T", await self._ask(mutation))

    async def change_room(self, change: RoomChange) -> None:
        """Change a room, between two batches like `perform`, in one transaction with other changes.

        Args:
            change: The change.

        Raises:
            DeniedError: It is not allowed.
        """
        await self._ask(change)

    async def _ask(self, work: Callable[[Store], T] | RoomChange) -> object:
        future: asyncio.Future[object] = self._loop.create_future()
        with self._wake:
            if self._failed or self._closing:
                raise StoreError("the store is closed")
            self._calls.append(Call(self._queued, work, future))
            self._wake.notify()
        return await future

    async def drained(self) -> None:
        """Wait until everything that was queued before is committed, and subscribers have all of it."""
        await self.perform(lambda _: None)

    # --- on the store's thread

    def _run(self) -> None:
        while True:
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - without this thread, every caller would wait for ever
                self._fail(error)  # From now on nothing is committed, and every call fails.
            else:
                return

    def _work(self) -> None:
        while True:
            with self._wake:
                quiet = self._wait()
                batch = self._take()
                if self._closing and not (
                    batch.chats or batch.late or batch.marks or self._calls or self._pending
                ):
                    return
            if left := self._commit(batch):
                with self._lock:
                    self._precedence.put_back(self._pending, batch.undone(left), _BATCH_ROWS)
            if self._calls:
                self._perform_calls()
            if (quiet or time.monotonic() >= self._housekeeper.busy_due_s) and not self._failed:
                self._housekeeper.step(quiet=quiet)

    def _wait(self) -> bool:
        """Wait for work; return whether the thread is idle."""
        while not (self._pending or self._calls or self._closing):
            self._waiting = True
            keeper = self._housekeeper
            due_s = min(keeper.due_s, keeper.busy_due_s) if keeper.stored else keeper.due_s
            woken = self._wake.wait(max(keeper.quiet_s, due_s - time.monotonic()))
            self._waiting = False
            if not woken:
                return True
        return False

    def _take(self) -> Batch[S]:
        """Take the items of the next transaction, in order."""
        batch: Batch[S] = Batch()
        pending, order = self._pending, self._order
        size = 0
        for _ in range(min(len(pending), _BATCH_ROWS)):
            item = pending.popleft()
            if type(item) is PendingChat:
                if not order.blocked or order.admits(item.session, item.message):
                    batch.chats.append(item)
                    batch.messages.append(item.message)
                else:
                    batch.late.append(item)
                    batch.others.append(len(batch.chats))
                body = item.message.body
                size += len(body) if body.isascii() else _UTF8_BYTES * len(body)
                if size >= _BATCH_BYTES:
                    break
                continue
            if type(item) is Mark:
                batch.marks.append(item)
            elif type(item) is PendingSkip:
                order.skip(item.session, item.id)
            batch.others.append(len(batch.chats))
        return batch

    def _perform_calls(self) -> None:
        """Perform calls for a limited time: messages must not wait for a thousand reconnecting users."""
        deadline = time.monotonic() + _CALLS_S
        while calls := self._take_calls():
            if isinstance(calls[0].work, RoomChange):
                self._change_rooms(calls)
            else:
                self._perform(calls[0], calls[0].work)
            if time.monotonic() >= deadline and self._pending:
                return

    def _take_calls(self) -> Sequence[Call]:
        """Take the next call, or several room changes, if all items queued before are committed."""
        with self._lock:
            return self._calls.take(self._queued - len(self._pending))

    def _commit(self, batch: Batch[S]) -> Sequence[PendingChat[S]]:
        """Commit a batch; return its chats that are left for the next transaction."""
        if self._failed:
            return ()
        chats, marks = batch.chats, batch.marks
        if batch.late:
            self._refuse(batch.late, ErrorCode.OUT_OF_ORDER)
        if not chats and not marks:
            return ()
        try:
            outcomes, moved = self._store.append(batch.messages, marks, deadline_s=time.monotonic() + _TURN_S)
        except Exception as error:  # noqa: BLE001 - whatever it is: sessions wait for answers
            return self._not_committed(batch, error)
        if not outcomes and not marks:
            return chats
        if self._refusing.lasts:
            self._refusing.works()
        self._housekeeper.stored = True
        done, messages = chats[: len(outcomes)], batch.messages[: len(outcomes)]
        events: Sequence[Event]
        if not marks and all(type(each) is StoredMessage and each.new for each in outcomes):
            events = (MessagesStored(messages, cast("Sequence[StoredMessage]", outcomes)),)
        else:
            events = events_of(messages, outcomes, moved)
        answers = Answers([chat.session for chat in done], messages, outcomes)
        self._back(self._bus.publish, Commit(events, answers))
        return chats[len(outcomes) :]

    def _not_committed(self, batch: Batch[S], error: Exception) -> Sequence[PendingChat[S]]:
        """Refuse a batch whose transaction failed, or what of it can't be stored.

        Returns:
            Its chats that are left for the next transaction.
        """
        if isinstance(error, StoreDamagedError):
            return self._commit_around(batch, error)
        if isinstance(error, StoreFullError | StoreBusyError):
            self._refusing.failed(str(error), len(batch.chats))
            self._housekeeper.bring_forward()
            full = isinstance(error, StoreFullError)
            self._refuse_and_block(batch.chats, ErrorCode.STORAGE_FULL if full else ErrorCode.STORAGE_FAILED)
        else:
            self._fail(error)  # What was stored is unknown.
        return ()

    def _commit_around(self, batch: Batch[S], error: StoreDamagedError) -> Sequence[PendingChat[S]]:
        """Commit a batch in halves, until what needs a damaged page is alone; only that is refused.

        Returns:
            Its chats that are left for the next transaction.
        """
        if len(batch.chats) + len(batch.marks) > 1:
            first, second = batch.halves()
            if left := self._commit(self._order.admitted(first)):
                self._commit(Batch(marks=second.marks))
                return [*left, *second.chats]
            return self._commit(self._order.admitted(second))
        if batch.chats:
            self._refusing.failed(str(error), len(batch.chats))
            self._refuse_and_block(batch.chats, ErrorCode.STORAGE_FAILED)
        else:
            _log.warning("store.position_lost", reason=str(error))
        return ()

    def _refuse_and_block(self, chats: Sequence[PendingChat[S]], code: ErrorCode) -> None:
        """Refuse messages; what their sessions send to the same recipients waits for them."""
        for chat in self._refuse(chats, code):
            self._order.block(chat.session, chat.message)

    def _refuse(self, chats: Sequence[PendingChat[S]], code: ErrorCode) -> Sequence[PendingChat[S]]:
        """Refuse messages for a temporary reason; return them, but for those whose id was used before.

        These get the answer of their id: a stored message is never called not stored.
        """
        if not chats or self._failed:
            return ()
        known: Sequence[Outcome | None]
        try:
            known = self._store.known([chat.message for chat in chats])
        except StoreDamagedError:
            known = [None] * len(chats)  # the code lets the sender try again
        except StoreError as error:
            self._fail(error)
            return ()
        refused: list[PendingChat[S]] = []
        again: list[tuple[PendingChat[S], Outcome]] = []
        for chat, outcome in zip(chats, known, strict=True):
            if outcome is None:
                refused.append(chat)
            else:
                again.append((chat, outcome))
        self._answer_chats(again)
        self._answer_chats([(chat, Refused(code)) for chat in refused])
        return refused

    def _answer_chats(self, outcomes: Sequence[tuple[PendingChat[S], Outcome]]) -> None:
        """Publish outcomes of messages that were not stored now: a commit of nothing, with answers."""
        if outcomes:
            chats, results = zip(*outcomes, strict=True)
            answers = Answers([chat.session for chat in chats], [chat.message for chat in chats], results)
            self._back(self._bus.publish, Commit((), answers))

    def _fail(self, error: Exception) -> None:
        _log.critical("store.failed", exc_info=error)
        if self._failed:
            return
        self._failed = True
        self._back(self._on_failed, error if isinstance(error, StoreError) else StoreError(repr(error)))

    def _change_rooms(self, calls: Sequence[Call]) -> None:
        """Commit several room changes in one transaction."""
        error: Exception = StoreError("the store has failed")
        if not self._failed:
            try:
                changes = [cast("RoomChange", call.work) for call in calls]
                outcomes = self._store.change_rooms(changes, deadline_s=time.monotonic() + _TURN_S)
            except Exception as failure:  # noqa: BLE001 - it is raised where each is awaited
                error = failure
                if isinstance(error, StoreDamagedError) and len(calls) > 1:
                    for call in calls:
                        self._change_rooms([call])
                    return
                if isinstance(error, StoreError) and not isinstance(error, _UNCHANGED):
                    self._fail(error)  # the memberships are unknown now
            else:
                done = len(outcomes)
                with self._lock:
                    self._calls.put_back(calls[done:])
                self._answer(calls[:done], [e if isinstance(e, Exception) else None for e in outcomes])
                return
        self._answer(calls, [error] * len(calls))

    def _perform(self, call: Call, work: Callable[[Store], T]) -> None:
        if self._failed:  # Of what was queued before the call, nobody knows what was committed.
            self._answer([call], [StoreError("the store has failed")])
            return
        try:
            result = work(self._store)
        except Exception as error:  # noqa: BLE001 - it is raised where the call is awaited
            self._answer([call], [error])
        else:
            self._answer([call], [result])

    def _answer(self, calls: Sequence[Call], results: Sequence[object]) -> None:
        """Publish what calls have committed, and give them their results, in one tick of the loop.

        Args:
            calls: The calls.
            results: Of each; an exception is raised where the call is awaited.
        """
        self._back(settle, self._bus, tuple(self._committed), calls, results)
        self._committed.clear()
