import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp.characters import (
    FORBIDDEN,
    MARKS_LIMIT,
    drop_pasted,
    end_isolates,
    find_fault,
    is_visible,
    isolate,
    mark_forbidden,
    open_isolates,
    split_marks,
)

ROOT = Path(__file__).parents[2]

CONTROLS = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"]
IGNORABLE = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060\u2061\u2064\u2065\u206a\u206f\u3164\ufeff\uffa0\ufff0"
    "\U0001bca0\U0001d173\U000e0000\U000e0001\U000e0020\U000e0041\U000e007f\U000e0080\U000e01f0\U000e0fff"
)
NONCHARACTERS = "\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0005ffff\U0010fffe\U0010ffff"
FORBIDDEN_CHARACTERS = [
    *(each for each in CONTROLS if each not in "\n\t"),
    *"\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufff9\ufffb",
    *IGNORABLE,
    *NONCHARACTERS,
    "\ud800", "\udbff", "\udc00", "\udfff",
]  # fmt: skip

SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"

TEXTS = [
    "a\nb\tc\n",
    "\U0001f469\u200d\U0001f4bb \u2764\ufe0f",  # emoji with ZERO WIDTH JOINER and variation selector
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian needs ZERO WIDTH NON-JOINER
    "\u05e9\u05dc\u05d5\u05dd \u200f(C++)\u200e \u061c1",  # marks of the direction
    "\u2067\u05e9\u05dc\u2066abc\u2069\u2069\n\u2068x\u2069",  # balanced isolates
    "e\u0301" * 100,
    "\u1112\u1161\u11ab\u1100\u1173\u11af" * 30,  # decomposed Hangul, as file names of macOS
    "a" + "\u0301" * MARKS_LIMIT + "b" + "\u0301" * MARKS_LIMIT,
    SCOTLAND,
    f"{SCOTLAND}{SCOTLAND}",
    "\u845b\U000e0100",  # a variant of a Chinese character
    "\u182d\u180b",  # Mongolian with a variation selector
    "\ufffd\ue0b0\U000f0000",  # private characters have glyphs in some fonts
    "\U0001fae9",  # newer than some tables
]


@pytest.mark.parametrize("character", FORBIDDEN_CHARACTERS)
def test_each_forbidden_character_is_found_and_marked(character: str) -> None:
    """What nobody sees, or what reorders a line, is named with its place and shown by its number."""
    number = f"U+{ord(character):04X}"
    for before, after in (("", "a"), ("a", "b"), ("a", ""), ("é", ""), ("\n", "é")):
        text = f"{before}{character}{after}"
        fault = find_fault(text)
        assert fault is not None
        assert (fault.start, fault.end) == (len(before), len(before) + 1)
        assert fault.text.startswith(number)
        assert f"(character {len(before) + 1})" in fault.text
        assert mark_forbidden(text) == f"{before}<{number}>{after}"


@pytest.mark.parametrize("text", TEXTS)
def test_text_of_all_languages_is_allowed(text: str) -> None:
    """No script and no emoji is refused, and it is shown unchanged."""
    assert find_fault(text) is None
    assert mark_forbidden(text) == text
    assert is_visible(text)


@pytest.mark.parametrize(
    ("text", "named", "shown"),
    [
        ("a\u200bb", "U+200B ZERO WIDTH SPACE (character 2)", "a<U+200B>b"),
        ("a\u200b\ufeff\u200bb", "U+200B ZERO WIDTH SPACE (character 2)", "a<U+200B, 2 more>b"),
        ("\u2066a", "U+2066 LEFT-TO-RIGHT ISOLATE without its end in the line (character 1)", "<U+2066>a"),
        ("a\u2069", "U+2069 POP DIRECTIONAL ISOLATE without its beginning in the line (character 2)",
         "a<U+2069>"),
        ("\u2067a\nb\u2069", "U+2067 RIGHT-TO-LEFT ISOLATE without its end in the line (character 1)",
         "<U+2067>a\nb<U+2069>"),
        ("\u2066\u2068a\u2069", "U+2066 LEFT-TO-RIGHT ISOLATE without its end in the line (character 1)",
         "<U+2066>\u2068a\u2069"),
        ("x" + "\u0301" * 40, "more than 30 combining marks in a row (from character 2)",
         "x" + "\u0301" * 30 + "<U+0301, 9 more>"),
        ("\U0001f600" + "\ufe0f" * 31, "more than 30 combining marks in a row (from character 2)",
         "\U0001f600" + "\ufe0f" * 30 + "<U+FE0F>"),
        ("a" + "\u200d\u0301\u200c\u200e" * 8, "more than 30 combining marks in a row (from character 2)",
         "a" + "\u200d\u0301\u200c\u200e" * 7 + "\u200d\u0301<U+200C, 1 more>"),
        # Terminals give none of these a column of its own.
        ("\uac01" + "\u11a8" * 31, "more than 30 combining marks in a row (from character 2)",
         "\uac01" + "\u11a8" * 30 + "<U+11A8>"),
        ("\U00013000" + "\U00013430" * 40, "more than 30 combining marks in a row (from character 2)",
         "\U00013000" + "\U00013430" * 30 + "<U+13430, 9 more>"),
        ("a" + "\u0600\u1161\ud7cb\u0897" * 8, "more than 30 combining marks in a row (from character 2)",
         "a" + "\u0600\u1161\ud7cb\u0897" * 7 + "\u0600\u1161<U+D7CB, 1 more>"),
        # Tag characters are text that nobody sees, but for the code of a region behind a flag.
        ("\U0001f3f4\U000e0067\U000e0062", "U+E0067 TAG LATIN SMALL LETTER G (character 2)",
         "\U0001f3f4<U+E0067, 1 more>"),
        ("\U0001f600" + SCOTLAND[1:], "U+E0067 TAG LATIN SMALL LETTER G (character 2)",
         "\U0001f600<U+E0067, 5 more>"),
        ("\U0001f3f4" + "\U000e0061" * 8 + "\U000e007f", "U+E0061 TAG LATIN SMALL LETTER A (character 2)",
         "\U0001f3f4<U+E0061, 8 more>"),
        (f"{SCOTLAND}\U000e0061", "U+E0061 TAG LATIN SMALL LETTER A (character 8)", f"{SCOTLAND}<U+E0061>"),
        ("\x1b[31m", "U+001B (character 1)", "<U+001B>[31m"),
    ],
)  # fmt: skip
def test_a_fault_is_named_and_marked(text: str, named: str, shown: str) -> None:
    """The first fault has its number, its name and its place; a row of them gets one mark."""
    fault = find_fault(text)
    assert fault is not None
    assert fault.text == named
    assert mark_forbidden(text) == shown


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "\u3000\u00a0", "\u200d", "\ufe0f\u200c", "\u200e\u200f\u061c", "\u2066\u2069",
     "\u2800 \u2800", "\U0001d159", "\U00013430\U00013437", "\u180b", "\U000e0100"],
)  # fmt: skip
def test_a_text_of_nothing_visible_is_not_visible(text: str) -> None:
    """Blanks, joiners, selectors and marks of the direction alone show nothing."""
    assert not is_visible(text)


