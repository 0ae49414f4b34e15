"""Reads: pages of history, replay, conversations and search results, each from one snapshot."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qscp.rooms import HistoryFrom
from qscpd.domain.model import Found, Keep, Mark, MessageMeta, NewMessage, PositionKind
from qscpd.domain.rooms import RoomChange
from qscpd.store.base import Store, StoreReader
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.searches import search_page
from tests.support.stores import ManualClock, StoreFactory, add_room, conversation_of, housekeep, rows_of

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
NAMES = ("alice", "bob", "carol", "dan")
NEWEST = (2**53, 0, 0)
MUCH = 10**9

make_id = IdMaker()


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock."""
    return ManualClock()


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """A store with alice, bob, carol and dan."""
    with contextlib.closing(store_factory.open(tmp_path, clock=clock, edit_within_ms=MUCH)) as store:
        for name in NAMES:
            store.add_account(name, "x")
        yield store


@pytest.fixture
def reader(store: Store, store_factory: StoreFactory, tmp_path: Path) -> Iterator[StoreReader]:
    """A reader of the same store, on a connection of its own."""
    del store
    with contextlib.closing(store_factory.open_reader(tmp_path)) as reader:
        yield reader


def say(store: Store, sender: int, to: int, *bodies: str, mentions: tuple[int, ...] = ()) -> None:
    """Store messages."""
    meta = MessageMeta(mentions=mentions)
    store.append([NewMessage(sender, to, make_id(), body, meta) for body in bodies])


def react(store: Store, sender: int, to: int, seq: int, text: str = "+1") -> None:
    """Store a reaction."""
    store.append([NewMessage(sender, to, make_id(), text, MessageMeta(kind="react", target=seq))])


def seqs(reader: StoreReader, account: int, conversation: int, *, backward: bool, limit: int) -> list[int]:
    """Return the seqs of all pages of history, in the order of the pages."""
    found: list[int] = []
    cursor: int | None = 0 if not backward else 2**53
    while cursor is not None:
        before, after = (cursor, None) if backward else (None, cursor)
        page = reader.history_page(
            account, conversation, before=before, after=after, limit=limit, max_bytes=MUCH
        )
        assert page is not None
        assert len(page.messages) <= limit
        page_seqs = [row.seq for row in page.messages]
        assert page_seqs == sorted(page_seqs)
        found += page_seqs[::-1] if backward else page_seqs
        cursor = page.cursor
    return found


# --- history


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=1, max_size=5), max_size=6),
    st.integers(1, 6),
    st.integers(0, 9),
)
def test_pages_of_history_are_all_messages(
    store_factory: StoreFactory, batches: list[list[bool]], limit: int, pruned: int
) -> None:
    """Pages of history, in both directions, have all messages and no amendments, whatever was pruned."""
    with memory_folder() as folder, contextlib.closing(store_factory.open(Path(folder))) as store:
        for name in NAMES:
            store.add_account(name, "x")
        say(store, ALICE, BOB, "first")
        seq = 1
        for number, batch in enumerate(batches):
            for amends in batch:
                seq += 1
                if amends:
                    react(store, BOB, ALICE, 1, f"{number}{seq % 10}"[:9])
                else:
                    say(store, ALICE, BOB, "x")
        rows = rows_of(store, 1)
        housekeep(store, Keep(messages=max(1, len(rows) - pruned)))
        expected = [row.seq for row in rows_of(store, 1) if not row.meta.kind]
        assert seqs(store, BOB, 1, backward=False, limit=limit) == expected
        assert seqs(store, BOB, 1, backward=True, limit=limit) == expected[::-1]


def test_a_page_of_history_begins_at_its_bound(store: Store, reader: StoreReader) -> None:
    """A page begins at the given seq, or at the newest; a seq beyond either end is that end."""
    say(store, ALICE, BOB, *"abcdef")
    for asked, bodies, cursor in (
        ({}, "ef", 5),
        ({"before": 99}, "ef", 5),
        ({"before": 4}, "bc", 2),
        ({"before": 3}, "ab", None),
        ({"before": 1}, "", None),
        ({"after": 0}, "ab", 2),
        ({"after": 4}, "ef", None),
        ({"after": 6}, "", None),
        ({"after": 99}, "", None),
    ):
        page = reader.history_page(BOB, 1, limit=2, max_bytes=MUCH, **asked)
        assert page is not None
        assert "".join(row.body or "" for row in page.messages) == bodies, asked
        assert page.cursor == cursor, asked
        assert page.conversation == conversation_of(store, BOB, 1)


