import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp.errors import InvalidNameError
from qscp.limits import NAME_LIMIT
from qscp.names import normalize_name

FIRST = string.ascii_lowercase + string.digits
ALLOWED = FIRST + "._-"


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,31}", fullmatch=True))
def test_a_name_in_its_form_stays_as_it_is(name: str) -> None:
    """Folding a folded name changes nothing."""
    assert normalize_name(name) == name


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", fullmatch=True))
def test_capitals_and_blanks_around_are_folded(name: str) -> None:
    """Capitals and surrounding blanks do not change a name."""
    assert normalize_name(f" \t{name}\n") == name.lower()


@given(st.text(max_size=NAME_LIMIT + 3))
def test_whatever_is_accepted_has_the_one_form(text: str) -> None:
    """Every accepted text becomes a name with valid characters and a valid length."""
    try:
        name = normalize_name(text)
    except InvalidNameError:
        return
    assert 1 <= len(name) <= NAME_LIMIT
    assert name[0] in FIRST
    assert set(name) <= set(ALLOWED)
    assert normalize_name(name) == name


@pytest.mark.parametrize("name", ["a" * NAME_LIMIT, "0", "a.", "a-_.", "back", "0x.y-z_"])
def test_names_at_the_edge_of_the_rules_are_good(name: str) -> None:
    """The longest, the shortest and the oddest valid names are accepted."""
    assert normalize_name(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".a",
        "_a",
        "-a",
        "a b",
        "a\nb",
        "a\x00",
        "a@b",
        "a/b",
        "../a",
        "a" * (NAME_LIMIT + 1),
        "\u212a",  # KELVIN SIGN: lower() makes it k
        "a\u212a",
        "\u0130",  # LATIN CAPITAL LETTER I WITH DOT ABOVE: lower() makes it i and a combining dot
        "\u017f",  # LATIN SMALL LETTER LONG S: upper() makes it S
        "\u0430lice",  # CYRILLIC SMALL LETTER A
        "\uff41lice",  # FULLWIDTH LATIN SMALL LETTER A
        "caf\u00e9",
        "a\u0301",  # a and a combining acute
        "\u0661",  # ARABIC-INDIC DIGIT ONE
        "a\u200b",  # ZERO WIDTH SPACE: not stripped as a blank
        "\ufeffa",  # BYTE ORDER MARK
        "a\u202eb",  # RIGHT-TO-LEFT OVERRIDE
        "\ud800",  # half of a surrogate pair
    ],
)
def test_other_texts_are_no_names(text: str) -> None:
    """Look-alikes, invisible characters and all other invalid texts are refused."""
    with pytest.raises(InvalidNameError):
        normalize_name(text)


def test_the_error_shows_the_rule_and_little_of_the_text() -> None:
    """The error is short, safe to print, and states the rule."""
    error = InvalidNameError("\x1b[2J" + "x" * 1000 + "\ud800")
    assert error.name.startswith("\x1b[2J")
    assert str(error).isprintable()
    assert len(str(error)) < 200
    assert "1 to 32 of a-z, 0-9" in str(error)
