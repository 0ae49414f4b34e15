"""Appending messages and moving positions, partly compared with a small model."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom
from qscpd.domain.events import PositionMoved
from qscpd.domain.model import (
    Keep,
    Mark,
    MessageMeta,
    NewMessage,
    Outcome,
    PositionKind,
    Refused,
    StoredMessage,
)
from qscpd.store.base import Store
from tests.support.memory import memory_folder
from tests.support.stores import (
    StoreFactory,
    add_room,
    clock_of,
    conversation_of,
    housekeep,
    housekeeping_step,
    rows_of,
    unread_of,
)

READ, DELIVERED = PositionKind.READ, PositionKind.DELIVERED


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path) -> Iterator[Store]:
    """A store with alice, bob and carol: accounts 1, 2 and 3."""
    with contextlib.closing(_opened(store_factory, tmp_path)) as opened:
        yield opened


def _opened(factory: StoreFactory, folder: Path) -> Store:
    """Open a store with three accounts and a fixed clock."""
    made = factory.open(folder, clock=clock_of(lambda: 1000))
    for name in ("alice", "bob", "carol"):
        made.add_account(name, "hash")
    return made


def message(number: int, body: str = "hello", sender: int = 1, recipient: int = 2) -> NewMessage:
    """Return a message whose id is made from a number."""
    return NewMessage(sender, recipient, f"{number:032x}", body)


def stored(seq: int, *, new: bool = True, conversation: int = 1) -> StoredMessage:
    """Return the place of a stored message."""
    return StoredMessage(conversation, seq, 1000, new=new)


def append(store: Store, *messages: NewMessage) -> list[Outcome]:
    """Store messages in one transaction."""
    return list(store.append(messages)[0])


# --- ids


def test_a_repeated_message_is_stored_once(store: Store) -> None:
    """A message that is sent again gets its first place, in the same or a later transaction."""
    assert append(store, message(1), message(2), message(1)) == [stored(1), stored(2), stored(1, new=False)]
    assert append(store, message(3), message(2)) == [stored(3), stored(2, new=False)]
    assert [row.id[-1] for row in rows_of(store, 1)] == ["1", "2", "3"]


def test_an_id_is_known_after_a_restart(store_factory: StoreFactory, tmp_path: Path) -> None:
    """A retry after a restart gets its first place, before and after its id was indexed."""
    with contextlib.closing(_opened(store_factory, tmp_path)) as store:
        append(store, message(1))
    with contextlib.closing(store_factory.open(tmp_path)) as store:
        append(store, message(2))
    with contextlib.closing(store_factory.open(tmp_path)) as store:
        assert append(store, message(2), message(1)) == [
            StoredMessage(1, 2, rows_of(store, 1)[1].time_ms, new=False),
            stored(1, new=False),
        ]


@pytest.mark.parametrize("other", [message(1, "other"), message(1, recipient=3)])
def test_another_message_under_the_same_id_is_refused(store: Store, other: NewMessage) -> None:
    """Another text or recipient under a used id is refused, in the same or a later transaction."""
    assert append(store, message(1), other, message(2)) == [stored(1), Refused(), stored(2)]
    assert append(store, other, message(3)) == [Refused(), stored(3)]
    assert append(store, message(1)) == [stored(1, new=False)]


def test_a_retry_after_a_conflict_is_still_known(store: Store) -> None:
    """After a conflict a retry in the same transaction still gets the first place."""
    append(store, message(1), message(2))
    assert append(store, message(1, "other"), message(1)) == [Refused(), stored(1, new=False)]


def test_ids_belong_to_an_account(store: Store) -> None:
    """Two accounts can use the same id."""
    assert append(store, message(1), message(1, sender=2, recipient=1)) == [stored(1), stored(2)]


def named(message: NewMessage, conversation: int) -> NewMessage:
    """Return a message whose client named the conversation that it is for."""
    return msgspec.structs.replace(message, conversation=conversation)


def test_a_message_for_one_conversation_goes_to_no_other(store: Store) -> None:
    """A message with another conversation than its recipient's is refused alone; the id decides first."""
    assert append(store, message(1), message(2, recipient=3)) == [stored(1), stored(1, conversation=2)]
    refused = Refused(ErrorCode.UNKNOWN_RECIPIENT)
    assert append(
        store,
        named(message(3), 1),
        named(message(4), 2),
        named(message(5), -1),
        named(message(6), 99),
        message(7),
    ) == [stored(2), refused, refused, refused, stored(3)]
    # What was stored stays so, whatever a retry names.
    assert append(store, named(message(1), 2)) == [stored(1, new=False)]
    # What was refused stays so; a new try has a new id.
    assert append(store, named(message(4), 1), named(message(9), 1)) == [refused, stored(4)]
    add_room(store, "#dev", "alice", history=HistoryFrom.FULL)
    place = conversation_of(store, 1, 3)
    assert place is not None
    to_room = message(10, recipient=-place.id)
    assert append(store, named(message(8, recipient=-place.id), 1)) == [Refused(ErrorCode.UNKNOWN_ROOM)]
    assert append(store, named(to_room, place.id)) == [stored(1, conversation=place.id)]


