"""The store's writer: order, batches, refused batches and failures."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import pytest
import structlog

from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom, RoomKind
from qscpd.bus.base import Commit
from qscpd.bus.local import LocalBus
from qscpd.domain.clock import ClockDoubt
from qscpd.domain.events import Event, MessagesStored, PositionMoved
from qscpd.domain.model import (
    Account,
    AccountState,
    Credentials,
    Keep,
    Mark,
    NewMessage,
    Outcome,
    PositionKind,
    Refused,
    RoomResult,
    StoredMessage,
)
from qscpd.domain.rooms import DeniedError, RoomChange, RoomRow, RoomState
from qscpd.errors import StoreBusyError, StoreDamagedError, StoreError, StoreFullError
from qscpd.store.items import Item, PendingChat, PendingSkip
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.waiting import PATIENCE_S, until

Chat = PendingChat[str]

ROOM = RoomRow(1, "#dev", RoomKind.OPEN, HistoryFrom.FULL, "", 0, RoomState.ACTIVE, 0, 1, 0, 1, 1)


def items(count: int, size: int = 5, *, session: str = "s", first: int = 0, to: int = 2) -> list[Item[str]]:
    """Return messages to store."""
    return [Chat(session, NewMessage(1, to, f"{n:032x}", "x" * size)) for n in range(first, first + count)]


def number(message: NewMessage) -> int:
    """Return the number that a message's id was made from."""
    return int(message.id, 16)


def mark(seq: int) -> Mark:
    """Return a position to move."""
    return Mark(1, 1, PositionKind.READ, seq, "s")


class FakeHousekeeping:
    """Housekeeping with a number of steps.

    Attributes:
        done: Number of steps that were run.
        steps: Number of steps to do, or an error to raise.
        gate: Steps wait for it.
        threads: Names of the threads that ran them.
        doubt: What is wrong with the wall clock.
    """

    def __init__(self) -> None:
        self.done = 0
        self.doubt: ClockDoubt | None = None
        self.steps: int | Exception = 0
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()

    def step(self, keep: Keep) -> bool:
        """Count a step."""
        assert keep == Keep()
        self.threads.add(threading.current_thread().name)
        self.done += 1
        self.gate.wait(PATIENCE_S)
        if isinstance(self.steps, Exception):
            raise self.steps
        return self.done < self.steps

    def clock_doubt(self) -> ClockDoubt | None:
        """Return what the test has set."""
        return self.doubt

    def confirm_clock(self) -> int:
        """Raise; it is not used."""
        raise NotImplementedError

    def erase_step(self, account: int) -> bool:
        """Raise; it is not used."""
        raise NotImplementedError(account)

    def erase_damaged(self, account: int) -> int:
        """Raise; it is not used."""
        raise NotImplementedError(account)

    def compaction_due(self) -> bool:
        """Raise; it is not used."""
        raise NotImplementedError

    def compact(self) -> None:
        """Raise; it is not used."""
        raise NotImplementedError


