"""Hints about lines of a configuration that can't be read, for both programs.

A person sees neither a byte order mark in a key nor why YAML refuses an address in brackets.
"""

import re
import unicodedata
from typing import Final

from qscp import DEFAULT_PORT

_INVISIBLE: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))
"""General categories of characters that show nothing, or nothing but a gap."""

_ALSO_INVISIBLE: Final = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0]")
"""Fillers, joiners and variation selectors, which have the categories of letters and marks."""

_VISIBLE: Final = " \t\n\r"

_LINE_ENDS: Final = {"\n": "<U+000A>", "\r": "<U+000D>", "\t": "<U+0009>"}
"""Visible in a file, but not in a sentence."""

_BREAKS: Final = "\n\r\x85\u2028\u2029"
"""Characters that end a line for YAML."""

_LINE: Final = re.compile(f"[^{_BREAKS}]*(?:\r\n|[{_BREAKS}])?")

_ADDRESS: Final = re.compile(r"(?<![\"'\w])(\[(?=[0-9A-Fa-f.]*:)[0-9A-Fa-f:.]+(?:%[\w.-]+)?\])(:[0-9]+)?")
"""IPv6 address in brackets, without a quotation mark before it."""


def show_invisible(text: str) -> str:
    """Return a text with `<U+FEFF>` in place of each character that can't be seen."""
    return "".join(f"<U+{ord(each):04X}>" if _is_invisible(each) else each for each in text)


def one_line(sentence: str) -> str:
    """Return a sentence that quotes a file or a peer, with all invisible characters shown, line ends too."""
    return "".join(_LINE_ENDS.get(each, each) for each in show_invisible(sentence))


def invisible_hint(source: str) -> str:
    """Return what to do about the invisible characters in a text, to append to an error; often empty."""
    codes = dict.fromkeys(f"U+{ord(each):04X}" for each in source if _is_invisible(each))
    return f" (it has invisible characters, {', '.join(codes)}: type the line again)" if codes else ""


def quotes_hint(line: str) -> str:
    """Return how to write the IPv6 address of a line of YAML, to append to an error; often empty."""
    match = _ADDRESS.search(line)
    if match is None:
        return ""
    port = match[2] or f":{DEFAULT_PORT}"
    return f' (write an IPv6 address in quotes: "{match[1]}{port}")'


def yaml_lines(text: str) -> list[str]:
    """Return the lines of a file as YAML counts them, with their ends, without a mark of the byte order."""
    return _LINE.findall(text.removeprefix("\ufeff"))


def _is_invisible(character: str) -> bool:
    if character.isascii():
        return not character.isprintable() and character not in _VISIBLE
    return unicodedata.category(character) in _INVISIBLE or _ALSO_INVISIBLE.match(character) is not None