@pytest.mark.parametrize("meta", [MessageMeta(kind="edit", target=1), MessageMeta(kind="redact", target=1)])
def test_an_amendment_for_one_conversation_changes_no_other(store: Store, meta: MessageMeta) -> None:
    """An amendment that was meant for another conversation leaves the message of the same seq alone."""
    append(store, message(1, "to bob"), message(2, "to carol", recipient=3))
    amendment = NewMessage(1, 3, f"{3:032x}", "changed", meta, 1)
    assert append(store, amendment) == [Refused(ErrorCode.UNKNOWN_RECIPIENT)]
    assert [row.body for row in rows_of(store, 2)] == ["to carol"]


def test_ids_need_not_rise(store: Store) -> None:
    """Messages with falling ids are stored and known, as after a client's clock was set back."""
    assert append(store, message(9), message(5), message(7)) == [stored(1), stored(2), stored(3)]
    assert append(store, message(5), message(6)) == [stored(2, new=False), stored(4)]


class _Step(NamedTuple):
    """A step of a random test."""

    kind: str
    messages: list[NewMessage]


messages = st.lists(
    st.builds(
        message,
        st.integers(1, 6),
        st.sampled_from(["one", "two"]),
        st.just(1),
        st.sampled_from([2, 3]),
    ),
    max_size=6,
)
steps = st.lists(
    st.builds(_Step, st.sampled_from(["append", "append", "append", "do_housekeeping", "reopen"]), messages)
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_any_ids_in_any_order(store_factory: StoreFactory, steps: list[_Step]) -> None:
    """Each id is stored once, with its first message, over any appends, restarts and housekeeping."""
    with memory_folder() as folder:
        store = _opened(store_factory, Path(folder))
        known: dict[str, tuple[NewMessage, StoredMessage]] = {}
        numbers: dict[int, int] = {}
        last: dict[int, int] = {}
        try:
            for step in steps:
                if step.kind == "do_housekeeping":
                    housekeeping_step(store)
                elif step.kind == "reopen":
                    store.close()
                    store = store_factory.open(Path(folder), clock=clock_of(lambda: 1000))
                else:
                    expected = [_expect(known, numbers, last, each) for each in step.messages]
                    assert append(store, *step.messages) == expected
            for recipient, conversation in numbers.items():
                rows = rows_of(store, conversation)
                assert [row.seq for row in rows] == list(range(1, last[recipient] + 1))
        finally:
            store.close()


def _expect(
    known: dict[str, tuple[NewMessage, StoredMessage]],
    numbers: dict[int, int],
    last: dict[int, int],
    new: NewMessage,
) -> Outcome:
    if new.id in known:
        first, place = known[new.id]
        return Refused() if first != new else StoredMessage(*_parts(place), new=False)
    number = numbers.setdefault(new.recipient, len(numbers) + 1)
    last[new.recipient] = last.get(new.recipient, 0) + 1
    place = stored(last[new.recipient], conversation=number)
    known[new.id] = new, place
    return place


def _parts(place: StoredMessage) -> tuple[int, int, int]:
    return place.conversation, place.seq, place.time_ms


# --- positions


def move(store: Store, *marks: Mark) -> list[PositionMoved | None]:
    """Move positions in one transaction; return the moves."""
    return list(store.append([], marks)[1])


def test_a_position_only_rises(store: Store) -> None:
    """Lower and equal positions change nothing; a move names the peer."""
    append(store, *(message(n) for n in range(1, 6)))
    up = Mark(2, 1, READ, 3)
    assert move(store, up, up, Mark(2, 1, READ, 2), Mark(2, 1, READ, 0)) == [
        PositionMoved(up, 1),
        None,
        None,
        None,
    ]
    row = conversation_of(store, 2, 1)
    assert row is not None
    assert row.read == 3


def test_a_position_is_clamped_to_the_end(store: Store) -> None:
    """A position above the last seq is lowered to it."""
    append(store, message(1), message(2))
    for kind in PositionKind:
        assert move(store, Mark(2, 1, kind, 2**53 - 1)) == [PositionMoved(Mark(2, 1, kind, 2), 1)]
        assert move(store, Mark(2, 1, kind, 3)) == [None]


def test_a_position_can_reach_messages_of_its_transaction(store: Store) -> None:
    """Messages are stored before the positions of the same transaction are moved."""
    outcomes, moved = store.append([message(1)], [Mark(2, 1, DELIVERED, 1)])
    assert (list(outcomes), list(moved)) == ([stored(1)], [PositionMoved(Mark(2, 1, DELIVERED, 1), 1)])


@pytest.mark.parametrize("conversation", [1, 7])
def test_an_account_outside_a_conversation_moves_no_position(store: Store, conversation: int) -> None:
    """Marks in a conversation of others or in a missing conversation change nothing."""
    append(store, message(1))
    assert move(store, Mark(3, conversation, READ, 1), Mark(3, conversation, DELIVERED, 1)) == [None, None]


def test_read_and_delivered_are_independent(store: Store) -> None:
    """`read` and `delivered` move independently for each account."""
    append(store, message(1), message(2), message(3))
    move(store, Mark(2, 1, READ, 2), Mark(2, 1, DELIVERED, 3), Mark(1, 1, READ, 1))
    alice, bob = conversation_of(store, 1, 1), conversation_of(store, 2, 1)
    assert alice is not None
    assert bob is not None
    assert (alice.read, alice.delivered, bob.read, bob.delivered) == (1, 3, 2, 0)


@pytest.mark.parametrize(("read", "unread"), [(0, 3), (1, 3), (2, 2), (3, 1), (4, 1), (5, 0)])
def test_unread_counts_messages_of_others_after_read(store: Store, read: int, unread: int) -> None:
    """Unread counts messages of others after `read`; sending does not move `read`."""
    append(store, message(1))
    append(store, message(1, sender=2, recipient=1), message(2, sender=2, recipient=1))
    append(store, message(2))
    append(store, message(3, sender=2, recipient=1))
    move(store, Mark(1, 1, READ, read))
    assert unread_of(store, 1, 1) == (unread, 0)


# --- reading back


def replayed(store: Store, after: int, limit: int, max_bytes: int) -> list[int]:
    """Return the seqs of a page of replay of the first conversation."""
    page = store.replay_page(1, 1, after=after, limit=limit, max_bytes=max_bytes)
    assert page is not None
    return [row.seq for row in page.messages]


def earlier(store: Store, before: int, limit: int, max_bytes: int) -> list[int]:
    """Return the seqs of a page of history of the first conversation."""
    page = store.history_page(1, 1, before=before, limit=limit, max_bytes=max_bytes)
    assert page is not None
    return [row.seq for row in page.messages]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
    st.integers(0, 40),
    st.integers(1, 12),
    st.integers(0, 10),
)
def test_pages_are_slices_of_the_history(
    store_factory: StoreFactory, batches: list[int], seq: int, limit: int, pruned: int
) -> None:
    """Pages of replay and history are slices of the messages in order of seq, for any chunks."""
    with memory_folder() as folder, contextlib.closing(_opened(store_factory, Path(folder))) as store:
        number = 0
        for size in batches:
            append(store, *(message(number + n) for n in range(1, size + 1)))
            number += size
        housekeep(store, Keep(messages=max(1, number - pruned)))
        first = min(pruned, number - 1) + 1
        everything = list(range(first, number + 1))
        after, before = replayed(store, seq, limit, 10**6), earlier(store, seq, limit, 10**6)
        assert after == [each for each in everything if each > seq][:limit]
        assert before == [each for each in everything if each < seq][-limit:]


def test_a_page_respects_the_byte_limit(store: Store) -> None:
    """A page has as many messages as fit into the byte limit, and at least one."""
    append(store, message(1, "x" * 1000), message(2, "x" * 1000), message(3, "x"))
    assert replayed(store, 0, 10, 10) == [1]
    assert replayed(store, 0, 10, 5000) == [1, 2, 3]
    assert earlier(store, 4, 10, 3000) == [2, 3]