class ListStore(SqliteStore):
    """A store that records its batches, and can be made to fail or to wait.

    Attributes:
        batches: Number of messages of each transaction.
        marks: Seqs of the marks of each transaction with marks.
        changes: Room changes of each transaction.
        fails: Errors to raise, one for each transaction; None to succeed.
        poison: Numbers of messages and seqs of marks that need a damaged page.
        at_once: Number of messages after which the deadline of a transaction has passed.
        gate: Event that transactions wait for.
        chores: Housekeeping of the store.
    """

    def __init__(self) -> None:
        self.chores = FakeHousekeeping()
        self.batches: list[int] = []
        self.marks: list[list[int]] = []
        self.changes: list[Sequence[RoomChange]] = []
        self.fails: list[Exception | None] = []
        self.poison: set[int] = set()
        self.at_once = 10_000
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()

    def listen(self, on_commit: Callable[[Sequence[Event]], None] | None) -> None:
        """Record the call."""
        self.on_commit = on_commit

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark] = (), *, deadline_s: float = math.inf
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        """Record a batch."""
        assert deadline_s > 0
        self.gate.wait(PATIENCE_S)
        self.threads.add(threading.current_thread().name)
        if self.fails and (error := self.fails.pop(0)) is not None:
            raise error
        messages = messages[: self.at_once]
        if self.poison & {*map(number, messages), *(each.seq for each in marks)}:
            raise StoreDamagedError("a page is malformed")
        before = sum(self.batches)
        self.batches.append(len(messages))
        if marks:
            self.marks.append([each.seq for each in marks])
        places = [StoredMessage(1, before + n, 0) for n in range(1, len(messages) + 1)]
        return places, [PositionMoved(each, 2) for each in marks]

    def change_rooms(
        self, changes: Sequence[RoomChange], *, deadline_s: float = math.inf
    ) -> Sequence[RoomResult | DeniedError | StoreFullError]:
        """Record changes."""
        assert deadline_s > 0
        self.changes.append(changes[: self.at_once])
        return [RoomResult(ROOM, {}) for _ in self.changes[-1]]

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """Return a place for messages with the body "old" only."""
        return [StoredMessage(1, 1, 0, new=False) if each.body == "old" else None for each in messages]

    @property
    def housekeeping(self) -> FakeHousekeeping:
        """Return the fake housekeeping."""
        return self.chores

    def accounts(self) -> Sequence[Account]:
        """Return no accounts."""
        return []

    def find_account(self, name: str, account: int | None = None) -> Account:
        """Return an account that is named after its id."""
        assert (name, account is None) == ("", False)
        return Account(account or 0, f"user{account}", AccountState.ACTIVE, 0)

    def credentials(self, name: str) -> Credentials | None:
        """Raise; it is not used."""
        raise KeyError(name)


class WriterPeer:
    """A writer on a recording store, and what it has published, in order."""

    def __init__(self) -> None:
        self.store = ListStore()
        self.reported: list[tuple[str, object]] = []
        self.seqs: list[tuple[int, int]] = []
        self.moved: list[list[int]] = []
        bus = LocalBus[str]()
        bus.subscribe_to_commits(self.committed)
        self.writer = StoreWriter[str](self.store, bus, on_failed=self.failed)

    def committed(self, commit: Commit[str]) -> None:
        """Record the call."""
        assert threading.current_thread() is threading.main_thread()
        sessions, messages, outcomes = commit.answers
        refusals = {each.code for each in outcomes if isinstance(each, Refused)}
        if refusals:
            (code,) = refusals
            self.reported.append((code, [number(message) for message in messages]))
            return
        self.reported.append(("stored", len(sessions)))
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
            self.reported.append(("moved", len(moved)))

    def failed(self, error: StoreError) -> None:
        """Record the call."""
        self.reported.append(("failed", type(error)))


@pytest.fixture
async def peer() -> AsyncIterator[WriterPeer]:
    """A running writer."""
    peer = WriterPeer()
    with peer.writer:
        yield peer
        peer.store.gate.set()


async def test_messages_are_stored_in_order(peer: WriterPeer) -> None:
    """Messages are stored in the order of `append`, on the store's thread."""
    for item in items(50):
        peer.writer.append([item])
    peer.writer.append(items(70)[50:])
    await peer.writer.drained()
    assert peer.seqs == [(n, n + 1) for n in range(70)]
    assert peer.store.threads == {"qscpd-store"}


async def test_messages_during_a_commit_are_one_batch(peer: WriterPeer) -> None:
    """A single message is stored at once; those that arrive during its commit share a transaction."""
    peer.store.gate.clear()
    peer.writer.append(items(1))
    await until(lambda: not peer.writer._pending)
    for item in items(201)[1:]:
        peer.writer.append([item])
    peer.store.gate.set()
    await peer.writer.drained()
    assert peer.store.batches == [1, 200]


async def test_a_batch_has_limits(peer: WriterPeer) -> None:
    """A batch has at most a thousand messages, or the first messages that reach a mebibyte."""
    peer.writer.append(items(2500))
    await peer.writer.drained()
    assert peer.store.batches == [1000, 1000, 500]
    peer.store.batches.clear()
    peer.writer.append(items(100, 16384))
    await peer.writer.drained()
    assert peer.store.batches == [64, 36]


