"""Pruning: old messages are deleted, and the rest is unchanged.

The sentences of the design that are proved here: *pruning takes a prefix and raises `first_seq`*,
*`last_seq` is stored and survives pruning to empty*, and *pruning keeps the id*.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.domain.model import Keep, MessageRow, NewMessage, Refused, StoredMessage
from qscpd.domain.retention import KEEP_IDS_MS
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import (
    ManualClock,
    StoreFactory,
    conversation_of,
    housekeeping_step,
    rows_of,
    unread_of,
)

ALICE, BOB, CAROL = 1, 2, 3
DAY = 24 * 3600 * 1000
NEWEST = (2**53, 0, 0)


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """A store with alice, bob and carol."""
    with contextlib.closing(store_factory.open(tmp_path, clock=clock)) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        yield store


make_id = IdMaker()


def messages(*bodies: str, sender: int = ALICE, recipient: int = BOB) -> list[NewMessage]:
    """Make messages with new ids."""
    return [NewMessage(sender, recipient, make_id(), body) for body in bodies]


def numbered(count: int) -> list[NewMessage]:
    """Make messages with the bodies word1, word2 and so on."""
    return messages(*(f"word{number}" for number in range(1, count + 1)))


def prune(store: Store, *, age_ms: int | None = None, count: int | None = None) -> int:
    """Do all housekeeping; return the number of steps."""
    steps = 0
    for _ in range(2):  # the last step of indexing and the last of a round both return False
        while housekeeping_step(store, Keep(age_ms, count)):
            steps += 1
    return steps


def seqs(store: Store, conversation: int = 1) -> list[int]:
    """Return the seqs of all messages of a conversation."""
    return [row.seq for row in rows_of(store, conversation)]


def ends(store: Store, conversation: int = 1) -> tuple[int, int]:
    """Return first_seq and last_seq."""
    row = conversation_of(store, ALICE, conversation)
    assert row is not None
    return row.first_seq, row.last_seq


def found(store: Store, *words: str) -> list[int]:
    """Return the seqs of the messages that alice finds."""
    matches, complete, _ = search_page(store, ALICE, words, limit=1000)
    assert complete
    return [each.message.seq for each in matches]


# --- by count


@pytest.mark.parametrize("keep", [1, 2, 3, 4, 5, 6, 9])
def test_exactly_the_newest_messages_stay(store: Store, keep: int) -> None:
    """Pruning by count keeps exactly the newest messages, even from the middle of a chunk."""
    store.append(numbered(3))
    store.append(numbered(3))
    prune(store, count=keep)
    left = list(range(1, 7))[-keep:]
    assert seqs(store) == left
    assert ends(store) == (left[0], 6)


def test_remaining_messages_are_unchanged(store: Store, clock: ManualClock) -> None:
    """Pruning part of a chunk changes neither seq nor time, sender, id or body of the rest."""
    store.append([*messages("a", "b"), *messages("c", sender=BOB, recipient=ALICE), *messages("d")])
    before = rows_of(store, 1)
    clock.ms += DAY
    prune(store, count=2)
    assert rows_of(store, 1) == before[2:]
    page = store.history_page(BOB, 1, limit=10, max_bytes=10**6)
    assert page is not None
    assert page.messages == before[2:]


def test_each_conversation_is_pruned_by_its_own_count(store: Store) -> None:
    """The count of messages to keep is applied to each conversation."""
    store.append(
        [*numbered(5), *messages("x", "y", "z", recipient=CAROL), *messages("p", sender=BOB, recipient=CAROL)]
    )
    prune(store, count=2)
    assert [seqs(store, each) for each in (1, 2, 3)] == [[4, 5], [2, 3], [1]]


# --- by age


def test_a_message_stays_until_it_is_too_old(store: Store, clock: ManualClock) -> None:
    """Pruning by age is exact to the millisecond."""
    store.append(messages("old"))
    clock.ms += 1
    store.append(messages("new"))
    clock.ms += DAY - 1  # the first is exactly a day old
    prune(store, age_ms=DAY)
    assert seqs(store) == [1, 2]
    clock.ms += 1
    prune(store, age_ms=DAY)
    assert (seqs(store), ends(store)) == ([2], (2, 2))


def test_age_and_count_both_limit(store: Store, clock: ManualClock) -> None:
    """A message is pruned if either limit says so."""
    store.append(numbered(3))
    clock.ms += DAY + 1
    store.append(numbered(3))
    prune(store, age_ms=DAY, count=5)
    assert seqs(store) == [4, 5, 6]
    prune(store, age_ms=DAY, count=2)
    assert seqs(store) == [5, 6]


def test_pruning_takes_a_prefix_after_the_clock_was_set_back(store: Store, clock: ManualClock) -> None:
    """Times never fall within a conversation, so pruning by age always takes a prefix."""
    store.append(messages("a"))
    clock.jump(-10 * DAY / 1000)
    store.append(messages("b"))
    clock.ms += 20 * DAY
    store.append(messages("c"))
    store.housekeeping.confirm_clock()
    prune(store, age_ms=11 * DAY)
    assert seqs(store) == [1, 2, 3]
    prune(store, age_ms=10 * DAY - 1)
    assert seqs(store) == [3]


# --- what pruning keeps


def test_pruning_to_empty_keeps_the_last_seq(store: Store, clock: ManualClock) -> None:
    """After pruning all messages first_seq is last_seq + 1, and the next message continues."""
    store.append(numbered(3))
    clock.ms += 2 * DAY
    prune(store, age_ms=DAY)
    assert (seqs(store), ends(store)) == ([], (4, 3))
    store.append(messages("next"))
    assert (seqs(store), ends(store)) == ([4], (4, 4))


def test_the_last_seq_survives_a_restart(
    store: Store, store_factory: StoreFactory, clock: ManualClock, tmp_path: Path
) -> None:
    """After pruning all messages and a restart, the next message continues the seqs."""
    store.append(numbered(3))
    clock.ms += 2 * DAY
    prune(store, age_ms=DAY)
    store.close()
    with contextlib.closing(store_factory.open(tmp_path, clock=clock)) as again:
        outcomes, _ = again.append(messages("next"))
        assert outcomes == [StoredMessage(1, 4, clock.ms)]


def test_ids_survive_pruning(
    store: Store, store_factory: StoreFactory, clock: ManualClock, tmp_path: Path
) -> None:
    """A late retry of a pruned message gets the original ack; another message under its id is refused."""
    sent = numbered(3)
    first, _ = store.append(sent)
    stored = first[1]
    assert isinstance(stored, StoredMessage)
    clock.ms += 2 * DAY
    prune(store, age_ms=DAY)
    other = NewMessage(ALICE, BOB, sent[1].id, "another body")
    expected = [StoredMessage(1, 2, stored.time_ms, new=False), Refused()]
    assert store.append([sent[1], other])[0] == expected
    store.close()
    with contextlib.closing(store_factory.open(tmp_path, clock=clock)) as again:
        assert again.append([sent[1], other])[0] == expected


def test_an_id_is_known_for_thirty_days(store: Store, clock: ManualClock) -> None:
    """An id is known for thirty days, and as long as its message is kept; after both it is forgotten."""
    sent = numbered(2)
    store.append(sent)
    known = [StoredMessage(1, seq, clock.ms, new=False) for seq in (1, 2)]
    clock.ms += DAY
    prune(store, count=1)
    clock.ms += KEEP_IDS_MS - DAY
    prune(store)
    assert store.append(sent)[0] == known
    clock.ms += DAY
    prune(store)
    assert store.append(sent)[0] == [StoredMessage(1, 3, clock.ms), known[1]]


def test_messages_are_indexed_before_they_are_pruned(store: Store) -> None:
    """The index catches up before pruning, so a search never finds pruned messages."""
    store.append(numbered(500))
    prune(store, count=1)
    assert (found(store, "word499"), found(store, "word500")) == ([], [500])


def test_positions_survive_pruning(store: Store) -> None:
    """Pruning leaves `read` unchanged; unread counts only remaining messages after it."""
    store.append(numbered(6))
    prune(store, count=2)
    row = conversation_of(store, BOB, 1)
    assert row is not None
    assert (row.read, unread_of(store, BOB, 1)) == (0, (2, 0))


# --- steps


def test_raising_the_limit_restores_nothing(store: Store) -> None:
    """With a higher limit later, pruned messages stay deleted and first_seq does not fall."""
    store.append(numbered(5))
    prune(store, count=1)
    prune(store, count=100)
    assert (seqs(store), ends(store)) == ([5], (5, 5))


def test_tombstones_are_pruned_like_messages(store: Store) -> None:
    """A tombstone counts as a message and is pruned like one."""
    store.append([*numbered(2), *messages("mine", sender=BOB, recipient=ALICE)])
    prune(store)
    store.delete_account("alice")
    while store.housekeeping.erase_step(ALICE):
        pass
    prune(store, count=2)
    assert [(row.seq, row.body) for row in rows_of(store, 1)] == [(2, None), (3, "mine")]
    row = rows_of(store, 1)[0]
    assert isinstance(row, MessageRow)
