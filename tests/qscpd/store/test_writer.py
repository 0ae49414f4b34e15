"""The store's thread: order, batches, and what happens when the store does not want."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import pytest

from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.store.base import Account, Credentials, NewMessage, StoredMessage
from qscpd.store.sqlite import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.patience import until


class Item(NamedTuple):
    """Something that waits."""

    number: int
    message: NewMessage


def items(count: int, size: int = 5) -> list[Item]:
    """Messages to store."""
    return [Item(n, NewMessage(1, 2, f"{n:032x}", "x" * size)) for n in range(count)]


class ListStore(SqliteStore):
    """A store that is a list, and can be made to fail or to wait.

    Attributes:
        batches: How many messages each transaction had.
        fails: Errors to raise, one a transaction; None for none.
        gate: Transactions wait for it.
    """

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fails: list[Exception | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()

    def append(self, messages: Sequence[NewMessage]) -> Sequence[StoredMessage]:
        """Note a batch."""
        self.gate.wait(20)
        self.threads.add(threading.current_thread().name)
        if self.fails and (error := self.fails.pop(0)) is not None:
            raise error
        before = sum(self.batches)
        self.batches.append(len(messages))
        return [StoredMessage(1, before + n, 0) for n in range(1, len(messages) + 1)]

    def accounts(self) -> Sequence[Account]:
        """Nobody."""
        return []

    def credentials(self, name: str) -> Credentials | None:
        """Not asked for."""
        raise KeyError(name)


class Desk:
    """Hears what the writer says, in order."""

    def __init__(self) -> None:
        self.store = ListStore()
        self.heard: list[tuple[str, object]] = []
        self.seqs: list[tuple[int, int]] = []
        self.writer = StoreWriter[Item](
            self.store, on_stored=self.stored, on_refused=self.refused, on_failed=self.failed
        )

    def stored(self, batch: Sequence[Item], places: Sequence[StoredMessage]) -> None:
        """Note it."""
        assert threading.current_thread() is threading.main_thread()
        self.heard.append(("stored", len(batch)))
        self.seqs += [(item.number, place.seq) for item, place in zip(batch, places, strict=True)]

    def refused(self, batch: Sequence[Item], error: StoreError) -> None:
        """Note it."""
        self.heard.append(("refused", (len(batch), type(error))))

    def failed(self, error: StoreError) -> None:
        """Note it."""
        self.heard.append(("failed", type(error)))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A running writer."""
    desk = Desk()
    with desk.writer:
        yield desk
        desk.store.gate.set()


async def test_messages_come_back_in_order(desk: Desk) -> None:
    """However they are handed over, on one thread that is not ours."""
    for item in items(50):
        desk.writer.append([item])
    desk.writer.append(items(70)[50:])
    await desk.writer.drained()
    assert desk.seqs == [(n, n + 1) for n in range(70)]
    assert desk.store.threads == {"qscpd-store"}


async def test_what_comes_during_a_commit_is_one_batch(desk: Desk) -> None:
    """A message that comes alone waits for nobody, those behind it share a transaction."""
    desk.store.gate.clear()
    desk.writer.append(items(1))
    await until(lambda: not desk.writer._pending)
    for item in items(201)[1:]:
        desk.writer.append([item])
    desk.store.gate.set()
    await desk.writer.drained()
    assert desk.store.batches == [1, 200]


async def test_a_batch_has_limits(desk: Desk) -> None:
    """At most a thousand messages, and not more than a mebibyte and one message."""
    desk.writer.append(items(2500))
    await desk.writer.drained()
    assert desk.store.batches == [1000, 1000, 500]
    desk.store.batches.clear()
    desk.writer.append(items(100, 16384))
    await desk.writer.drained()
    assert desk.store.batches == [64, 36]


@pytest.mark.parametrize("error", [StoreFullError("full"), StoreBusyError("busy")])
async def test_a_refused_batch_comes_back_and_the_next_is_tried(desk: Desk, error: StoreError) -> None:
    """Nothing of it was stored, and its senders can be told so, in their order."""
    desk.store.fails = [error]
    desk.writer.append(items(3))
    await desk.writer.drained()
    desk.writer.append(items(2))
    await desk.writer.drained()
    assert desk.heard == [("refused", (3, type(error))), ("stored", 2)]


@pytest.mark.parametrize("error", [StoreError("disk I/O error"), OSError("?"), ValueError("a bug")])
async def test_an_unknown_outcome_stops_everything(error: Exception) -> None:
    """It is told once; neither what failed nor what comes later is answered, and no call is taken."""
    desk = Desk()
    desk.store.fails = [None, error]
    with desk.writer:
        desk.writer.append(items(1001))
        await until(lambda: len(desk.heard) == 2)
        desk.writer.append(items(5))
        with pytest.raises(StoreError, match="closed"):
            await desk.writer.call(lambda store: store.accounts())
    await asyncio.sleep(0)
    assert desk.heard == [("stored", 1000), ("failed", StoreError)]
    assert desk.store.batches == [1000]


async def test_calls_run_between_batches(desk: Desk) -> None:
    """They wait for one batch at most, return what they return, and raise what they raise."""
    desk.store.gate.clear()
    desk.writer.append(items(3000))
    call = asyncio.ensure_future(desk.writer.call(lambda _: list(desk.store.batches)))
    await asyncio.sleep(0)
    desk.store.gate.set()
    assert await call in ([1000], [1000, 1000])
    with pytest.raises(KeyError, match="alice"):
        await desk.writer.call(lambda store: store.credentials("alice"))
    await desk.writer.drained()
    assert desk.store.batches == [1000, 1000, 1000]


async def test_a_call_that_nobody_waits_for_any_more_does_no_harm(desk: Desk) -> None:
    """Its result is dropped."""
    desk.store.gate.clear()
    desk.writer.append(items(1))
    waiting = asyncio.ensure_future(desk.writer.call(lambda store: store.accounts()))
    await asyncio.sleep(0)
    waiting.cancel()
    desk.store.gate.set()
    await desk.writer.drained()
    assert waiting.cancelled()


async def test_the_end_finishes_what_was_handed_over() -> None:
    """Leaving the writer commits everything; the callbacks come when the loop gets to them."""
    desk = Desk()
    with desk.writer:
        desk.writer.append(items(1500))
    assert desk.store.batches == [1000, 500]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [number for number, _ in desk.seqs] == list(range(1500))
    with pytest.raises(StoreError, match="closed"):
        await desk.writer.call(lambda store: store.accounts())
