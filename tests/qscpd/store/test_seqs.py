"""Seqs and times of messages: dense, and never falling."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.domain.model import NewMessage, StoredMessage
from qscpd.store.base import Store
from tests.support.stores import ManualClock, StoreFactory


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path) -> Iterator[Store]:
    """A store with alice, bob and carol as 1, 2 and 3."""
    with contextlib.closing(store_factory.open(tmp_path)) as opened:
        for name in ("alice", "bob", "carol"):
            opened.add_account(name, f"hash of {name}")
        yield opened


def message(number: int, sender: int = 1, recipient: int = 2, body: str = "hello") -> NewMessage:
    """Return a message whose id is made from a number."""
    return NewMessage(sender, recipient, f"{number:032x}", body)


def append(store: Store, *messages: NewMessage) -> list[StoredMessage]:
    """Store new messages in one transaction; return their places."""
    outcomes, moved = store.append(messages)
    assert moved == []
    stored = [each for each in outcomes if isinstance(each, StoredMessage) and each.new]
    assert len(stored) == len(messages)
    return stored


def test_seqs_are_dense_in_each_conversation(store: Store) -> None:
    """Both directions of a pair share one conversation, and each conversation has its own seqs."""
    stored = append(store, message(1), message(2, 2, 1), message(3, 1, 3), message(4))
    stored += append(store, message(5, 3, 1), message(6))
    assert [(each.conversation, each.seq) for each in stored] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (1, 3),
        (2, 2),
        (1, 4),
    ]


def test_seqs_continue_after_a_restart(store: Store, store_factory: StoreFactory, tmp_path: Path) -> None:
    """After a restart the seqs of a conversation continue."""
    append(store, message(1), message(2))
    store.close()
    with contextlib.closing(store_factory.open(tmp_path)) as again:
        assert [each.seq for each in append(again, message(3), message(4, 2, 1))] == [3, 4]


def test_time_never_goes_back(store_factory: StoreFactory, tmp_path: Path) -> None:
    """If the clock is set back, times in a conversation stay the same, even over a restart."""
    clock = ManualClock(5_000)
    times: list[int] = []
    numbers = itertools.count(1)
    for ms in (5_000, 4_000, 1_000, 6_000):
        with contextlib.closing(store_factory.open(tmp_path, clock=clock)) as store:
            if not times:
                store.add_account("alice", "x")
                store.add_account("bob", "x")
            clock.jump((ms - clock.ms) / 1000)
            times.append(append(store, message(next(numbers)))[0].time_ms)
    assert times == [5_000, 5_000, 5_000, 6_000]