async def test_a_batch_counts_the_bytes_of_its_texts(peer: WriterPeer) -> None:
    """A character that is not ASCII counts as four bytes, as many as it can have."""
    emoji = [Chat("s", NewMessage(1, 2, f"{n:032x}", "\U0001f600" * 4096)) for n in range(100)]
    peer.writer.append(emoji)
    await peer.writer.drained()
    assert peer.store.batches == [64, 36]


async def test_what_is_left_of_a_transaction_comes_first_in_the_next(peer: WriterPeer) -> None:
    """Behind the deadline of a transaction messages wait for the next one, before all that came later."""
    peer.store.at_once = 4
    peer.store.gate.clear()
    peer.writer.append(items(10))
    await until(lambda: not peer.writer._pending)
    peer.writer.append(items(3, first=10, session="t"))
    peer.store.gate.set()
    await peer.writer.drained()
    assert peer.seqs == [(n, n + 1) for n in range(13)]
    assert peer.store.batches == [4, 4, 4, 1]


async def test_a_transaction_that_took_no_message_is_nothing(peer: WriterPeer) -> None:
    """What waits until others are folded is tried again, and nothing is published meanwhile."""
    peer.store.at_once = 0
    peer.writer.append(items(5))
    await until(lambda: len(peer.store.batches) > 2)
    assert not peer.reported
    peer.store.at_once = 10_000
    await peer.writer.drained()
    assert peer.seqs == [(n, n + 1) for n in range(5)]
    assert peer.reported == [("stored", 5)]


async def test_others_do_not_wait_for_what_takes_long(peer: WriterPeer) -> None:
    """Behind a deadline, messages of other accounts come first, each account's in its order."""
    peer.store.at_once = 3
    peer.store.gate.clear()
    peer.writer.append(items(9))
    await until(lambda: not peer.writer._pending)
    others = [Chat("t", NewMessage(3, 2, f"{n:032x}", "x")) for n in range(100, 106)]
    peer.writer.append([*others[:2], *items(1, first=9)])
    called = asyncio.ensure_future(peer.writer.perform(lambda _: sum(peer.store.batches)))
    await asyncio.sleep(0)
    peer.writer.append([*others[2:3], PendingSkip("t", "x"), *others[3:]])
    peer.store.gate.set()
    assert await called == 16
    await peer.writer.drained()
    stored = [number for number, _ in peer.seqs]
    assert stored[:10] == [0, 1, 2, *range(100, 106), 3]
    assert [number for number in stored if number < 100] == [*range(10)]
    assert [number for number in stored if number >= 100] == [*range(100, 106)]


async def test_others_that_a_transaction_left_too_do_not_wait(peer: WriterPeer) -> None:
    """Behind a deadline, messages of other accounts come first, also if they were behind it themselves."""
    peer.store.at_once = 3
    peer.store.gate.clear()
    peer.writer.append(items(1))
    await until(lambda: not peer.writer._pending)
    slow = [Chat("t", NewMessage(3, 2, f"{n:032x}", "x")) for n in range(100, 140)]
    peer.writer.append([*items(30, first=1), *slow])
    for n in range(4):
        peer.writer.append([Chat(f"s{n}", NewMessage(10 + n, 2, f"{200 + n:032x}", "x"))])
    called = asyncio.ensure_future(peer.writer.perform(lambda _: sum(peer.store.batches)))
    await asyncio.sleep(0)
    peer.store.gate.set()
    assert await called == 75
    stored = [number for number, _ in peer.seqs]
    assert max(stored.index(200 + n) for n in range(4)) < 4 + 3 * 3
    assert [number for number in stored if number < 100] == [*range(31)]
    assert [number for number in stored if 100 <= number < 200] == [*range(100, 140)]
    assert not peer.writer._pending


async def test_a_call_waits_for_all_before_it_and_for_nothing_else(peer: WriterPeer) -> None:
    """A call runs when all that was queued before it is done, also if a transaction left some of that."""
    peer.store.at_once = 2
    peer.store.gate.clear()
    peer.writer.append(items(1, first=100))
    await until(lambda: not peer.writer._pending)
    stored: list[int] = []
    queues: list[list[Item[str]]] = [
        items(3),
        [mark(3)],
        items(2, first=3),
        [PendingSkip("x", None)],
        items(4, first=5),
    ]
    calls = []
    for queued in queues:
        peer.writer.append(queued)
        calls.append(
            asyncio.ensure_future(peer.writer.perform(lambda _: stored.append(sum(peer.store.batches))))
        )
        await asyncio.sleep(0)
    peer.store.gate.set()
    await asyncio.gather(*calls)
    assert stored == [5, 5, 7, 7, 10]
    assert [number for number, _ in peer.seqs] == [100, *range(9)]
    assert peer.moved == [[3]]


