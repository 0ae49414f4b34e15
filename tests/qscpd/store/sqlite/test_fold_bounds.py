"""Bounds of folding: what a transaction writes and reads, and the memory of what is not folded."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from qscpd.domain.model import Keep, MessageMeta, NewMessage, StoredMessage
from qscpd.store.sqlite import amendments, chunks
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.stores import rows_of

USERS: Final = 13
TAILS_BYTES: Final = 8 * 1024 * 1024
"""What the tails of the writer and of two readers may take together."""

make_id = IdMaker()


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    """A store in memory, which does not wait for the disk."""
    with memory_folder() as folder:
        store = SqliteStore(Path(folder) / "q.db", edit_within_ms=10**9)
        with contextlib.closing(store):
            store._db.run("PRAGMA synchronous = OFF")
            for number in range(USERS):
                store.add_account(f"user{number}", "x")
            yield store


def fold(store: SqliteStore) -> None:
    """Fold everything."""
    store._fold.request()
    while store.housekeeping.step(Keep()):
        pass


def long_text(number: int) -> str:
    """Return a text of 16 KiB."""
    return f"text{number} " + "0123456 " * 2047


class Transactions:
    """What each transaction of a store does.

    Attributes:
        written: Bytes of chunks that each one writes.
        decoded: Messages that each one decodes.
    """

    def __init__(self, store: SqliteStore) -> None:
        self.written: list[int] = [0]
        self.decoded: list[int] = [0]
        self._store = store
        seal, rows = chunks.seal, chunks.rows

        def counting_seal(place: int, packed: bytes) -> bytes:
            self.written[-1] += len(packed)
            return seal(place, packed)

        def counting_rows(*args: object) -> object:
            found = rows(*args)  # type: ignore[arg-type]
            self.decoded[-1] += len(found)
            return found

        self._patches = contextlib.ExitStack()
        self._patches.enter_context(mock.patch.object(chunks, "seal", counting_seal))
        self._patches.enter_context(mock.patch.object(chunks, "rows", counting_rows))
        store._db.connection.set_trace_callback(self._trace)

    def _trace(self, sql: str) -> None:
        if sql.startswith("BEGIN"):
            self.written.append(0)
            self.decoded.append(0)

    def close(self) -> None:
        """Stop counting."""
        self._store._db.connection.set_trace_callback(None)
        self._patches.close()


def test_reactions_to_long_messages(store: SqliteStore) -> None:
    """2,000 reactions to messages of 16 KiB in 12 conversations: no transaction rewrites a chunk for them.

    When they are folded, each step rewrites one chunk within its bound.
    """
    for peer in range(2, USERS + 1):
        for number in range(0, 250, 25):
            store.append([NewMessage(1, peer, make_id(), long_text(n)) for n in range(number, number + 25)])
    fold(store)
    reactions = [
        NewMessage(2 + n % 12, 1, make_id(), "+1", MessageMeta(kind="react", target=1 + n // 12))
        for n in range(2000)
    ]
    with contextlib.closing(Transactions(store)) as transactions:
        for begin in range(0, len(reactions), 100):
            outcomes, _ = store.append(reactions[begin : begin + 100])
            assert all(isinstance(each, StoredMessage) and each.count == 1 for each in outcomes)
        assert max(transactions.written) < 32 * 1024
        assert max(transactions.decoded) <= 2 * 100
        fold(store)
        assert max(transactions.written) <= 2 * chunks.BOUND
        assert store._db.read("SELECT count(*) FROM amendments") == [(0,)]


def test_edits_of_long_messages_end_a_transaction(store: SqliteStore) -> None:
    """The words of a text are exchanged at the end of the transaction: its deadline counts that time."""
    store.append([NewMessage(1, 2, make_id(), f"text {number}") for number in range(4)])
    fold(store)
    store.append([NewMessage(1, 2, make_id(), "not folded") for _ in range(4)])

    def edit(targets: Sequence[int]) -> int:
        """Edit messages; return how many of them one transaction took."""
        edits = [
            NewMessage(1, 2, make_id(), "changed", MessageMeta(kind="edit", target=target))
            for target in targets
        ]
        return len(store.append(edits, deadline_s=time.monotonic() + 1000)[0])

    with mock.patch.object(amendments, "_INDEX_S", 100.0):
        assert edit([1, 2, 3, 4]) == 1
        assert edit([5, 6, 7, 8]) == 4


def _bursts() -> Iterator[list[NewMessage]]:
    for _ in range(60):
        yield [NewMessage(1, 2 + number % 12, make_id(), "short") for number in range(1000)]


def _long_ones() -> Iterator[list[NewMessage]]:
    for number in range(1000):
        yield [NewMessage(1, 2 + number % 12, make_id(), long_text(number))]


def _single_ones() -> Iterator[list[NewMessage]]:
    for number in range(25_000):
        yield [NewMessage(1 + number % 12, 13, make_id(), "x")]


@pytest.mark.parametrize("load", [_bursts, _long_ones, _single_ones], ids=["bursts", "long", "single"])
def test_memory_of_what_is_not_folded(store: SqliteStore, load: object) -> None:
    """The tails of the store and of its readers are bounded, however fast messages come."""
    highest = 0
    assert callable(load)
    with (
        contextlib.closing(SqliteReader(store._db.path)) as one,
        contextlib.closing(SqliteReader(store._db.path)) as two,
    ):
        for number, messages in enumerate(load()):
            store.append(messages)
            if number % 20 == 0:
                sizes = [store._tail.size]
                for reader in (one, two):
                    with reader.snapshot():
                        sizes.append(reader._chunk_reader._tail.size)
                highest = max(highest, sum(sizes))
    assert 1024 * 1024 < highest < TAILS_BYTES


def test_a_commit_waits_for_few_steps(store: SqliteStore) -> None:
    """A burst that is not folded yet is folded over several turns; no message is stored before that."""
    messages = [NewMessage(1, 2 + number % 12, make_id(), long_text(number)) for number in range(400)]
    waited = 0
    left = messages
    with mock.patch.object(store._fold, "step", side_effect=store._fold.step) as step:
        while left:
            before = store._tail.size
            step.reset_mock()
            outcomes, _ = store.append(left[:8], deadline_s=time.monotonic() - 1)
            assert step.call_count <= 1
            assert outcomes or store._tail.size <= before
            waited += not outcomes
            left = left[len(outcomes) :]
    assert waited > 10
    assert store._tail.size < 3 * 1024 * 1024
    stored = [row.id for number in range(1, 13) for row in rows_of(store, number)]
    assert sorted(stored) == sorted(message.id for message in messages)
