"""Lines wrapped to the rows of a terminal."""

from hypothesis import example, given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from qscp import frames
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.text import INDENT, Kind, Line
from qscp_client.ui.render import describe
from qscp_client.ui.wrap import draw, draw_row, draw_sentence, width, wrap
from tests.support.engine_harness import in_room, room_message

NAME = "n" * 32
TEXT = st.text(alphabet="ab \u65e5\u0301", max_size=60)


def rows(line: Line, columns: int) -> list[str]:
    """Return the rows that the terminal shows."""
    return "".join(text for _, text in draw(line, columns)).removesuffix("\n").split("\n")


@given(head=TEXT, text=TEXT | st.just("one\ntwo"), mark=TEXT, note=TEXT, columns=st.integers(4, 50))
@example(head="aaaaaaaa ", text="\u65e5a", mark="", note="", columns=4)
def test_no_row_is_wider_than_the_terminal(head: str, text: str, mark: str, note: str, columns: int) -> None:
    """No row is wider than the terminal, and all but the first are indented."""
    first, *others = rows(Line(Kind.MESSAGE, head, text, mark, note), columns)
    indent = min(len(INDENT), columns // 2)
    assert get_cwidth(first) <= columns
    for row in others:
        assert row[:indent].isspace() or not row
        assert get_cwidth(row) <= columns


@given(head=TEXT, text=TEXT, mark=TEXT, columns=st.integers(4, 50))
def test_draw_row_draws_one_row(head: str, text: str, mark: str, columns: int) -> None:
    """`draw_row` draws one row and cuts what is too wide."""
    drawn = draw_row(Line(Kind.MESSAGE, head, text, mark), columns)
    [row, end] = "".join(part for _, part in drawn).split("\n")
    assert get_cwidth(row) < columns
    assert end == ""


def test_a_quote_can_not_forge_a_line() -> None:
    """A quoted text can't begin at the left margin at any width."""
    harness = in_room()
    forged = "15:06 bob: give me your password now"
    shown = harness.receive(
        room_message(56, forged, sender=NAME),
        room_message(57, "words " * 9, sender=NAME, reply_to=56),
        edit_of(58, forged),
    )
    lines = [line for event in shown for line in describe(event, "alice")]
    for columns in range(12, 120):
        for line in lines:
            _, *others = rows(line, columns)
            assert all(row.startswith(INDENT) for row in others), columns


def edit_of(seq: int, body: str) -> frames.Edit:
    """Return an edit of an unknown message."""
    return frames.Edit("c-#dev", seq, f"{seq:032x}", NAME, "#dev", 56, body, 1000, "live")


def test_a_reply_is_not_cut_in_a_word() -> None:
    """If the head leaves too little room, the text begins in a row of its own."""
    line = Line(Kind.MESSAGE, '15:06 (58) alice, re (57) "shall we go?":', "certainly, in a minute")
    assert rows(line, 45) == ['15:06 (58) alice, re (57) "shall we go?":', f"{INDENT}certainly, in a minute"]
    assert rows(line, 30) == [
        "15:06 (58) alice, re (57)",
        f'{INDENT}"shall we go?":',
        f"{INDENT}certainly, in a minute",
    ]


def test_a_list_goes_on_indented() -> None:
    """A wrapped sentence is indented, as an away text could imitate a message."""
    drawn = draw_sentence("Online: bob (away: 15:06 carol: hi)", 19)
    assert drawn == "Online: bob (away:\n      15:06 carol:\n      hi)\n"


def test_a_long_notice_fits_forty_columns() -> None:
    """A notice with the longest names fits forty columns."""
    event = Notice(NoticeCode.TOPIC_CHANGED, name="#" + NAME, text="x" * 40)
    [line] = describe(event, "alice")
    assert all(get_cwidth(row) <= 40 for row in rows(line, 40))


# --- wrapping words


def test_a_short_line_stays() -> None:
    """A short line is not changed."""
    assert wrap("hello", 10, 10) == ["hello"]


def test_a_line_is_cut_between_words() -> None:
    """A line is cut between words, and the blank at the cut is removed."""
    assert wrap("one two three", 8, 8) == ["one two", "three"]


def test_a_long_word_is_cut_in_the_middle() -> None:
    """A word longer than a row is cut."""
    assert wrap("abcdefgh", 3, 4) == ["abc", "defg", "h"]


def test_wide_characters_count_twice() -> None:
    """Wide characters count as two columns."""
    assert wrap("\u65e5\u672c\u8a9e", 4, 4) == ["\u65e5\u672c", "\u8a9e"]


def test_an_empty_line_is_a_line() -> None:
    """An empty line stays one line."""
    assert wrap("", 5, 5) == [""]


@given(text=st.text(alphabet="ab \u65e5\u0301"), first=st.integers(2, 9), others=st.integers(2, 9))
def test_wrapped_lines_fit_their_widths(text: str, first: int, others: int) -> None:
    """Wrapped lines fit their widths, and only blanks are lost."""
    lines = wrap(text, first, others)
    assert get_cwidth(lines[0]) <= first
    assert all(get_cwidth(line) <= others for line in lines[1:])
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(text=st.text(max_size=20))
def test_columns_are_counted_as_prompt_toolkit_does(text: str) -> None:
    """`width` counts columns as prompt_toolkit does, so that both agree on where a row ends."""
    assert width(text) == get_cwidth(text)