async def test_what_is_left_waits_behind_no_damaged_page(peer: WriterPeer) -> None:
    """Of a batch that is committed in halves, what a deadline leaves keeps its order, and marks move."""
    peer.store.poison = {5}
    peer.store.at_once = 3
    peer.writer.append([*items(5), mark(9), *items(1, first=5, session="t"), *items(6, first=6), mark(8)])
    await peer.writer.drained()
    assert [number for number, _ in peer.seqs] == [0, 1, 2, 3, 4, *range(6, 12)]
    assert [each for each in peer.reported if each[0] not in ("stored", "moved")] == [
        (ErrorCode.STORAGE_FAILED, [5])
    ]
    assert sorted(seq for moved in peer.moved for seq in moved) == [8, 9]


async def test_room_changes_that_are_left_come_first(peer: WriterPeer) -> None:
    """Room changes behind the deadline of a transaction are made by the next one, in order."""
    peer.store.at_once = 2
    peer.store.gate.clear()
    peer.writer.append(items(1))
    await until(lambda: not peer.writer._pending)
    changes = [RoomChange(action="topic", room=f"#{n}", actor=1) for n in range(5)]
    made = [asyncio.ensure_future(peer.writer.change_room(change)) for change in changes]
    await asyncio.sleep(0)
    peer.store.gate.set()
    await asyncio.gather(*made)
    assert [[change.room for change in each] for each in peer.store.changes] == [
        ["#0", "#1"],
        ["#2", "#3"],
        ["#4"],
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreFullError("full"), ErrorCode.STORAGE_FULL),
        (StoreBusyError("busy"), ErrorCode.STORAGE_FAILED),
    ],
)
async def test_a_refused_batch_is_reported_and_the_next_is_tried(
    peer: WriterPeer, error: StoreError, code: ErrorCode
) -> None:
    """A refused batch is reported in order with its code; the next batch is stored."""
    peer.store.fails = [error]
    peer.writer.append(items(3))
    await peer.writer.drained()
    peer.writer.append(items(3))
    await peer.writer.drained()
    assert peer.reported == [(code, [0, 1, 2]), ("stored", 3)]


async def test_a_damaged_page_refuses_only_what_needs_it(peer: WriterPeer) -> None:
    """Of a batch that meets a damaged page, everything else is stored, in order, and nothing overtakes."""
    peer.store.poison = {50, 99}
    late = [*items(1, first=50), *items(2, first=60)]
    marks = [Mark(1, 1, PositionKind.READ, seq) for seq in (99, 7)]
    peer.writer.append([*items(3), *late, *items(3, first=100, session="t"), *marks])
    await peer.writer.drained()
    assert [each for each, _ in peer.seqs] == [0, 1, 2, 100, 101, 102]
    refused = [each for each in peer.reported if each[0] not in ("stored", "moved")]
    assert refused[0] == (ErrorCode.STORAGE_FAILED, [50])
    assert {code for code, _ in refused[1:]} == {ErrorCode.OUT_OF_ORDER}
    assert [each for _, numbers in refused[1:] for each in cast("list[int]", numbers)] == [60, 61]
    assert peer.moved == [[7]]


async def test_a_retry_in_a_refused_batch_is_acknowledged(peer: WriterPeer) -> None:
    """A message that was stored before is acknowledged, not refused, even in a refused batch."""
    old = Chat("s", NewMessage(1, 2, f"{9:032x}", "old"))
    peer.store.fails = [StoreFullError("full")]
    peer.writer.append([old, *items(2)])
    await peer.writer.drained()
    assert peer.reported == [("stored", 1), (ErrorCode.STORAGE_FULL, [0, 1])]
    assert peer.seqs == [(9, 1)]


