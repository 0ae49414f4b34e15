"""Cutting text to the width of a terminal."""

from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from qscp_client.ui.wrap import width, wrap


def test_a_short_line_stays() -> None:
    """Nothing to do."""
    assert wrap("hello", 10, 10) == ["hello"]


def test_a_line_is_cut_between_words() -> None:
    """The blank at the cut is left out."""
    assert wrap("one two three", 8, 8) == ["one two", "three"]


def test_a_long_word_is_cut_in_the_middle() -> None:
    """There is no blank to cut at."""
    assert wrap("abcdefgh", 3, 4) == ["abc", "defg", "h"]


def test_wide_characters_count_twice() -> None:
    """As a terminal draws them."""
    assert wrap("\u65e5\u672c\u8a9e", 4, 4) == ["\u65e5\u672c", "\u8a9e"]


def test_an_empty_line_is_a_line() -> None:
    """A message may have empty lines in it."""
    assert wrap("", 5, 5) == [""]


@given(text=st.text(alphabet="ab \u65e5\u0301"), first=st.integers(2, 9), others=st.integers(2, 9))
def test_no_line_is_wider_than_it_may_be(text: str, first: int, others: int) -> None:
    """And nothing but blanks is lost."""
    lines = wrap(text, first, others)
    assert get_cwidth(lines[0]) <= first
    assert all(get_cwidth(line) <= others for line in lines[1:])
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(text=st.text(max_size=20))
def test_columns_are_counted_as_prompt_toolkit_does(text: str) -> None:
    """Else its idea of where a line ends, and ours, would differ at a terminal."""
    assert width(text) == get_cwidth(text)
