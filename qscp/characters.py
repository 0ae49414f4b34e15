"""Characters that no text can have, because nobody sees them or because they reorder a line.

The table is that of `docs/protocol.md`, "Characters". The server refuses a text with one of them. A client
shows a visible mark in its place, so that a broken server can't control a terminal either.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = [
    "FORBIDDEN",
    "MARKS_LIMIT",
    "Fault",
    "drop_pasted",
    "end_isolates",
    "find_fault",
    "is_direction",
    "is_visible",
    "isolate",
    "mark_forbidden",
    "open_isolates",
    "split_marks",
]

FORBIDDEN: Final = (
    # C0 but tab and newline, DEL, and C1.
    ("U+0000-0008, 000B-001F, 007F-009F", "control characters other than tab and newline"),
    ("U+2028-2029", "separators of lines and paragraphs"),
    # UAX #9; they can disguise the order of a line ("Trojan Source", CVE-2021-42574).
    ("U+202A-202E", "embeddings and overrides of the direction"),
    # Default_Ignorable_Code_Point of Unicode 16, without what `_KEPT` has and without isolates.
    (
        (
            "U+00AD, 034F, 115F-1160, 17B4-17B5, 180E, 200B, 2060-2065, 206A-206F, 3164, FEFF, FFA0, "
            "FFF0-FFF8, 1BCA0-1BCA3, 1D173-1D17A, E0000-E00FF, E01F0-E0FFF"
        ),
        "invisible characters; those of U+E0030-E007F are allowed in a flag",
    ),
    ("U+FFF9-FFFB", "marks of annotations"),
    # They have no UTF-8, but Python makes them from bytes that a terminal sent in the wrong encoding.
    ("U+D800-DFFF", "surrogates"),
    ("U+FDD0-FDEF, and U+FFFE-FFFF of each plane", "noncharacters"),
)
"""Ranges of forbidden characters, and what they are."""

MARKS_LIMIT: Final = 30
"""Characters in a row that have no place of their own; as in the Stream-Safe Format of UAX #15."""

_FIRST_MARK: Final = "\u0300"
"""Combining mark with the lowest number."""

_KEPT: Final = "\u061c\u180b-\u180d\u180f\u200c-\u200f\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Invisible, but scripts and emoji need them: joiners, variation selectors, and marks of the direction."""

_ISOLATES: Final = "\u2066-\u2069"
_END: Final = "\u2069"
"""POP DIRECTIONAL ISOLATE; the others open one."""

_FIRST_STRONG: Final = "\u2068"
"""FIRST STRONG ISOLATE: the first letter decides on its direction."""

_RIGHT_TO_LEFT: Final = re.compile(
    "[\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
"""Blocks of scripts that are written from right to left, and the mark for them."""

_BLANK: Final = "\u2800\U0001d159\U00016fe4\U00013430-\U0001343f"
"""Characters with nothing to see, though they are no blanks to Unicode."""

_FORMATS: Final = "\u0600-\u0605\u06dd\u070f\u0890-\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001343f"
"""Signs around numbers, and joiners of hieroglyphs; terminals give them no column."""

_JAMO: Final = "\u1161-\u11ff\ud7b0-\ud7fb"
"""Vowels and finals of Hangul, shown in the syllable that they belong to; it has three at most."""

_NEW_MARKS: Final = (
    "\u0897\u0cf3\u0ece\u1acf-\u1af0\U00010d69-\U00010d6d\U00010efa-\U00010eff\U00011241\U000113b8-\U000113c0"
    "\U000113c2\U000113c5\U000113c7-\U000113ca\U000113cc-\U000113d0\U000113d2\U000113e1-\U000113e2"
    "\U00011b60-\U00011b67\U00011f00-\U00011f01\U00011f03\U00011f34-\U00011f3a\U00011f3e-\U00011f42\U00011f5a"
    "\U00013440\U00013447-\U00013455\U0001611e-\U0001612f\U0001e08f\U0001e4ec-\U0001e4ef\U0001e5ee-\U0001e5ef"
    "\U0001e6e3\U0001e6e6\U0001e6ee-\U0001e6ef\U0001e6f5"
)
"""Combining marks of Unicode 15 to 17; Python 3.11 has the tables of Unicode 14."""

_LINE_BREAKS: Final = re.compile("[\u2028\u2029]")
_PASTED: Final = re.compile("[\u00ad\u034f\u180e\u200b\u2060-\u2064\ufeff]")
"""Invisible characters that web pages, editors and word processors put into what is copied from them."""

_FLAG: Final = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,7}\U000e007f"
"""Flag of a region, such as Scotland: UTS #51 writes its code in tag characters."""