async def test_nothing_overtakes_a_refused_message(peer: WriterPeer) -> None:
    """Later messages of a session to the same account are refused until the first is sent again."""
    peer.store.fails = [StoreFullError("full")]
    peer.writer.append(items(2))
    await peer.writer.drained()
    peer.writer.append(items(1, first=1))
    peer.writer.append(items(1, first=2, to=3))
    peer.writer.append(items(1, first=3, session="t"))
    await peer.writer.drained()
    peer.writer.append(items(2))
    await peer.writer.drained()
    assert peer.reported == [
        (ErrorCode.STORAGE_FULL, [0, 1]),
        (ErrorCode.OUT_OF_ORDER, [1]),
        ("stored", 2),
        ("stored", 2),
    ]
    assert [number for number, _ in peer.seqs] == [2, 3, 0, 1]


async def test_a_known_message_behind_a_refused_one_is_answered(peer: WriterPeer) -> None:
    """A message whose id was used before is not refused for its order; a new one is."""
    peer.store.fails = [StoreFullError("full")]
    peer.writer.append(items(1))
    await peer.writer.drained()
    peer.writer.append([*items(1, first=1), Chat("s", NewMessage(1, 2, f"{9:032x}", "old"))])
    await peer.writer.drained()
    assert peer.reported == [
        (ErrorCode.STORAGE_FULL, [0]),
        ("stored", 1),
        (ErrorCode.OUT_OF_ORDER, [1]),
    ]
    assert peer.seqs == [(9, 1)]


@pytest.mark.parametrize(("skipped", "free"), [(f"{0:032x}", True), (f"{1:032x}", False), (None, True)])
async def test_skipping_the_first_refused_message_unblocks_the_rest(
    peer: WriterPeer, skipped: str | None, free: bool
) -> None:
    """Skipping the first refused message, or the end of the session, unblocks later messages."""
    peer.store.fails = [StoreFullError("full")]
    peer.writer.append(items(2))
    await peer.writer.drained()
    peer.writer.append([PendingSkip("other", None), PendingSkip("s", skipped), *items(1, first=2)])
    await peer.writer.drained()
    assert peer.reported[1:] == [("stored", 1) if free else (ErrorCode.OUT_OF_ORDER, [2])]


async def test_positions_share_the_transaction_of_earlier_messages(peer: WriterPeer) -> None:
    """Positions are moved with the messages queued before them, or else in their own transaction."""
    peer.store.gate.clear()
    peer.writer.append(items(1))
    await until(lambda: not peer.writer._pending)
    peer.writer.append([mark(3), *items(1, first=1), mark(5)])
    peer.store.gate.set()
    await peer.writer.drained()
    peer.writer.append([mark(7)])
    await peer.writer.drained()
    assert peer.store.marks == peer.moved == [[3, 5], [7]]
    assert peer.reported == [("stored", 1), ("stored", 1), ("moved", 2), ("stored", 0), ("moved", 1)]


async def test_housekeeping_runs_when_the_writer_is_idle() -> None:
    """An idle writer runs all steps of housekeeping on the store's thread."""
    peer = WriterPeer()
    peer.store.chores.steps = 5
    with peer.writer:
        await until(lambda: peer.store.chores.done == 5)
        assert peer.store.chores.threads == {"qscpd-store"}
        await peer.writer.drained()
    assert peer.store.chores.done == 5


async def test_housekeeping_watches_the_wall_clock() -> None:
    """After a step of housekeeping the writer knows what is wrong with the wall clock."""
    peer = WriterPeer()
    peer.store.chores.doubt = ClockDoubt(2_000, 1_000, 500)
    with peer.writer:
        await until(lambda: peer.writer.clock.doubt)
    assert peer.writer.clock.doubt == peer.store.chores.doubt


async def test_failing_housekeeping_does_not_stop_the_writer() -> None:
    """After an error of housekeeping, messages are still stored."""
    peer = WriterPeer()
    peer.store.chores.steps = StoreFullError("no room to index")
    with peer.writer:
        await until(lambda: peer.store.chores.done)
        peer.writer.append(items(2))
        await peer.writer.drained()
    assert peer.reported == [("stored", 2)]