def test_only_members_read(store: Store, reader: StoreReader) -> None:
    """An account that is not a member gets no page of history or replay."""
    say(store, ALICE, BOB, "secret")
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.FULL)
    store.change_room(RoomChange(action="leave", room="#dev", actor=BOB))
    for account, conversation in ((CAROL, 1), (CAROL, 2), (BOB, 2), (ALICE, 99)):
        assert reader.history_page(account, conversation, limit=9, max_bytes=MUCH) is None
        assert reader.replay_page(account, conversation, after=0, limit=9, max_bytes=MUCH) is None


def test_a_new_member_reads_from_their_joining(store: Store, reader: StoreReader) -> None:
    """A new member gets later messages only, and edits of earlier ones without their text."""
    add_room(store, "#dev", "alice", history=HistoryFrom.JOINING)
    say(store, ALICE, -1, "before")
    store.change_room(RoomChange(action="join", room="#dev", actor=BOB))
    meta = MessageMeta(kind="edit", target=1)
    store.append([NewMessage(ALICE, -1, make_id(), "edited", meta)])
    say(store, ALICE, -1, "after")
    assert seqs(reader, BOB, 1, backward=True, limit=9) == [3]
    for account, first, text in ((BOB, 2, None), (ALICE, 1, "edited")):
        page = reader.replay_page(account, 1, after=0, limit=9, max_bytes=MUCH)
        assert page is not None
        assert page.conversation.first_seq == page.messages[0].seq == first
        assert [row.body for row in page.messages if row.meta.kind] == [text]


def test_a_page_of_replay_has_messages_and_amendments(store: Store, reader: StoreReader) -> None:
    """A page of replay has messages and amendments with current texts, up to its limits."""
    say(store, ALICE, BOB, "a", "b")
    react(store, BOB, ALICE, 1)
    say(store, ALICE, BOB, "x" * 1000)
    for after, limit, max_bytes, expected in (
        (0, 9, MUCH, [1, 2, 3, 4]),
        (1, 2, MUCH, [2, 3]),
        (0, 9, 1000, [1, 2, 3]),
        (3, 9, 1, [4]),
        (4, 9, MUCH, []),
    ):
        page = reader.replay_page(BOB, 1, after=after, limit=limit, max_bytes=max_bytes)
        assert page is not None
        assert [row.seq for row in page.messages] == expected
        assert page.messages == rows_of(store, 1)[after : after + len(expected)]


# --- conversations


def test_the_list_has_unread_counts(store: Store, reader: StoreReader) -> None:
    """Each conversation of a page is listed with its unread and mention counts."""
    for peer in (BOB, CAROL):
        say(store, peer, ALICE, "one", "two")
        say(store, ALICE, peer, "mine")
    add_room(store, "#dev", "bob", "alice", "dan", history=HistoryFrom.FULL)
    say(store, BOB, -3, "@alice", mentions=(ALICE, DAN))
    say(store, BOB, -3, "@all", "hi")
    react(store, BOB, -3, 1)
    add_room(store, "#left", "bob", "alice", history=HistoryFrom.FULL)
    say(store, BOB, -4, "in a room that alice leaves")
    store.change_room(RoomChange(action="leave", room="#left", actor=ALICE))
    say(store, DAN, ALICE, "three", "four")
    store.append([], [Mark(ALICE, 1, PositionKind.READ, 1), Mark(ALICE, 5, PositionKind.READ, 2)])
    counts = [(1, 0), (2, 0), (3, 1), (0, 0)]
    listed = reader.conversation_list(ALICE, 0, 100).conversations
    assert [each.conversation for each in listed] == store.conversations(ALICE)
    assert [(each.unread, each.mentions) for each in listed] == counts
    paged = [page for after in (0, 2, 5) for page in reader.conversation_list(ALICE, after, 2).conversations]
    assert paged == listed
    assert reader.conversation_list(ALICE, 5, 2).conversations == []


