"""The store's thread: order, batches, and what happens when the store does not want."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from qscp.errors import ErrorCode
from qscpd.bus.base import Commit
from qscpd.bus.local import LocalBus
from qscpd.domain.events import Event, MessagesStored, PositionMoved
from qscpd.domain.model import (
    Account,
    Credentials,
    Keep,
    Mark,
    NewMessage,
    Outcome,
    PositionKind,
    StoredMessage,
)
from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.store.items import Item, PendingChat, PendingSkip
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.waiting import until

Chat = PendingChat[str]


def items(count: int, size: int = 5, *, session: str = "s", first: int = 0, to: int = 2) -> list[Item[str]]:
    """Messages to store."""
    return [Chat(session, NewMessage(1, to, f"{n:032x}", "x" * size)) for n in range(first, first + count)]


def number(message: NewMessage) -> int:
    """Which of the items it is."""
    return int(message.id, 16)


def mark(seq: int) -> Mark:
    """A position to move."""
    return Mark(1, 1, PositionKind.READ, seq, "s")


class FakeHousekeeping:
    """Housekeeping with a number of steps.

    Attributes:
        done: How many steps were asked for.
        steps: How many steps there are, or an error.
        gate: Steps wait for it.
        threads: The threads that asked.
    """

    def __init__(self) -> None:
        self.done = 0
        self.steps: int | Exception = 0
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()

    def step(self, keep: Keep) -> bool:
        """Count."""
        assert keep == Keep()
        self.threads.add(threading.current_thread().name)
        self.done += 1
        self.gate.wait(20)
        if isinstance(self.steps, Exception):
            raise self.steps
        return self.done < self.steps

    def erase_step(self, account: int) -> bool:
        """Not asked for."""
        raise NotImplementedError(account)

    def compaction_due(self) -> bool:
        """Not asked for."""
        raise NotImplementedError

    def compact(self) -> None:
        """Not asked for."""
        raise NotImplementedError


class ListStore(SqliteStore):
    """A store that is a list, and can be made to fail or to wait.

    Attributes:
        batches: How many messages each transaction had.
        marks: The seqs of the marks of each transaction that had any.
        fails: Errors to raise, one a transaction; None for none.
        gate: Transactions wait for it.
        chores: Its housekeeping.
    """

    def __init__(self) -> None:
        self.chores = FakeHousekeeping()
        self.batches: list[int] = []
        self.marks: list[list[int]] = []
        self.fails: list[Exception | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()

    def listen(self, on_commit: Callable[[Sequence[Event]], None] | None) -> None:
        """Note it."""
        self.on_commit = on_commit

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark] = ()
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        """Note a batch."""
        self.gate.wait(20)
        self.threads.add(threading.current_thread().name)
        if self.fails and (error := self.fails.pop(0)) is not None:
            raise error
        before = sum(self.batches)
        self.batches.append(len(messages))
        if marks:
            self.marks.append([each.seq for each in marks])
        places = [StoredMessage(1, before + n, 0) for n in range(1, len(messages) + 1)]
        return places, [PositionMoved(each, 2) for each in marks]

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """Only what is called old was stored before."""
        return [StoredMessage(1, 1, 0, new=False) if each.body == "old" else None for each in messages]

    @property
    def housekeeping(self) -> FakeHousekeeping:
        """A number of steps."""
        return self.chores

    def accounts(self) -> Sequence[Account]:
        """Return no accounts."""
        return []

    def credentials(self, name: str) -> Credentials | None:
        """Not asked for."""
        raise KeyError(name)


class InProcessPeer:
    """Hears what the writer says, in order."""

    def __init__(self) -> None:
        self.store = ListStore()
        self.heard: list[tuple[str, object]] = []
        self.seqs: list[tuple[int, int]] = []
        self.moved: list[list[int]] = []
        bus = LocalBus[str]()
        bus.subscribe_to_commits(self.committed)
        self.writer = StoreWriter[str](self.store, bus, on_refused=self.refused, on_failed=self.failed)

    def committed(self, commit: Commit[str]) -> None:
        """Note it."""
        assert threading.current_thread() is threading.main_thread()
        sessions, messages, outcomes = commit.answers
        self.heard.append(("stored", len(sessions)))
        new: list[tuple[NewMessage, StoredMessage]] = []
        for message, place in zip(messages, outcomes, strict=True):
            assert isinstance(place, StoredMessage)
            self.seqs.append((number(message), place.seq))
            if place.new:
                new.append((message, place))
        stored = [each for each in commit.events if isinstance(each, MessagesStored)]
        assert [each for event in stored for each in zip(event.messages, event.places, strict=True)] == new
        moved = [each.mark for each in commit.events if isinstance(each, PositionMoved)]
        if moved:
            self.moved.append([each.seq for each in moved])
            self.heard.append(("moved", len(moved)))

    def refused(self, batch: Sequence[Chat], code: ErrorCode) -> None:
        """Note it."""
        self.heard.append((code, [number(chat.message) for chat in batch]))

    def failed(self, error: StoreError) -> None:
        """Note it."""
        self.heard.append(("failed", type(error)))


@pytest.fixture
async def peer() -> AsyncIterator[InProcessPeer]:
    """A running writer."""
    peer = InProcessPeer()
    with peer.writer:
        yield peer
        peer.store.gate.set()


async def test_messages_come_back_in_order(peer: InProcessPeer) -> None:
    """However they are handed over, on one thread that is not ours."""
    for item in items(50):
        peer.writer.append([item])
    peer.writer.append(items(70)[50:])
    await peer.writer.drained()
    assert peer.seqs == [(n, n + 1) for n in range(70)]
    assert peer.store.threads == {"qscpd-store"}


async def test_what_comes_during_a_commit_is_one_batch(peer: InProcessPeer) -> None:
    """A single message does not wait; those behind it share a transaction."""
    peer.store.gate.clear()
    peer.writer.append(items(1))
    await until(lambda: not peer.writer._pending)
    for item in items(201)[1:]:
        peer.writer.append([item])
    peer.store.gate.set()
    await peer.writer.drained()
    assert peer.store.batches == [1, 200]


async def test_a_batch_has_limits(peer: InProcessPeer) -> None:
    """At most a thousand messages, and not more than a mebibyte and one message."""
    peer.writer.append(items(2500))
    await peer.writer.drained()
    assert peer.store.batches == [1000, 1000, 500]
    peer.store.batches.clear()
    peer.writer.append(items(100, 16384))
    await peer.writer.drained()
    assert peer.store.batches == [64, 36]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreFullError("full"), ErrorCode.STORAGE_FULL),
        (StoreBusyError("busy"), ErrorCode.STORAGE_FAILED),
    ],
)
async def test_a_refused_batch_comes_back_and_the_next_is_tried(
    peer: InProcessPeer, error: StoreError, code: ErrorCode
) -> None:
    """Nothing of it was stored; the refusals come in the order of the messages."""
    peer.store.fails = [error]
    peer.writer.append(items(3))
    await peer.writer.drained()
    peer.writer.append(items(3))
    await peer.writer.drained()
    assert peer.heard == [(code, [0, 1, 2]), ("stored", 3)]


async def test_what_was_stored_before_is_acknowledged_also_in_a_refused_batch(peer: InProcessPeer) -> None:
    """A client takes a refused message for not stored, so no stored one may be refused."""
    old = Chat("s", NewMessage(1, 2, f"{9:032x}", "old"))
    peer.store.fails = [StoreFullError("full")]
    peer.writer.append([old, *items(2)])
    await peer.writer.drained()
    assert peer.heard == [("stored", 1), (ErrorCode.STORAGE_FULL, [0, 1])]
    assert peer.seqs == [(9, 1)]


async def test_behind_a_refused_message_nothing_overtakes(peer: InProcessPeer) -> None:
    """Of that session to that person; others go on, and so do these once the first is sent again."""
    peer.store.fails = [StoreFullError("full")]
    peer.writer.append(items(2))
    await peer.writer.drained()
    peer.writer.append(items(1, first=1))
    peer.writer.append(items(1, first=2, to=3))
    peer.writer.append(items(1, first=3, session="t"))
    await peer.writer.drained()
    peer.writer.append(items(2))
    await peer.writer.drained()
    assert peer.heard == [
        (ErrorCode.STORAGE_FULL, [0, 1]),
        (ErrorCode.OUT_OF_ORDER, [1]),
        ("stored", 2),
        ("stored", 2),
    ]
    assert [number for number, _ in peer.seqs] == [2, 3, 0, 1]


@pytest.mark.parametrize(("given_up", "free"), [(f"{0:032x}", True), (f"{1:032x}", False), (None, True)])
async def test_what_is_given_up_is_not_waited_for(
    peer: InProcessPeer, given_up: str | None, free: bool
) -> None:
    """Only the first one that was refused holds the others up; the end of the session gives up all."""
    peer.store.fails = [StoreFullError("full")]
    peer.writer.append(items(2))
    await peer.writer.drained()
    peer.writer.append([PendingSkip("other", None), PendingSkip("s", given_up), *items(1, first=2)])
    await peer.writer.drained()
    assert peer.heard[1:] == [("stored", 1) if free else (ErrorCode.OUT_OF_ORDER, [2])]


async def test_positions_are_in_the_transaction_of_the_messages_before_them(peer: InProcessPeer) -> None:
    """They come back with what they moved; without a message they are a transaction of their own."""
    peer.store.gate.clear()
    peer.writer.append(items(1))
    await until(lambda: not peer.writer._pending)
    peer.writer.append([mark(3), *items(1, first=1), mark(5)])
    peer.store.gate.set()
    await peer.writer.drained()
    peer.writer.append([mark(7)])
    await peer.writer.drained()
    assert peer.store.marks == peer.moved == [[3, 5], [7]]
    assert peer.heard == [("stored", 1), ("stored", 1), ("moved", 2), ("stored", 0), ("moved", 1)]


async def test_housekeeping_is_done_when_it_is_quiet() -> None:
    """All steps there are, on the store's thread, and then no more."""
    peer = InProcessPeer()
    peer.store.chores.steps = 5
    with peer.writer:
        await until(lambda: peer.store.chores.done == 5)
        assert peer.store.chores.threads == {"qscpd-store"}
        await peer.writer.drained()
    assert peer.store.chores.done == 5


