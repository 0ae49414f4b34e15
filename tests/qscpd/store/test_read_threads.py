"""The reading threads: errors, cancellation, shutdown, and open transactions."""

import asyncio
import contextlib
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from qscpd.domain.model import ConversationRow, Credentials, NewMessage
from qscpd.domain.search import SearchQuery
from qscpd.errors import StoreDamagedError, StoreError
from qscpd.store import open_reader, store_url
from qscpd.store.reads import StoreReads
from qscpd.store.sqlite.database import Row
from qscpd.store.sqlite.store import SqliteStore
from tests.support.gated_reader import BEFORE, GatedReader, ReadGate
from tests.support.searches import NEWEST
from tests.support.waiting import patiently, until

ALICE, BOB = 1, 2


class RecordingReader(GatedReader):
    """A gated reader that records its threads, and fails on demand.

    Attributes:
        threads: Names of the threads that opened, used and closed the reader, in order.
        asked: The accounts whose conversations were read.
    """

    threads: list[str]
    asked: list[int]

    def __init__(self, path: Path, gate: ReadGate) -> None:
        self.threads, self.asked = [threading.current_thread().name], []
        super().__init__(path, gate)

    def conversations(
        self, account: int, after: int = 0, limit: int = 1_000_000
    ) -> Sequence[ConversationRow]:
        """Record the account."""
        self.asked.append(account)
        return super().conversations(account, after, limit)

    def credentials(self, name: str) -> Credentials | None:
        """For the name "damaged", fail in the middle of a query, with the cursor still open."""
        self.threads.append(threading.current_thread().name)
        if name == "damaged":
            with self.snapshot():
                rows = self._gated_db.iterate("SELECT id FROM accounts")
                raise StoreDamagedError(f"row {next(rows)} is damaged")
        return super().credentials(name)

    def close(self) -> None:
        """Record the thread."""
        self.threads.append(threading.current_thread().name)
        super().close()


class Made:
    """A store with alice and bob, and reads of it.

    Attributes:
        readers: The readers that the threads opened.
    """

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(path)
        for name in ("alice", "bob"):
            self.store.add_account(name, "x")
        self.gate = ReadGate()
        self.readers: list[RecordingReader] = []
        self.reads = StoreReads(self._open)
        self._path = path

    def _open(self) -> RecordingReader:
        reader = RecordingReader(self._path, self.gate)
        self.readers.append(reader)
        return reader

    def checkpoint(self) -> Row:
        """Return SQLite's result of a checkpoint that does not wait for readers."""
        with contextlib.closing(sqlite3.connect(self._path, timeout=0)) as db:
            row: Row = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return row


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    """A store with alice and bob, and reads of it that are running."""
    made = Made(tmp_path / "q.db")
    async with patiently():
        with contextlib.closing(made.store), made.reads:
            yield made
            made.gate.open()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Turn off the garbage collector."""
    gc.disable()
    yield
    gc.enable()


async def test_each_reader_stays_on_its_thread(made: Made) -> None:
    """Each of the two readers is opened, used and closed by the same thread."""
    found = await asyncio.gather(*(made.reads.credentials("alice") for _ in range(20)))
    assert [each.account.name for each in found if each is not None] == ["alice"] * 20
    made.reads.__exit__(None, None, None)
    assert len(made.readers) == 2
    for reader in made.readers:
        assert len(set(reader.threads)) == 1
        assert len(reader.threads) >= 2
    assert {each.threads[0] for each in made.readers} == {"qscpd-reads-1", "qscpd-reads-2"}


async def test_an_error_concerns_only_its_caller(made: Made) -> None:
    """An error is raised where the read is awaited; the next read works."""
    for _ in range(5):
        with pytest.raises(StoreDamagedError, match="is damaged"):
            await made.reads.credentials("damaged")
        assert await made.reads.credentials("zoe") is None


@pytest.mark.usefixtures("no_collection")
async def test_idle_readers_hold_no_transaction(made: Made) -> None:
    """No transaction stays open after a read, even a failed one, so that the WAL can be truncated."""
    for n in range(5):
        made.store.append([NewMessage(ALICE, BOB, f"{n:032x}", "hello")])
        await made.reads.conversation_list(ALICE, 0, 9)
        await made.reads.search(SearchQuery(ALICE, ("x",), None, NEWEST, 1))
        with contextlib.suppress(StoreDamagedError):
            await made.reads.credentials("damaged")
        await until(lambda: made.checkpoint() == (0, 0, 0))  # A thread may still be leaving the read.


async def test_a_cancelled_read_is_not_started(made: Made) -> None:
    """A cancelled read that is queued is not run; of one that is running the result is dropped."""
    made.gate.close(BEFORE, "conversation_list")
    running = [asyncio.create_task(made.reads.conversation_list(ALICE, 0, 9)) for _ in range(2)]
    await made.gate.stopped()
    queued = asyncio.create_task(made.reads.conversations(BOB))
    last = asyncio.create_task(made.reads.conversations(ALICE))
    await asyncio.sleep(0)
    for each in (*running, queued):
        each.cancel()
    await asyncio.sleep(0)
    made.gate.open()
    assert await last == []
    assert all(each.cancelled() for each in (*running, queued))
    assert [account for reader in made.readers for account in reader.asked] == [ALICE]


async def test_a_store_that_can_not_be_opened(tmp_path: Path) -> None:
    """If the store cannot be opened, entering raises the error and leaves no thread."""
    before = set(threading.enumerate())
    reads = StoreReads(lambda: open_reader(store_url(tmp_path / "none.db")))
    with pytest.raises(StoreError, match=r"none\.db"):
        reads.__enter__()
    assert set(threading.enumerate()) <= before  # Threads of earlier tests can end meanwhile.
    with pytest.raises(StoreError, match="closed"):
        await reads.credentials("alice")


async def test_queued_reads_are_answered_before_closing(made: Made) -> None:
    """Closing answers queued reads and refuses later ones."""
    reads = [asyncio.create_task(made.reads.credentials("bob")) for _ in range(50)]
    await asyncio.sleep(0)
    made.reads.__exit__(None, None, None)
    assert all(each is not None for each in await asyncio.gather(*reads))
    with pytest.raises(StoreError, match="closed"):
        await made.reads.credentials("bob")
