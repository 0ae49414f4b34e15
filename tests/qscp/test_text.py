import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp.characters import mark_forbidden
from qscp.errors import ErrorCode, InvalidTextError
from qscp.limits import BODY_LIMIT, STATUS_TEXT_LIMIT
from qscp.text import check_body, check_line, check_status_text, fault_sentence


def code_of(body: str) -> ErrorCode | None:
    """Return the code for a body."""
    try:
        check_body(body)
    except InvalidTextError as error:
        return error.code
    return None


@pytest.mark.parametrize("forbidden", ["\x00", "\x1b", "\x7f", "\x85", "\u202e", "\u200b", "\ud800"])
def test_a_forbidden_character_is_refused_anywhere(forbidden: str) -> None:
    """A forbidden character is refused and named, in ASCII and in other text."""
    for body in (f"{forbidden}a", f"a{forbidden}b", f"a{forbidden}", f"é{forbidden}", f"\n{forbidden}é"):
        with pytest.raises(InvalidTextError) as caught:
            check_body(body)
        assert caught.value.code is ErrorCode.BODY_CHARACTERS
        named = f"Not allowed: U+{ord(forbidden):04X}"
        assert named in str(caught.value)
        assert fault_sentence(body, ErrorCode.BODY_CHARACTERS) == str(caught.value)


@pytest.mark.parametrize("body", ["a", "a\nb\tc\n", "  indented", "e\u0301" * 10, "\ufffd", "\u200f\u05d0"])
def test_other_text_is_good(body: str) -> None:
    """Newlines, tabs, blanks and characters of all scripts are accepted."""
    assert code_of(body) is None


@pytest.mark.parametrize("body", ["", " ", "\n\n\t ", "\u3000\u00a0", "\u200d\ufe0f", "\u2800 "])
def test_nothing_visible_is_empty(body: str) -> None:
    """A body of white space and invisible characters is empty."""
    assert code_of(body) is ErrorCode.BODY_EMPTY


@pytest.mark.parametrize("character", ["a", "é", "€", "\U0001f600", "\ud800"])
def test_the_limit_counts_bytes(character: str) -> None:
    """The limit is exact, in bytes."""
    size = len(character.encode(errors="surrogatepass"))
    body = character * (BODY_LIMIT // size) + "a" * (BODY_LIMIT % size)
    assert code_of(body) is not ErrorCode.BODY_TOO_LONG
    assert code_of(body + "a") is ErrorCode.BODY_TOO_LONG


@given(st.text(max_size=60))
def test_what_is_good_gets_no_marks(body: str) -> None:
    """The client shows an accepted body unchanged, and a refused one in a form that is accepted."""
    shown = mark_forbidden(body)
    if code_of(body) is None:
        assert shown == body
        body.encode()
    assert code_of(shown) in (None, ErrorCode.BODY_EMPTY)


@pytest.mark.parametrize("text", ["", "at lunch", "tea\tor coffee", "é" * (STATUS_TEXT_LIMIT // 2)])
def test_one_short_line_is_a_status_text(text: str) -> None:
    """An empty text, or one line up to the limit in bytes, is accepted."""
    check_status_text(text)


@pytest.mark.parametrize(
    "text",
    ["a\nb", "a\rb", "a\x1bb", "\u202e", "\ud800", "a" * (STATUS_TEXT_LIMIT + 1), "é" * STATUS_TEXT_LIMIT],
)
def test_other_status_texts_are_refused(text: str) -> None:
    """A second line, a control character or an excess byte have one code."""
    with pytest.raises(InvalidTextError) as caught:
        check_status_text(text)
    assert caught.value.code is ErrorCode.BAD_STATUS_TEXT
    assert str(caught.value).startswith("The status text")


@pytest.mark.parametrize("text", [" ", "\u200d", "\u2800", "\u00a0\u3000", "\u2066\u2069"])
def test_a_line_of_nothing_visible_is_refused(text: str) -> None:
    """An away text, a topic or a reason is empty, or has something to see."""
    check_line("", 100, ErrorCode.BAD_TEXT)
    with pytest.raises(InvalidTextError, match="nothing to see"):
        check_line(text, 100, ErrorCode.BAD_TEXT)
