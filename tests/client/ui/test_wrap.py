"""Lines wrapped to the rows of a terminal."""

from hypothesis import example, given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from qscp import frames
from qscp.characters import open_isolates
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.text import INDENT, Kind, Line
from qscp_client.ui.clusters import width
from qscp_client.ui.render import describe
from qscp_client.ui.wrap import draw, draw_row, draw_sentence, wrap
from tests.support.cluster_text import clustered_text, most_columns, rows_on_screen
from tests.support.engine_harness import in_room, room_message

NAME = "n" * 32
TEXT = st.text(alphabet="ab \u65e5\u0301", max_size=60) | clustered_text()


def rows(line: Line, columns: int) -> list[str]:
    """Return the rows that the terminal shows."""
    return "".join(text for _, text in draw(line, columns)).removesuffix("\n").split("\n")


@given(head=TEXT, text=TEXT | st.just("one\ntwo"), mark=TEXT, note=TEXT, columns=st.integers(4, 50))
@example(head="aaaaaaaa ", text="\u65e5a", mark="", note="", columns=4)
@example(head="15:06 bob:", text="\u2764\ufe0f" * 60, mark="", note="", columns=40)
def test_no_row_is_wider_than_the_terminal(head: str, text: str, mark: str, note: str, columns: int) -> None:
    """No row is wider than the terminal, and all but the first are indented."""
    first, *others = rows(Line(Kind.MESSAGE, head, text, mark, note), columns)
    indent = min(len(INDENT), columns // 2)
    assert most_columns(first) <= columns
    for row in others:
        assert row[:indent].isspace() or not row
        assert most_columns(row) <= columns
        assert open_isolates(row) == ""
    assert rows_on_screen([first, *others], columns) == len([first, *others])


@given(head=TEXT, text=TEXT, mark=TEXT, columns=st.integers(4, 50))
def test_draw_row_draws_one_row(head: str, text: str, mark: str, columns: int) -> None:
    """`draw_row` draws one row and cuts what is too wide."""
    drawn = draw_row(Line(Kind.MESSAGE, head, text, mark), columns)
    [row, end] = "".join(part for _, part in drawn).split("\n")
    assert most_columns(row) < columns
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


def test_clusters_stay_whole() -> None:
    """A row ends between two emoji, not within one; only what is wider than a row is cut."""
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert wrap(family * 3, 14, 14) == [family * 2, family]
    assert wrap("\u2764\ufe0f" * 5, 5, 5) == ["\u2764\ufe0f" * 2, "\u2764\ufe0f" * 2, "\u2764\ufe0f"]
    assert wrap(family, 5, 5) == ["\U0001f468\u200d\U0001f469\u200d", "\U0001f467"]


def test_isolates_go_on_in_the_next_row() -> None:
    """An isolate that is cut ends in its row, and begins anew in the next one."""
    assert wrap("\u2067abc def\u2069 x", 4, 8) == ["\u2067abc\u2069", "\u2067def\u2069 x"]


def test_a_text_from_right_to_left_stays_in_its_place() -> None:
    """Arabic or Hebrew text can reorder neither what is before it, nor the marks behind it."""
    line = Line(Kind.MESSAGE, "15:06 bob:", "\u05e9\u05dc\u05d5\u05dd", "", "[1 more]")
    assert rows(line, 60) == ["15:06 bob: \u2068\u05e9\u05dc\u05d5\u05dd\u2069  [1 more]"]
    assert rows(Line(Kind.MESSAGE, "15:06 bob:", "hello"), 60) == ["15:06 bob: hello"]
    shown = in_room().receive(
        room_message(56, "\u05e9\u05dc\u05d5\u05dd", sender="bob"), room_message(57, "2 of it", reply_to=56)
    )
    *_, reply = [line for event in shown for line in describe(event, "alice")]
    assert '"\u2068\u05e9\u05dc\u05d5\u05dd\u2069"' in reply.head


@given(text=st.text(max_size=20))
def test_the_line_editor_counts_no_more_columns(text: str) -> None:
    """A row that fits by `width` fits for prompt_toolkit, too, which counts character by character."""
    assert width(text) >= get_cwidth(text)
