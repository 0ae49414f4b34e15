"""Searches: pages that are shorter than asked, and when the matches are shown."""

from qscp import frames
from tests.support.engine_harness import in_room, shown_texts


def page(*seqs: int, cursor: str | None = None, complete: bool = True) -> frames.SearchResults:
    """Return a page of matches in #dev."""
    matches = [frames.Match("c-#dev", "#dev", seq, "bob", f"tea {seq}", 1000 + seq) for seq in seqs]
    return frames.SearchResults(matches, cursor, complete)


def test_a_page_without_matches_is_not_the_end() -> None:
    """An empty page with a cursor requests the next page, until there are enough matches."""
    harness = in_room(last_seq=600)
    harness.enter("/search tea")
    assert harness.frames() == [frames.SearchRequest("tea", limit=20)]
    assert harness.receive(page(cursor="9.1.9", complete=False)) == []
    assert harness.frames() == [frames.SearchRequest("tea", cursor="9.1.9", limit=20)]
    assert harness.receive(page(8, 7, cursor="7.1.7")) == []
    assert harness.frames() == [frames.SearchRequest("tea", cursor="7.1.7", limit=18)]
    shown = shown_texts(harness.receive(page(3)))
    assert shown[0] == '3 matches for "tea":'
    assert [text[-5:] for text in shown[1:4]] == ["tea 3", "tea 7", "tea 8"]
    assert shown[4].startswith("The newest messages are not searchable yet")
    assert harness.frames() == []


def test_enough_matches_end_a_search() -> None:
    """With as many matches as are shown, the next page is not requested, and older ones are noted."""
    harness = in_room(last_seq=600)
    harness.enter("/search tea")
    harness.frames()
    shown = shown_texts(harness.receive(page(*range(40, 20, -1), cursor="21.1.21")))
    assert shown[0] == '20 matches for "tea", and there are older ones:'
    assert harness.frames() == []


def test_a_search_has_an_end() -> None:
    """A server that has always one more page without matches is asked a limited number of times."""
    harness = in_room(last_seq=600)
    harness.enter("/search tea")
    asked, shown = 0, []
    while harness.frames():
        asked += 1
        assert asked <= 100
        shown = harness.receive(page(cursor=f"9.1.{asked}"))
    assert asked == 100
    assert shown_texts(shown) == ['No messages match "tea" among the newer ones.']