def _class_of_forbidden() -> str:
    """Return the content of a character class of all forbidden characters."""
    parts = [
        "-".join(re.escape(chr(int(end, 16))) for end in part.split("-"))
        for ranges, _ in FORBIDDEN
        for part in re.findall(r"[0-9A-F]{4,5}(?:-[0-9A-F]{4,5})?", ranges)
    ]
    planes = [f"{chr(plane + 0xFFFE)}-{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)]
    return "".join(parts + planes)


_CLASS: Final = _class_of_forbidden()
_SUSPECT: Final = re.compile(f"[{_CLASS}{_ISOLATES}]")
_FOUND: Final = re.compile(f"{_FLAG}|([{_CLASS}])|([{_ISOLATES}\n])")
_INVISIBLE: Final = re.compile(rf"[\s{_CLASS}{_KEPT}{_ISOLATES}{_BLANK}]*")
_ISOLATE: Final = re.compile(f"[{_ISOLATES}]")
_DIRECTIONS: Final = re.compile(f"([\u061c\u200e\u200f{_ISOLATES}]+)")
_NO_PLACE: Final = re.compile(f"[{_KEPT}{_ISOLATES}{_FORMATS}{_JAMO}{_NEW_MARKS}]")


class Fault(NamedTuple):
    """Place in a text that breaks the rules."""

    start: int
    """Index of its first character."""
    end: int
    """Index behind its last character."""
    text: str
    """What it is, to be put into a sentence."""


def find_fault(text: str) -> Fault | None:
    """Return the first place of a text that breaks the rules; None if there is none.

    Cost: linear in the text, and near nothing for ASCII.
    """
    if text.isascii() and text.isprintable():
        return None
    return min(_faults(text), default=None)


def mark_forbidden(text: str) -> str:
    """Return a text with a mark such as `<U+200B>` in place of what breaks the rules."""
    if text.isascii() and text.isprintable():
        return text
    faults = sorted(_faults(text))
    if not faults:
        return text
    parts = []
    end = index = 0
    while index < len(faults):
        first = faults[index]
        parts.append(text[end : first.start])
        end = first.end
        index += 1
        while index < len(faults) and faults[index].start <= end:
            end = max(end, faults[index].end)
            index += 1
        more = f", {end - first.start - 1} more" if end - first.start > 1 else ""
        parts.append(f"<{_number(text[first.start])}{more}>")
    return "".join(parts) + text[end:]


def drop_pasted(text: str) -> str:
    """Return a typed text without the invisible characters that often come with a paste.

    Separators of lines and paragraphs become newlines.
    """
    return text if text.isascii() else _LINE_BREAKS.sub("\n", _PASTED.sub("", text))


def open_isolates(text: str) -> str:
    """Return the beginnings of the isolates that do not end in a part of a line."""
    if text.isascii():
        return ""
    opened: list[str] = []
    for character in _ISOLATE.findall(text):
        if character != _END:
            opened.append(character)
        elif opened:
            opened.pop()
    return "".join(opened)


def end_isolates(text: str) -> str:
    """Return a part of a line with the ends of the isolates that it begins; needed wherever a line is cut."""
    return text + _END * len(open_isolates(text))


def isolate(text: str) -> str:
    """Return a text that can't reorder what is beside it on the screen.

    It is put into an isolate if it has letters that are written from right to left: numbers and signs that
    follow such a letter would otherwise be shown before it.
    """
    return text if text.isascii() or not _RIGHT_TO_LEFT.search(text) else f"{_FIRST_STRONG}{text}{_END}"


def is_direction(text: str) -> bool:
    """Return whether a text consists of isolates and marks of the direction."""
    return _DIRECTIONS.fullmatch(text) is not None


def split_marks(text: str) -> list[str]:
    """Return the parts of a text: at odd places isolates and marks of direction, at even ones the rest."""
    return [text] if text.isascii() else _DIRECTIONS.split(text)


def is_visible(text: str) -> bool:
    """Return whether a text has anything to see."""
    match = _INVISIBLE.match(text)
    return match is None or match.end() < len(text)


def _faults(text: str) -> Iterator[Fault]:
    """Yield the faults of a text, each kind in order."""
    if _SUSPECT.search(text):
        yield from _forbidden(text)
    yield from _long_rows(text)


def _forbidden(text: str) -> Iterator[Fault]:
    """Yield forbidden characters, and isolates that are not balanced in their line."""
    opened: list[int] = []
    for match in _FOUND.finditer(text):
        start = match.start()
        if match[1]:
            yield Fault(start, start + 1, f"{_describe(match[1])} (character {start + 1})")
        elif match[2] == "\n":
            yield from (_unbalanced(text, each) for each in opened)
            opened.clear()
        elif match[2] != _END and match[2]:
            opened.append(start)
        elif match[2]:
            if opened:
                opened.pop()
            else:
                yield _unbalanced(text, start)
    yield from (_unbalanced(text, each) for each in opened)


def _unbalanced(text: str, index: int) -> Fault:
    other = "beginning" if text[index] == _END else "end"
    what = f"{_describe(text[index])} without its {other} in the line (character {index + 1})"
    return Fault(index, index + 1, what)


def _long_rows(text: str) -> Iterator[Fault]:
    """Yield rows of more than `MARKS_LIMIT` marks, without the marks that are allowed.

    Such a row covers at least one of every `MARKS_LIMIT` + 1 characters, so only these are looked at.
    """
    step = MARKS_LIMIT + 1
    end = 0
    for index in range(MARKS_LIMIT, len(text), step):
        if index < end or not _has_no_place(text[index]):
            continue
        start = index
        while start > end and _has_no_place(text[start - 1]):
            start -= 1
        end = index + 1
        while end < len(text) and _has_no_place(text[end]):
            end += 1
        if end - start > MARKS_LIMIT:
            what = f"more than {MARKS_LIMIT} combining marks in a row (from character {start + 1})"
            yield Fault(start + MARKS_LIMIT, end, what)


def _has_no_place(character: str) -> bool:
    """Return whether a character is shown with the one before it, or not at all."""
    return character >= _FIRST_MARK and (
        unicodedata.category(character)[0] == "M" or _NO_PLACE.match(character) is not None
    )


def _describe(character: str) -> str:
    return f"{_number(character)} {unicodedata.name(character, '')}".rstrip()


def _number(character: str) -> str:
    return f"U+{ord(character):04X}"