async def test_failing_housekeeping_is_logged_once() -> None:
    """A disk that stays full makes one line about housekeeping, not one at each try, and one at the end."""
    peer = WriterPeer()
    peer.store.chores.steps = StoreFullError("no room to index")
    with structlog.testing.capture_logs() as logged, peer.writer:
        await until(lambda: peer.store.chores.done == 1)
        peer.writer.append(items(1))
        await until(lambda: peer.store.chores.done == 2)
        peer.writer.append(items(1))
        await until(lambda: peer.store.chores.done == 3)
    assert [(each["event"], each["steps"]) for each in logged] == [
        ("store.housekeeping_failed", 1),
        ("store.housekeeping_failed.over", 3),
    ]


async def test_a_full_disk_brings_housekeeping_forward() -> None:
    """After a refusal, housekeeping tries to make space before the sender tries again."""
    peer = WriterPeer()
    with peer.writer:
        await until(lambda: peer.store.chores.done == 1)
        peer.store.fails = [StoreFullError("full")]
        peer.writer.append(items(1))
        await until(lambda: peer.store.chores.done == 2)
    assert peer.reported == [(ErrorCode.STORAGE_FULL, [0])]


async def test_a_call_fails_when_housekeeping_has_a_bug() -> None:
    """A caller that waited for ever would keep the daemon from stopping."""
    peer = WriterPeer()
    peer.store.chores.steps = ValueError("a bug")
    peer.store.chores.gate.clear()
    with peer.writer:
        await until(lambda: peer.store.chores.done)
        waiting = asyncio.ensure_future(peer.writer.drained())
        await asyncio.sleep(0)
        peer.store.chores.gate.set()
        with pytest.raises(StoreError, match="failed"):
            await asyncio.wait_for(waiting, PATIENCE_S)
    await asyncio.sleep(0)
    assert peer.reported == [("failed", StoreError)]
    assert peer.store.chores.done == 1


@pytest.mark.parametrize("error", [StoreError("disk I/O error"), OSError("?"), ValueError("a bug")])
async def test_an_unknown_outcome_stops_everything(error: Exception) -> None:
    """An unknown error is reported once; neither that batch nor a later one is answered, and no call runs."""
    peer = WriterPeer()
    peer.store.fails = [None, error]
    with peer.writer:
        peer.writer.append(items(1001))
        await until(lambda: len(peer.reported) == 2)
        peer.writer.append(items(5))
        with pytest.raises(StoreError, match="closed"):
            await peer.writer.perform(lambda store: store.accounts())
    await asyncio.sleep(0)
    assert peer.reported == [("stored", 1000), ("failed", StoreError)]
    assert peer.store.batches == [1000]


async def test_calls_run_between_batches(peer: WriterPeer) -> None:
    """A call runs after all messages queued before it; its result or error is passed on."""
    peer.store.gate.clear()
    peer.writer.append(items(3000))
    call = asyncio.ensure_future(peer.writer.perform(lambda _: list(peer.store.batches)))
    await asyncio.sleep(0)
    assert peer.reported == []
    peer.store.gate.set()
    assert await call == [1000, 1000, 1000]
    assert peer.reported == [("stored", 1000)] * 3
    with pytest.raises(KeyError, match="alice"):
        await peer.writer.perform(lambda store: store.credentials("alice"))
    await peer.writer.drained()
    assert peer.store.batches == [1000, 1000, 1000]


async def test_the_result_of_a_cancelled_call_is_dropped(peer: WriterPeer) -> None:
    """The writer continues after the caller of `perform` was cancelled."""
    peer.store.gate.clear()
    peer.writer.append(items(1))
    waiting = asyncio.ensure_future(peer.writer.perform(lambda store: store.accounts()))
    await asyncio.sleep(0)
    waiting.cancel()
    peer.store.gate.set()
    await peer.writer.drained()
    assert waiting.cancelled()


async def test_closing_commits_queued_messages() -> None:
    """Leaving the writer commits all queued messages; its callbacks run in the loop."""
    peer = WriterPeer()
    with peer.writer:
        peer.writer.append(items(1500))
    assert peer.store.batches == [1000, 500]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [number for number, _ in peer.seqs] == list(range(1500))
    with pytest.raises(StoreError, match="closed"):
        await peer.writer.perform(lambda store: store.accounts())