async def test_housekeeping_that_fails_harms_nobody() -> None:
    """Nothing was promised to anybody: messages go on."""
    peer = InProcessPeer()
    peer.store.chores.steps = StoreFullError("no room to index")
    with peer.writer:
        await until(lambda: peer.store.chores.done)
        peer.writer.append(items(2))
        await peer.writer.drained()
    assert peer.heard == [("stored", 2)]


async def test_a_call_fails_when_housekeeping_has_a_bug() -> None:
    """A caller that waited for ever would keep the daemon from stopping."""
    peer = InProcessPeer()
    peer.store.chores.steps = ValueError("a bug")
    peer.store.chores.gate.clear()
    with peer.writer:
        await until(lambda: peer.store.chores.done)
        waiting = asyncio.ensure_future(peer.writer.drained())
        await asyncio.sleep(0)
        peer.store.chores.gate.set()
        with pytest.raises(StoreError, match="failed"):
            await asyncio.wait_for(waiting, 20)
    await asyncio.sleep(0)
    assert peer.heard == [("failed", StoreError)]
    assert peer.store.chores.done == 1


@pytest.mark.parametrize("error", [StoreError("disk I/O error"), OSError("?"), ValueError("a bug")])
async def test_an_unknown_outcome_stops_everything(error: Exception) -> None:
    """It is reported once; neither what failed nor what comes later is answered, and no call runs."""
    peer = InProcessPeer()
    peer.store.fails = [None, error]
    with peer.writer:
        peer.writer.append(items(1001))
        await until(lambda: len(peer.heard) == 2)
        peer.writer.append(items(5))
        with pytest.raises(StoreError, match="closed"):
            await peer.writer.perform(lambda store: store.accounts())
    await asyncio.sleep(0)
    assert peer.heard == [("stored", 1000), ("failed", StoreError)]
    assert peer.store.batches == [1000]


