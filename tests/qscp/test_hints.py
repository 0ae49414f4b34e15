import pytest

from qscp.hints import invisible_hint, one_line, quotes_hint, show_invisible, yaml_lines


@pytest.mark.parametrize(
    "character",
    [
        "\ufeff", "\u200b", "\u200c", "\u200d", "\u2060", "\u00ad", "\u00a0", "\u2003", "\u3000",
        "\u200e",         "\u202e", "\u2066", "\u2069", "\u061c", "\u2028", "\x85", "\x07", "\x7f", "\u3164",
        "\ufe0f", "\u034f",        "\U000e0041", "\ue000",
    ],
)  # fmt: skip
def test_an_invisible_character_is_named(character: str) -> None:
    """A character that shows nothing, or a gap, or reorders the line, is shown by its number."""
    code = f"U+{ord(character):04X}"
    assert show_invisible(f"lo{character}g") == f"lo<{code}>g"
    assert invisible_hint(f"{character}log") == f" (it has invisible characters, {code}: type the line again)"


def test_a_sentence_stays_on_its_line() -> None:
    """In a sentence that quotes a file, ends of lines and tabs are shown by their numbers."""
    assert one_line("a\nb\tc\rd\u202e") == "a<U+000A>b<U+0009>c<U+000D>d<U+202E>"


@pytest.mark.parametrize("text", ["", "a: b\t#\r\n", "größe: ёж 漢字 👍", "e\u0301"])
def test_what_can_be_seen_stays(text: str) -> None:
    """Letters of any language, blanks, tabs and ends of lines are no reason for a hint."""
    assert (show_invisible(text), invisible_hint(text)) == (text, "")


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("- [::1]:7727", "[::1]:7727"),
        ("listen: [[::1]:7727]", "[::1]:7727"),
        ("server: [fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
        ("server: [2001:db8::1]", "[2001:db8::1]:7727"),
        ('listen: ["127.0.0.1:1", [::ffff:10.0.0.1]:2]', "[::ffff:10.0.0.1]:2"),
    ],
)
def test_a_bare_address_gets_its_quotes(line: str, address: str) -> None:
    """An IPv6 address without quotes is shown with them."""
    assert quotes_hint(line) == f' (write an IPv6 address in quotes: "{address}")'


@pytest.mark.parametrize(
    "line",
    [
        '- "[::1]:7727"',
        "- '[::1]:7727'",
        "listen: [localhost:7727]",
        "a: [b, c]",
        "a: [",
        "- ::1:7727",
        "[1]",
    ],
)
def test_other_lines_get_no_quotes(line: str) -> None:
    """A quoted address and other lists are no reason for a hint."""
    assert quotes_hint(line) == ""


def test_lines_are_those_of_yaml() -> None:
    """Each line has its end; a mark of the byte order at the beginning of the file is none of them."""
    assert yaml_lines("\ufeffa\r\nb\u2028c\n") == ["a\r\n", "b\u2028", "c\n", ""]
