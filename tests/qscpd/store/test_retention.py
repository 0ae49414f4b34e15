"""Pruning: what is older than kept goes, and what stays is as it was.

The sentences of the design that are shown here: *pruning takes a prefix and raises `first_seq`*,
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
from tests.support.stores import ManualClock, StoreFactory, conversation_of, rows_of, unread_of

ALICE, BOB, CAROL = 1, 2, 3
DAY = 24 * 3600 * 1000
NEWEST = (2**53, 0, 0)


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock."""
    return ManualClock()


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """A store with alice, bob and carol."""
    with contextlib.closing(store_factory.open(tmp_path, clock_ms=clock)) as store:
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
    """Do all housekeeping there is; return how many steps that took."""
    steps = 0
    for _ in range(2):  # the last step of indexing and of a round both say that nothing waits
        while store.housekeeping.step(Keep(age_ms, count)):
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
    """Return the seqs of what alice finds."""
    matches, complete = store.search(ALICE, words, conversation=None, before=NEWEST, limit=1000)
    assert complete
    return [each.message.seq for each in matches]


# --- by count


@pytest.mark.parametrize("keep", [1, 2, 3, 4, 5, 6, 9])
def test_exactly_the_newest_stay(store: Store, keep: int) -> None:
    """By count, the boundary is exact, also in the middle of a chunk of many messages."""
    store.append(numbered(3))
    store.append(numbered(3))
    prune(store, count=keep)
    left = list(range(1, 7))[-keep:]
    assert seqs(store) == left
    assert ends(store) == (left[0], 6)


def test_what_stays_is_as_it_was(store: Store, clock: ManualClock) -> None:
    """Cutting a chunk changes neither seq nor time, sender, id or body of the rest of it."""
    store.append([*messages("a", "b"), *messages("c", sender=BOB, recipient=ALICE), *messages("d")])
    before = rows_of(store, 1)
    clock.ms += DAY
    prune(store, count=2)
    assert rows_of(store, 1) == before[2:]
    page = store.history_page(BOB, 1, limit=10, max_bytes=10**6)
    assert page is not None
    assert page.messages == before[2:]


def test_each_conversation_is_counted_alone(store: Store) -> None:
    """Two messages of each conversation stay, not two in all."""
    store.append(
        [*numbered(5), *messages("x", "y", "z", recipient=CAROL), *messages("p", sender=BOB, recipient=CAROL)]
    )
    prune(store, count=2)
    assert [seqs(store, each) for each in (1, 2, 3)] == [[4, 5], [2, 3], [1]]


# --- by age


def test_a_message_stays_until_it_is_older_than_kept(store: Store, clock: ManualClock) -> None:
    """By age, the boundary is exact to the millisecond."""
    store.append(messages("old"))
    clock.ms += 1
    store.append(messages("new"))
    clock.ms += DAY - 1  # the first is a day old, and not older
    prune(store, age_ms=DAY)
    assert seqs(store) == [1, 2]
    clock.ms += 1
    prune(store, age_ms=DAY)
    assert (seqs(store), ends(store)) == ([2], (2, 2))


def test_age_and_count_both_hold(store: Store, clock: ManualClock) -> None:
    """What either of the two limits takes is gone."""
    store.append(numbered(3))
    clock.ms += DAY + 1
    store.append(numbered(3))
    prune(store, age_ms=DAY, count=5)
    assert seqs(store) == [4, 5, 6]
    prune(store, age_ms=DAY, count=2)
    assert seqs(store) == [5, 6]


def test_a_clock_that_was_set_back_prunes_no_middle(store: Store, clock: ManualClock) -> None:
    """Times never fall within a conversation, so what is old is always a prefix."""
    store.append(messages("a"))
    clock.ms -= 10 * DAY
    store.append(messages("b"))
    clock.ms += 20 * DAY
    store.append(messages("c"))
    prune(store, age_ms=11 * DAY)
    assert seqs(store) == [1, 2, 3]
    prune(store, age_ms=10 * DAY - 1)
    assert seqs(store) == [3]


# --- what survives


def test_pruning_to_empty_keeps_the_end(store: Store, clock: ManualClock) -> None:
    """With nothing left, first_seq is behind last_seq, and the next message goes on, also after a restart."""
    store.append(numbered(3))
    clock.ms += 2 * DAY
    prune(store, age_ms=DAY)
    assert (seqs(store), ends(store)) == ([], (4, 3))
    store.append(messages("next"))
    assert (seqs(store), ends(store)) == ([4], (4, 4))


def test_the_end_survives_a_restart(
    store: Store, store_factory: StoreFactory, clock: ManualClock, tmp_path: Path
) -> None:
    """last_seq is stored, and not worked out from what is left."""
    store.append(numbered(3))
    clock.ms += 2 * DAY
    prune(store, age_ms=DAY)
    store.close()
    with contextlib.closing(store_factory.open(tmp_path, clock_ms=clock)) as again:
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
    with contextlib.closing(store_factory.open(tmp_path, clock_ms=clock)) as again:
        assert again.append([sent[1], other])[0] == expected


def test_an_id_is_known_for_thirty_days(store: Store, clock: ManualClock) -> None:
    """After that it is forgotten, and not before."""
    sent = numbered(1)
    store.append(sent)
    clock.ms += KEEP_IDS_MS
    prune(store)
    assert store.append(sent)[0][0] == StoredMessage(1, 1, clock.ms - KEEP_IDS_MS, new=False)
    clock.ms += DAY
    prune(store)
    assert store.append(sent)[0] == [StoredMessage(1, 2, clock.ms)]


def test_what_is_not_indexed_yet_can_be_pruned(store: Store) -> None:
    """The index catches up before anything goes, so it never has what is gone."""
    store.append(numbered(500))
    prune(store, count=1)
    assert (found(store, "word499"), found(store, "word500")) == ([], [500])


def test_positions_survive_pruning(store: Store) -> None:
    """Unread counts what is there, after the position that was read."""
    store.append(numbered(6))
    prune(store, count=2)
    row = conversation_of(store, BOB, 1)
    assert row is not None
    assert (row.read, unread_of(store, BOB, 1)) == (0, (2, 0))


# --- steps


def test_raising_the_limit_brings_nothing_back(store: Store) -> None:
    """What was pruned is gone, and first_seq never falls."""
    store.append(numbered(5))
    prune(store, count=1)
    prune(store, count=100)
    assert (seqs(store), ends(store)) == ([5], (5, 5))


def test_an_erased_message_is_pruned_as_any_other(store: Store) -> None:
    """A tombstone counts as a message, and goes with its prefix."""
    store.append([*numbered(2), *messages("mine", sender=BOB, recipient=ALICE)])
    prune(store)
    store.delete_account("alice")
    while store.housekeeping.erase_step(ALICE):
        pass
    prune(store, count=2)
    assert [(row.seq, row.body) for row in rows_of(store, 1)] == [(2, None), (3, "mine")]
    row = rows_of(store, 1)[0]
    assert isinstance(row, MessageRow)
