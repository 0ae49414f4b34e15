"""A search in progress: pages in order, complete, and each with some progress."""

import bisect
import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from qscpd.domain.search import Place, Search, SearchQuery

NEWEST = Place(2**53, 0, 0)


@dataclasses.dataclass
class Archive:
    """Conversations, each as the times of its messages; a message matches if its time is even.

    Attributes:
        budget: Messages that one step looks at.
    """

    conversations: list[list[int]]
    budget: int

    @property
    def matches(self) -> list[Place]:
        """All matches, the newest first."""
        return sorted(
            (
                Place(time_ms, number, seq)
                for number, times in enumerate(self.conversations, 1)
                for seq, time_ms in enumerate(times, 1)
                if time_ms % 2 == 0
            ),
            reverse=True,
        )

    def step(self, search: Search) -> bool:
        """Do a step as a driver does; return whether the page is ready."""
        if not search.begun:
            search.begin(
                Place(times[-1], number, len(times))
                for number, times in enumerate(self.conversations, 1)
                if times
            )
        looked = 0
        while (scan := search.next_scan()) is not None:
            time_ms, number, last = scan.newest
            times = self.conversations[number - 1]
            if not scan.sought:
                last = bisect.bisect_right(times, time_ms)
            for seq in range(last, max(last - 3, 0), -1):
                looked += 1
                if times[seq - 1] % 2 == 0:
                    search.add(Place(times[seq - 1], number, seq))
            if last <= 3:
                search.drop()
            else:
                search.move(last - 3, times[last - 4], grow=True)
            if looked >= self.budget:
                return search.step_over()
        return True


def page(archive: Archive, before: Place, limit: int) -> tuple[list[Place], Place | None]:
    """Return a page and its cursor."""
    search = Search(SearchQuery(1, ("x",), None, before, limit))
    while not archive.step(search):
        pass
    return search.places, search.cursor


archives = st.builds(
    Archive,
    st.lists(st.lists(st.integers(0, 40), max_size=30).map(sorted), max_size=6),
    st.integers(1, 60),
)


@given(
    archives, st.integers(1, 7), st.builds(Place, st.integers(0, 45), st.integers(0, 7), st.integers(0, 31))
)
def test_pages_are_all_matches_in_order(archive: Archive, limit: int, before: Place) -> None:
    """The pages before a place have every match before it once, the newest first."""
    found: list[Place] = []
    cursor: Place | None = before
    expected = [each for each in archive.matches if each < before]
    while cursor is not None:
        places, following = page(archive, cursor, limit)
        assert len(places) <= limit
        assert following is None or following < cursor
        found += places
        cursor = following
    assert found == expected


def test_a_long_search_ends_early() -> None:
    """A search without matches ends after a number of steps, and its cursor continues it."""
    archive = Archive([[2 * n + 1 for n in range(10_000)]], budget=3)
    pages = 0
    cursor: Place | None = NEWEST
    while cursor is not None:
        places, following = page(archive, cursor, 9)
        assert places == []
        assert following is None or cursor.seq - following.seq <= 200 or cursor is NEWEST
        pages += 1
        cursor = following
    assert pages > 50


def test_a_page_makes_progress_in_many_conversations() -> None:
    """However many conversations have to be looked at first, a page ends only with some progress."""
    archive = Archive([[1] * 9 for _ in range(500)] + [[4]], budget=1)
    found, cursor = page(archive, Place(3, 0, 0), 9)
    assert found == []
    assert cursor is not None
    assert cursor < Place(3, 0, 0)
