"""Backlog of unshown items: bounded, in order, and with the missing ranges before it."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from qscp import frames
from qscp_client.core.backlog import CAPACITY, Backlog
from qscp_client.core.messages import Amendment, Item, Message, Missing, items_from, message_from
from qscp_client.core.outbox import EntryKind
from tests.support.items import amendment, message


def backlog(*items: Item) -> Backlog:
    """Return a backlog with items."""
    made = Backlog()
    for item in items:
        made.add(item)
    return made


def page(*seqs: int, cursor: int | None = None, first_seq: int = 1) -> frames.History:
    """Return a page of history."""
    messages = [frames.Message(seq, f"{seq:032x}", "bob", f"m{seq}", 1000 + seq) for seq in seqs]
    return frames.History(
        conversation="c", messages=messages, first_seq=first_seq, last_seq=10, cursor=cursor
    )


def prepend(waiting: Backlog, given: frames.History, *, start: int) -> None:
    """Put a page before the items of a backlog, with all of its messages."""
    waiting.prepend(given, [message_from(each, as_of=given.last_seq) for each in given.messages], start)


def test_the_oldest_items_are_dropped() -> None:
    """A full backlog drops its oldest items and no longer reaches back to them."""
    full = backlog(*(message(seq) for seq in range(1, CAPACITY + 3)))
    assert len(full) == CAPACITY
    assert full.first == 3
    assert not full.reaches(0)
    assert full.reaches(2)


def test_an_empty_backlog_reaches_nothing() -> None:
    """An empty backlog reaches no seq and is not complete."""
    assert not backlog().reaches(0)
    assert not backlog().is_complete_after(0)


def test_a_missing_range_is_not_complete() -> None:
    """A backlog is complete only after its missing range."""
    waiting = backlog(Missing(2, 4, "older"), message(5))
    assert waiting.reaches(1)
    assert not waiting.is_complete_after(3)
    assert waiting.is_complete_after(4)


def test_what_is_damaged_is_not_missing() -> None:
    """No request brings damaged messages, so a backlog with such a range is complete."""
    assert backlog(message(1), Missing(2, 4, "damaged"), message(5)).is_complete_after(0)


def test_a_page_has_its_damaged_ranges() -> None:
    """A page of history that is put before the items has its gaps, from the start on."""
    gaps = (frames.HistoryGap(2, 4, "damaged"), frames.HistoryGap(6, 6, "damaged"))
    waiting = backlog(Missing(6, 6, "damaged"), message(7))
    given_page = msgspec.structs.replace(page(1, 5, 7), gaps=gaps)
    waiting.prepend(given_page, items_from(given_page), 2)
    shown = [(each.seq, each.last) for each in waiting.take()]
    assert shown == [(3, 4), (5, 5), (6, 6), (7, 7)]


def test_an_amendment_changes_its_message() -> None:
    """An amendment updates its message in the backlog; an unknown target is reported."""
    waiting = backlog(message(1), message(2))
    assert waiting.amend(amendment(3, 1), "alice")
    assert not waiting.amend(amendment(4, 9), "alice")
    [first, second] = waiting.take()
    assert isinstance(first, Message)
    assert (first.body, first.edited, second) == ("new", True, message(2))
    assert len(waiting) == 0


def test_rewind_drops_lost_items() -> None:
    """Rewind drops later items, and missing ranges that extend beyond the seq."""
    waiting = backlog(message(1), Missing(2, 4, "older"), message(5))
    waiting.rewind(3)
    assert waiting.take() == [message(1)]


def test_a_page_goes_before_the_backlog() -> None:
    """A page goes before the backlog; duplicates and messages already shown are left out."""
    waiting = backlog(message(5, body="live"), message(6))
    prepend(waiting, page(2, 3, 5, cursor=2), start=2)
    items = waiting.take()
    assert [each.seq for each in items] == [3, 5, 6]
    assert isinstance(items[1], Message)
    assert items[1].body == "live"


def test_a_gap_before_a_page_is_missing() -> None:
    """Seqs before a page are older or pruned, unless the page reaches the start."""
    cases = [
        (page(5, cursor=5), [Missing(3, 4, "older"), 5]),
        (page(5, first_seq=5), [Missing(3, 4, "pruned"), 5]),
        (page(5), [5]),
        (page(1, 5, cursor=1), [5]),
    ]
    for given_page, expected in cases:
        waiting = backlog()
        prepend(waiting, given_page, start=2)
        assert [each if isinstance(each, Missing) else each.seq for each in waiting.take()] == expected


def test_an_amendment_of_a_paged_message_is_folded() -> None:
    """An amendment is folded if its message is in the page; others are shown."""
    waiting = backlog(amendment(6, 5), amendment(7, 1, EntryKind.REACT))
    prepend(waiting, page(5, cursor=5), start=4)
    amendments = [each for each in waiting.take() if isinstance(each, Amendment)]
    assert [(each.seq, each.folded) for each in amendments] == [(6, True), (7, False)]


def test_missing_messages_are_marked() -> None:
    """A missing range is marked before the items, unless they reach the start or there are none."""
    waiting = backlog(message(5))
    waiting.mark_missing(4)
    waiting.mark_missing(2)
    assert waiting.take() == [Missing(3, 4, "older"), message(5)]
    waiting.mark_missing(2)
    assert len(waiting) == 0


@given(
    last=st.integers(1, 30),
    start=st.integers(0, 30),
    buffered=st.integers(1, 31),
    limit=st.integers(1, 30),
    amendments=st.sets(st.integers(1, 30)),
)
def test_everything_after_the_start_is_shown_or_missing(
    last: int, start: int, buffered: int, limit: int, amendments: set[int]
) -> None:
    """Every message after the start is shown once, in order, or marked as missing."""
    seqs = [seq for seq in range(1, last + 1) if seq not in amendments]
    waiting = backlog(*(message(seq) for seq in seqs if seq >= buffered))
    newest = seqs[-limit:]
    has_more = bool(newest) and newest != seqs
    prepend(waiting, page(*newest, cursor=newest[0] if has_more else None), start=start)
    items = waiting.take()
    shown = [each.seq for each in items if isinstance(each, Message)]
    missing = {seq for each in items if isinstance(each, Missing) for seq in range(each.seq, each.last + 1)}
    assert shown == sorted(set(shown))
    assert not missing & set(shown)
    assert {seq for seq in seqs if seq > start} <= missing | set(shown)


def test_a_missing_range_does_not_shrink() -> None:
    """A range that is inside the last one adds nothing to it."""
    waiting = backlog(Missing(3, 10, "pruned"))
    waiting.add_missing(Missing(8, 9, "pruned"))
    assert waiting.take() == [Missing(3, 10, "pruned")]
