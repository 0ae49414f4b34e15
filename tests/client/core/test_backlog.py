"""What waits to be shown: bounded, in order, and with what is missing before it."""

from hypothesis import given
from hypothesis import strategies as st

from qscp import frames
from qscp_client.core.backlog import CAPACITY, Backlog
from qscp_client.core.messages import Amendment, Item, Message, Missing
from qscp_client.core.outbox import EntryKind
from tests.support.items import amendment, message


def backlog(*items: Item) -> Backlog:
    """A backlog with items."""
    made = Backlog()
    for item in items:
        made.add(item)
    return made


def page(*seqs: int, cursor: int | None = None, first_seq: int = 1) -> frames.History:
    """A page of history."""
    messages = [frames.Message(seq, f"{seq:032x}", "bob", f"m{seq}", 1000 + seq) for seq in seqs]
    return frames.History(conversation="c", messages=messages, first_seq=first_seq, cursor=cursor)


def test_the_oldest_items_are_dropped() -> None:
    """They can be requested again; then the backlog no longer reaches them."""
    full = backlog(*(message(seq) for seq in range(1, CAPACITY + 3)))
    assert len(full) == CAPACITY
    assert full.first == 3
    assert not full.reaches(0)
    assert full.reaches(2)


def test_an_empty_backlog_reaches_nothing() -> None:
    """And is not complete."""
    assert not backlog().reaches(0)
    assert not backlog().is_complete_after(0)


def test_a_missing_range_is_not_complete() -> None:
    """Only after it."""
    waiting = backlog(Missing(2, 4, "older"), message(5))
    assert waiting.reaches(1)
    assert not waiting.is_complete_after(3)
    assert waiting.is_complete_after(4)


def test_an_amendment_changes_its_message() -> None:
    """The message is shown as it is then."""
    waiting = backlog(message(1), message(2))
    assert waiting.amend(amendment(3, 1), "alice")
    assert not waiting.amend(amendment(4, 9), "alice")
    [first, second] = waiting.take()
    assert isinstance(first, Message)
    assert (first.body, first.edited, second) == ("new", True, message(2))
    assert len(waiting) == 0


def test_rewind_drops_what_the_server_lost() -> None:
    """Also a missing range that goes beyond it."""
    waiting = backlog(message(1), Missing(2, 4, "older"), message(5))
    waiting.rewind(3)
    assert waiting.take() == [message(1)]


def test_a_page_stands_before_the_backlog() -> None:
    """What both have is shown once, as the backlog has it; what was shown before is left out."""
    waiting = backlog(message(5, body="live"), message(6))
    waiting.prepend(page(2, 3, 5, cursor=2), start=2)
    items = waiting.take()
    assert [each.seq for each in items] == [3, 5, 6]
    assert isinstance(items[1], Message)
    assert items[1].body == "live"


def test_what_a_page_leaves_out_is_missing() -> None:
    """On the server still, or deleted there; if the page reaches the start, there were only amendments."""
    cases = [
        (page(5, cursor=5), [Missing(3, 4, "older"), 5]),
        (page(5, first_seq=5), [Missing(3, 4, "pruned"), 5]),
        (page(5), [5]),
        (page(1, 5, cursor=1), [5]),
    ]
    for given_page, expected in cases:
        waiting = backlog()
        waiting.prepend(given_page, start=2)
        assert [each if isinstance(each, Missing) else each.seq for each in waiting.take()] == expected


def test_an_amendment_in_a_page_has_no_line() -> None:
    """The page has its message as it left it; another one is shown."""
    waiting = backlog(amendment(6, 5), amendment(7, 1, EntryKind.REACT))
    waiting.prepend(page(5, cursor=5), start=4)
    amendments = [each for each in waiting.take() if isinstance(each, Amendment)]
    assert [(each.seq, each.folded) for each in amendments] == [(6, True), (7, False)]


def test_what_does_not_come_is_marked() -> None:
    """Before the items; not if they reach the start, or there are none."""
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
    """Each message once, in order, whatever the page and the backlog have of them."""
    seqs = [seq for seq in range(1, last + 1) if seq not in amendments]
    waiting = backlog(*(message(seq) for seq in seqs if seq >= buffered))
    newest = seqs[-limit:]
    has_more = bool(newest) and newest != seqs
    waiting.prepend(page(*newest, cursor=newest[0] if has_more else None), start=start)
    items = waiting.take()
    shown = [each.seq for each in items if isinstance(each, Message)]
    missing = {seq for each in items if isinstance(each, Missing) for seq in range(each.seq, each.last + 1)}
    assert shown == sorted(set(shown))
    assert not missing & set(shown)
    assert {seq for seq in seqs if seq > start} <= missing | set(shown)
