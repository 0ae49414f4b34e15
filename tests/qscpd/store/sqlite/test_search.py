"""Searching in steps: the same matches however small the steps are, and a bounded cost for any cursor."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qscp.rooms import HistoryFrom
from qscpd.domain.model import Found, Keep, MessageMeta, NewMessage
from qscpd.domain.rooms import RoomChange
from qscpd.domain.search import Place, Search, SearchQuery
from qscpd.store.sqlite.migrations import MIGRATIONS
from qscpd.store.sqlite.pace import Pace, PacedDatabaseReader
from qscpd.store.sqlite.reader import SqliteReads
from qscpd.store.sqlite.search_index import TOKENIZER
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.searches import NEWEST, search_page
from tests.support.stores import ManualClock, add_room

ALICE, BOB, CAROL = 1, 2, 3

make_id = IdMaker()


class CountingPace(Pace):
    """A pace without rests, that counts.

    Attributes:
        spent: What was read since the last reset.
    """

    def __init__(self, share: int) -> None:
        super().__init__(share, clock=lambda: 0.0)
        self.spent = 0

    def spend(self, size: int) -> None:
        """Count it."""
        self.spent += size
        super().spend(size)


def open_paced(path: Path, pace: Pace) -> "contextlib.closing[SqliteReads]":
    """Open a reader with a pace."""
    return contextlib.closing(SqliteReads(PacedDatabaseReader(path, pace)))


def place_of(found: Found) -> Place:
    """Return the place of a match."""
    return Place(found.message.time_ms, found.conversation, found.message.seq)


def index(store: SqliteStore, keep: Keep | None = None) -> None:
    """Complete the search index; prune."""
    for _ in range(2):
        while store.housekeeping.step(keep or Keep()):
            pass


@contextlib.contextmanager
def opened(path: Path, clock: ManualClock | None = None) -> Iterator[SqliteStore]:
    """Open a store with alice, bob and carol, and a room #dev of alice and bob."""
    with contextlib.closing(SqliteStore(path, clock=clock, edit_within_ms=10**9)) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        add_room(store, "#dev", "alice", "bob", history=HistoryFrom.FULL)
        yield store


TEXTS = ("tea", "coffee", "tea coffee", "coffee, tea", "Tea-coffee!", "coffee no tea", "TÉA", "water")
QUERIES: tuple[tuple[tuple[str, ...], list[int]], ...] = (
    (("tea",), [0, 2, 3, 4, 5, 6]),
    (("TEA", "coffee"), [2, 3, 4, 5]),
    (("tea-coffee",), [2, 4]),
    (("coffee/tea", "tea"), [3]),
    (("no", "tea-coffee"), []),
    (("water", "tea"), []),
    (("nothing",), []),
)

foldings = st.integers(-1, 4)
"""How much is folded: this many steps; -1: everything."""

batches = st.lists(
    st.tuples(
        st.sampled_from((BOB, CAROL, -1)), st.lists(st.integers(0, 7), min_size=1, max_size=6), foldings
    ),
    min_size=1,
    max_size=12,
)


def fold(store: SqliteStore, steps: int) -> None:
    """Fold some steps, or everything."""
    if steps < 0:
        store._fold.fold_messages()
    elif steps:
        store._fold.request()
        for _ in range(steps):
            store._fold.step()


@settings(max_examples=25, deadline=None)
@given(batches, st.integers(1, 4), st.sampled_from((1, 3000, 20_000)), st.integers(0, 3), st.booleans())
def test_pages_of_small_steps_are_all_matches(
    written: list[tuple[int, list[int], int]], limit: int, share: int, pruned: int, prunes: bool
) -> None:
    """However little a step reads or is folded, the pages have every visible match once, the newest first."""
    clock = ManualClock()
    with memory_folder() as folder, opened(Path(folder) / "q.db", clock) as store:
        for number, (to, texts, steps) in enumerate(written):
            store.append([NewMessage(ALICE, to, make_id(), TEXTS[each]) for each in texts])
            clock.wind(number % 3 / 1000)
            fold(store, steps)
        if prunes:
            index(store, Keep(messages=20 - pruned))
        rows = {
            Place(each.message.time_ms, each.conversation, each.message.seq): TEXTS.index(
                each.message.body or ""
            )
            for each in store.export(ALICE)
        }
        with open_paced(Path(folder) / "q.db", CountingPace(share)) as reader:
            for words, fitting in QUERIES:
                expected = sorted(place for place, text in rows.items() if text in fitting)
                found: list[Place] = []
                cursor: Place | None = NEWEST
                while cursor is not None:
                    page = search_page(reader, ALICE, words, before=cursor, limit=limit)
                    assert len(page.found) <= limit
                    assert page.cursor is None or page.cursor < cursor
                    found += (
                        Place(each.message.time_ms, each.conversation, each.message.seq)
                        for each in page.found
                    )
                    cursor = page.cursor
                assert found == expected[::-1], words