def test_mentions_count_among_the_counted_only(store: Store, reader: StoreReader) -> None:
    """A mention counts only if its message is one of the thousand that are counted."""
    say(store, BOB, ALICE, "@alice", mentions=(ALICE,))
    for _ in range(2):
        say(store, BOB, ALICE, *["x"] * 499)
    for _ in range(2):
        say(store, BOB, ALICE, "@alice", "@alice", mentions=(ALICE,))
    (listed,) = reader.conversation_list(ALICE, 0, 100).conversations
    assert (listed.unread, listed.mentions) == (1000, 2)


def test_unread_counts_are_limited(store: Store, reader: StoreReader) -> None:
    """The unread count of each conversation stops at a thousand."""
    for peer, count in ((BOB, 1500), (CAROL, 1000), (DAN, 999)):
        for _ in range(3):
            say(store, peer, ALICE, *["x"] * (count // 3))
        say(store, peer, ALICE, *["x"] * 3)
    listed = reader.conversation_list(ALICE, 0, 100).conversations
    assert [each.unread for each in listed] == [1000, 1000, 1000]
    store.append([], [Mark(ALICE, 3, PositionKind.READ, 3)])
    assert [each.unread for each in reader.conversation_list(ALICE, 0, 100).conversations] == [
        1000,
        1000,
        999,
    ]


# --- search


def test_a_search_over_conversations_is_newest_first(
    store: Store, reader: StoreReader, clock: ManualClock
) -> None:
    """Results come newest first with their conversation's name; pages add up to the whole."""
    add_room(store, "#dev", "alice", "bob", history=HistoryFrom.FULL)
    for number in range(12):
        say(store, ALICE, (BOB, CAROL, -1)[number % 3], f"word {number}")
        clock.wind(1)
    housekeep(store)
    everything = search_page(reader, ALICE, ["word"], limit=100)
    assert [each.message.body for each in everything.found] == [f"word {n}" for n in range(11, -1, -1)]
    assert {each.conversation: each.name for each in everything.found} == {1: "#dev", 2: "bob", 3: "carol"}
    before = NEWEST
    found: list[Found] = []
    while page := search_page(reader, ALICE, ["word"], conversation=None, before=before, limit=5).found:
        found += page
        before = (page[-1].message.time_ms, page[-1].conversation, page[-1].message.seq)
    assert found == list(everything.found)
    one = search_page(reader, ALICE, ["word"], conversation=2, before=NEWEST, limit=100).found
    assert one == [each for each in everything.found if each.conversation == 2]


def test_a_search_finds_what_was_just_stored(store: Store, reader: StoreReader) -> None:
    """A message is found as soon as it is committed, and once, before and after it is folded."""
    say(store, ALICE, BOB, "word")
    for _ in range(2):
        page = search_page(reader, BOB, ["word"], limit=9)
        assert ([each.message.body for each in page.found], page.complete) == (["word"], True)
        housekeep(store)


# --- snapshots


def test_a_reader_sees_each_commit(store: Store, reader: StoreReader) -> None:
    """Each read sees the newest commit; reads inside a snapshot see the state of the first one."""
    say(store, ALICE, BOB, "one")
    assert len(reader.conversation_list(BOB, 0, 9).conversations) == 1
    with reader.snapshot():
        assert reader.conversation_list(BOB, 0, 9).conversations[0].unread == 1
        say(store, ALICE, BOB, "two")
        say(store, CAROL, BOB, "three")
        assert [each.unread for each in reader.conversation_list(BOB, 0, 9).conversations] == [1]
        page = reader.history_page(BOB, 1, limit=9, max_bytes=MUCH)
        assert page is not None
        assert len(page.messages) == page.conversation.last_seq == 1
    assert [each.unread for each in reader.conversation_list(BOB, 0, 9).conversations] == [2, 1]