async def test_calls_run_between_batches(peer: InProcessPeer) -> None:
    """Behind all that was handed over before, and they return and raise what they do."""
    peer.store.gate.clear()
    peer.writer.append(items(3000))
    call = asyncio.ensure_future(peer.writer.perform(lambda _: list(peer.store.batches)))
    await asyncio.sleep(0)
    assert peer.heard == []
    peer.store.gate.set()
    assert await call == [1000, 1000, 1000]
    assert peer.heard == [("stored", 1000)] * 3
    with pytest.raises(KeyError, match="alice"):
        await peer.writer.perform(lambda store: store.credentials("alice"))
    await peer.writer.drained()
    assert peer.store.batches == [1000, 1000, 1000]


async def test_a_call_that_nobody_waits_for_any_more_does_no_harm(peer: InProcessPeer) -> None:
    """Its result is dropped."""
    peer.store.gate.clear()
    peer.writer.append(items(1))
    waiting = asyncio.ensure_future(peer.writer.perform(lambda store: store.accounts()))
    await asyncio.sleep(0)
    waiting.cancel()
    peer.store.gate.set()
    await peer.writer.drained()
    assert waiting.cancelled()


async def test_the_end_finishes_what_is_queued() -> None:
    """Leaving the writer commits everything; the callbacks come when the loop gets to them."""
    peer = InProcessPeer()
    with peer.writer:
        peer.writer.append(items(1500))
    assert peer.store.batches == [1000, 500]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [number for number, _ in peer.seqs] == list(range(1500))
    with pytest.raises(StoreError, match="closed"):
        await peer.writer.perform(lambda store: store.accounts())
