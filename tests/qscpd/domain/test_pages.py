"""Pages: every message once, in order, and no page over its limits."""

from hypothesis import given
from hypothesis import strategies as st

from qscpd.domain.model import NO_META, Damage, MessageMeta, MessageRow, StoredItem
from qscpd.domain.pages import join_damage, split, take, take_messages, wire_size

REACTION = MessageMeta(kind="react", target=1)


def row(seq: int, body: str = "x", *, amends: bool = False) -> MessageRow:
    """Make a row."""
    return MessageRow(seq, 0, 1, f"{seq:032x}", body, REACTION if amends else NO_META)


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 7))
def test_all_pages_together_are_all_messages(kinds: list[bool], limit: int) -> None:
    """The pages of history contain each message once; only the last page has no cursor."""
    rows = [row(seq, amends=amends) for seq, amends in enumerate(kinds, 1)]
    seen: list[int] = []
    cursor: int | None = 0
    while cursor is not None:
        after = cursor
        items, cursor = take_messages((each for each in rows if each.seq > after), limit, 10**6)
        messages, _ = split(items)
        assert 1 <= len(messages) <= limit or not any(not amends for amends in kinds)
        assert cursor is None or cursor > after
        seen += [each.seq for each in messages]
    assert seen == [each.seq for each in rows if not each.meta.kind]


def test_a_page_of_history_skips_a_limited_number_of_amendments() -> None:
    """After 2,000 amendments without a message, a page is empty and has a cursor."""
    rows = [*(row(seq, amends=True) for seq in range(1, 2502)), row(2502)]
    assert take_messages(rows, 10, 10**6) == ([], 2000)
    assert take_messages(rows[2000:], 10, 10**6) == ([rows[-1]], None)


def test_a_page_respects_the_byte_limit() -> None:
    """A page has the messages that fit, at least one, and reads only one row beyond them."""
    rows = [row(seq, "x" * 1000) for seq in range(1, 9)]
    size = wire_size(rows[0])
    for fits in (1, 2, 3):
        source = iter(rows)
        assert take(source, 100, size * fits) == rows[:fits]
        assert len(list(source)) == len(rows) - fits - 1
        assert take_messages(rows, 100, size * fits) == (rows[:fits], fits)
    assert take(rows, 100, 1) == rows[:1]
    assert take(rows, 2, 10**6) == rows[:2]
    assert take([], 2, 10**6) == []
    assert take_messages(rows[:1], 100, 1) == (rows[:1], None)


def test_damage_that_touches_is_one_range() -> None:
    """Ranges that touch or overlap are joined, whatever their order; the messages keep theirs."""
    row = MessageRow(9, 0, 1, "", "hello", NO_META)
    items: list[MessageRow | Damage] = [
        Damage(6, 7),
        row,
        Damage(1, 2),
        Damage(3, 5),
        Damage(20, 22),
        Damage(21, 21),
    ]
    assert split(items) == ([row], [Damage(1, 7), Damage(20, 22)])


def test_damaged_ranges_are_joined_before_pages_are_made() -> None:
    """Ranges that follow each other are one item, in either direction; a long row of them is several."""
    items: list[StoredItem] = [
        Damage(1, 2),
        Damage(3, 3),
        row(4),
        Damage(5, 9),
        row(10),
        row(11),
        Damage(12, 12),
        Damage(13, 14),
    ]
    joined: list[StoredItem] = [Damage(1, 3), row(4), Damage(5, 9), row(10), row(11), Damage(12, 14)]
    assert list(join_damage(items)) == joined
    assert list(join_damage(reversed(items))) == joined[::-1]
    assert list(join_damage([])) == []
    many: list[StoredItem] = [Damage(seq, seq) for seq in range(1, 251)]
    assert list(join_damage([*many, row(251)])) == [
        Damage(1, 100),
        Damage(101, 200),
        Damage(201, 250),
        row(251),
    ]
