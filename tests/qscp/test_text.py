import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp.errors import ErrorCode, InvalidTextError
from qscp.limits import BODY_LIMIT, STATUS_TEXT_LIMIT
from qscp.text import check_body, check_status_text, strip_controls

BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CONTROLS = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"]
SURROGATES = ["\ud800", "\udbff", "\udc00", "\udfff"]
FORBIDDEN = [*(control for control in CONTROLS if control not in "\n\t"), *BIDI_CONTROLS, *SURROGATES]


def code_of(body: str) -> ErrorCode | None:
    """Return the code for a body."""
    try:
        check_body(body)
    except InvalidTextError as error:
        return error.code
    return None


@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_each_forbidden_character_is_refused_anywhere(forbidden: str) -> None:
    """All controls but newline and tab, all bidi controls and all surrogates are refused."""
    for body in (f"{forbidden}a", f"a{forbidden}b", f"a{forbidden}", f"é{forbidden}", f"\n{forbidden}é"):
        assert code_of(body) is ErrorCode.BODY_CHARACTERS


@pytest.mark.parametrize(
    "body",
    [
        "a",
        "a\nb\tc\n",
        "  indented",
        "\U0001f469\u200d\U0001f4bb",  # an emoji joined by ZERO WIDTH JOINER
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian needs ZERO WIDTH NON-JOINER
        "שלום",  # right to left by itself
        "e\u0301" * 10,
        "\ufffd\ufeff\U0010ffff",
    ],
)
def test_text_of_all_languages_is_good(body: str) -> None:
    """No script is refused."""
    assert code_of(body) is None


@pytest.mark.parametrize("body", ["", " ", "\n\n\t ", "\u3000\u00a0"])
def test_white_space_alone_is_empty(body: str) -> None:
    """A body of white space is empty."""
    assert code_of(body) is ErrorCode.BODY_EMPTY


@pytest.mark.parametrize("character", ["a", "é", "€", "\U0001f600", "\ud800"])
def test_the_limit_counts_bytes(character: str) -> None:
    """The limit is exact, in bytes."""
    size = len(character.encode(errors="surrogatepass"))
    body = character * (BODY_LIMIT // size) + "a" * (BODY_LIMIT % size)
    assert code_of(body) is not ErrorCode.BODY_TOO_LONG
    assert code_of(body + "a") is ErrorCode.BODY_TOO_LONG


@given(st.text(max_size=60))
def test_what_is_good_needs_no_stripping(body: str) -> None:
    """The client shows an accepted body unchanged."""
    if code_of(body) is None:
        assert strip_controls(body) == body
        body.encode()


@given(st.text(max_size=60))
def test_what_was_stripped_is_good_or_empty(body: str) -> None:
    """Stripping removes all forbidden characters, and is idempotent."""
    stripped = strip_controls(body)
    assert code_of(stripped) in (None, ErrorCode.BODY_EMPTY)
    assert strip_controls(stripped) == stripped


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