@pytest.mark.parametrize("text", ["a", "\u200d.", "\u0301", "\ufffd", "\ue000"])
def test_one_character_is_enough_to_be_visible(text: str) -> None:
    """Anything with a glyph is visible."""
    assert is_visible(text)


def test_a_paste_loses_what_nobody_typed() -> None:
    """Zero-width characters of a paste are dropped, separators become newlines, the rest stays."""
    assert drop_pasted("\ufeffa\u200bb\u00adc\u2060d\u2028e\u2029f") == "abcd\ne\nf"
    for text in TEXTS:
        assert drop_pasted(text) == text


ALPHABET = st.one_of(
    st.sampled_from("\u2066\u2067\u2068\u2069\u0301\u200d\ufe0f\u200b\n a\U0001f3f4\U000e0067\U000e007f"),
    st.characters(),
)


@given(st.text(ALPHABET, max_size=200))
def test_marks_leave_no_fault_and_only_faults_get_marks(text: str) -> None:
    """What is shown has no fault; a text without a fault is shown unchanged."""
    shown = mark_forbidden(text)
    assert find_fault(shown) is None
    assert (shown == text) is (find_fault(text) is None)
    assert mark_forbidden(shown) == shown
    shown.encode()


@given(st.text(st.sampled_from("a\u0301\u200d"), max_size=200))
def test_rows_of_marks_are_found_wherever_they_are(text: str) -> None:
    """The search by steps finds the same as a look at every character."""
    found = re.search("[\u0301\u200d]{31,}", text)
    fault = find_fault(text)
    assert (fault and fault.start) == (found and found.start() + MARKS_LIMIT)


def test_the_document_has_the_table() -> None:
    """`docs/protocol.md` has each row of the table."""
    document = (ROOT / "docs/protocol.md").read_text()
    for ranges, what in FORBIDDEN:
        assert f"| {ranges} | {what} |" in document


@given(st.text(st.sampled_from("\u2066\u2067\u2068\u2069ab "), max_size=40), st.integers(0, 40))
def test_a_part_of_a_line_ends_its_isolates(text: str, size: int) -> None:
    """A part of what is shown begins no isolate that it does not end, so it reorders nothing behind it."""
    part = mark_forbidden(text)[:size]
    assert find_fault(end_isolates(part)) is None


# --- isolates on the screen


def test_what_is_open_goes_on_and_ends() -> None:
    """The isolates that a cut leaves open are known, so that they can end here and go on elsewhere."""
    assert open_isolates("a\u2066b\u2067c\u2069d") == "\u2066"
    assert open_isolates("\u2069\u2068") == "\u2068"
    assert end_isolates("a\u2066b\u2067c") == "a\u2066b\u2067c\u2069\u2069"
    assert split_marks("a\u2066\u2067b\u2069") == ["a", "\u2066\u2067", "b", "\u2069", ""]
    assert split_marks("\u200eab") == ["", "\u200e", "ab"]


@pytest.mark.parametrize("letter", ["\u05d0", "\u0627", "\u0710", "\ufb1d", "\U0001e900", "\u200f"])
def test_text_from_right_to_left_is_isolated(letter: str) -> None:
    """A text with letters from right to left is isolated, any other is not changed."""
    assert isolate(f"a {letter} 1") == f"\u2068a {letter} 1\u2069"
    assert find_fault(isolate(letter)) is None
    assert isolate("a \u65e5 \u2764\ufe0f 1") == "a \u65e5 \u2764\ufe0f 1"