@settings(max_examples=25, deadline=None)
@given(batches, st.integers(0, 5), st.integers(1, 4))
def test_folding_between_two_pages_changes_nothing(
    written: list[tuple[int, list[int], int]], steps: int, limit: int
) -> None:
    """What is folded, edited or redacted while the pages are read is found once, or not any more."""
    with memory_folder() as folder, opened(Path(folder) / "q.db", ManualClock()) as store:
        for to, texts, folded in written:
            store.append([NewMessage(ALICE, to, make_id(), TEXTS[each]) for each in texts])
            fold(store, folded)
        expected = [
            Place(each.message.time_ms, each.conversation, each.message.seq)
            for each in store.export(ALICE)
            if TEXTS.index(each.message.body or "") in QUERIES[0][1]
        ]
        found: list[Place] = []
        cursor: Place | None = NEWEST
        with open_paced(Path(folder) / "q.db", CountingPace(3000)) as reader:
            while cursor is not None:
                page = search_page(reader, ALICE, QUERIES[0][0], before=cursor, limit=limit)
                found += map(place_of, page.found)
                cursor = page.cursor
                fold(store, steps)
        assert found == sorted(expected)[::-1]


@pytest.mark.parametrize("steps", range(-1, 6))
@pytest.mark.parametrize("first", [0, -1])
def test_a_text_that_changed_is_found_as_it_is_now(tmp_path: Path, first: int, steps: int) -> None:
    """Whether the message is folded before its edit, after it, partly or not at all."""
    with opened(tmp_path / "q.db") as store:
        store.append(
            [NewMessage(ALICE, BOB, make_id(), text) for text in ("old one", "old two", "old three")]
        )
        fold(store, first)
        for kind, target, body in (("edit", 1, "new one"), ("redact", 2, ""), ("react", 3, "+1")):
            meta = MessageMeta(kind=kind, target=target)  # type: ignore[arg-type]  # one of the three
            store.append([NewMessage(ALICE, BOB, make_id(), body, meta)])
        fold(store, steps)
        with open_paced(tmp_path / "q.db", CountingPace(3000)) as reader:
            for each in (store, reader):
                for word, seqs in (("old", [3]), ("new", [1]), ("one", [1]), ("two", []), ("three", [3])):
                    page = search_page(each, BOB, [word], limit=9)
                    assert [match.message.seq for match in page.found] == seqs, word
                    assert page.complete


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 40,000 messages of alice to bob: each has `the`, and one of `tea` and `coffee`."""
    path = tmp_path_factory.mktemp("search") / "q.db"
    clock = ManualClock()
    with opened(path, clock) as store:
        for begin in range(0, 40_000, 500):
            store.append(
                [
                    NewMessage(ALICE, BOB, make_id(), f"{('tea', 'coffee')[n % 2]} the word{n}")
                    for n in range(begin, begin + 500)
                ]
            )
            clock.wind(1)
        index(store)
    return path


@pytest.mark.parametrize(
    "before",
    [
        Place(1, 1, 1),
        Place(0, 0, 0),
        Place(1_700_000_040_000, 2, 20_000),
        Place(1_700_000_040_000, 2**70, 2**70),
        Place(10**190, 10**190, 10**190),
        NEWEST,
    ],
)
@pytest.mark.parametrize("words", [("the",), ("tea", "coffee"), ("tea-coffee",), ("word77",), ("the",) * 100])
def test_any_cursor_costs_little(large: Path, before: Place, words: tuple[str, ...]) -> None:
    """A step reads a bounded part of the store, and a page takes a bounded number of them."""
    pace = CountingPace(512 * 1024)
    with open_paced(large, pace) as reader:
        search = Search(SearchQuery(BOB, words, None, before, 50))
        page = None
        for _ in range(40):
            pace.spent = 0
            page = reader.search(search)
            assert pace.spent <= 1024 * 1024
            if page is not None:
                break
    assert page is not None


def test_an_old_cursor_finds_its_place_at_once(large: Path) -> None:
    """A cursor older than everything costs some look-ups, not a scan of all that is newer."""
    pace = CountingPace(512 * 1024)
    with open_paced(large, pace) as reader:
        page = search_page(reader, BOB, ["the"], before=(1, 1, 1), limit=50)
        assert (page.found, page.cursor) == ([], None)
        assert pace.spent <= 64 * 1024


def test_what_was_erased_since_its_step_is_not_found(tmp_path: Path) -> None:
    """A match that is erased, or whose room is left, while the search goes on is not in its page."""
    with opened(tmp_path / "q.db") as store:
        for to, text in ((BOB, "tea one"), (-1, "tea two"), (BOB, "tea three")):
            store.append([NewMessage(ALICE, to, make_id(), text)])
        index(store)
        with open_paced(tmp_path / "q.db", CountingPace(1)) as reader:
            search = Search(SearchQuery(BOB, ("tea",), None, NEWEST, 9))
            while len(search.places) < 2:
                assert reader.search(search) is None
        store.append([NewMessage(ALICE, BOB, make_id(), "", MessageMeta(kind="redact", target=2))])
        store.change_room(RoomChange(action="leave", room="#dev", actor=BOB))
        page = store.search(search)  # any reader can go on
        assert page is not None
        assert [each.message.body for each in page.found] == ["tea one"]


def test_words_are_split_as_in_the_index() -> None:
    """The index is made with the tokenizer that splits queries."""
    assert f"tokenize='{TOKENIZER}'" in "".join(MIGRATIONS)
