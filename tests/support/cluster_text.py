"""Texts whose width terminals disagree on, and the widths that they give them."""

import itertools

import pyte
from hypothesis import strategies as st
from wcwidth import iter_graphemes, wcswidth, wcwidth

__all__ = ["CLUSTERS", "clustered_text", "most_columns", "rows_on_screen"]

CLUSTERS = {
    "heart with selector": "\u2764\ufe0f",
    "keycap": "1\ufe0f\u20e3",
    "watch as text": "\u231a\ufe0e",
    "letter with selector": "a\ufe0f",
    "flag": "\U0001f1e9\U0001f1ea",
    "half a flag": "\U0001f1e9",
    "flag of Scotland": "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "eye in a bubble": "\U0001f441\ufe0f\u200d\U0001f5e8\ufe0f",
    "skin tone": "\U0001f44d\U0001f3fd",
    "profession with skin tone": "\U0001f469\U0001f3fd\u200d\U0001f680",
    "joiner": "\u200d",
    "selector": "\ufe0f",
    "jamo": "\u1112\u1161\u11ab",
    "extended jamo": "\ua960\ud7b0\ud7cb",
    "conjunct": "\u0915\u094d\u0937\u093f",
    "spacing mark": "\u0b95\u0bc6\u0bbe",
    "wide": "\u65e5",
    "combining": "e\u0301\u0323",
    "number sign": "\u0600",
    "isolate": "\u2067\u05d0\u2069",
    "mark of direction": "\u200f",
}
"""One of each kind."""


def clustered_text() -> st.SearchStrategy[str]:
    """Return a strategy for texts of these clusters, of parts of them, blanks and letters."""
    parts = sorted(
        {character for cluster in CLUSTERS.values() for character in cluster} - set("\u2067\u2069")
    )
    pieces = st.sampled_from([*CLUSTERS.values(), *parts, " ", "a", "15:06 bob:"])
    return st.lists(pieces, max_size=30).map("".join)


def most_columns(row: str) -> int:
    """Return the most columns that any of these terminals gives to a row.

    One adds up characters; one joins clusters; one gives two columns to whatever has an emoji selector; and
    one gives spacing marks a column.
    """
    by_character = sum(max(wcwidth(character), 0) for character in row)
    joined = sum(map(wcswidth, iter_graphemes(row)))
    selected = sum(wcwidth(one) == 1 and two == "\ufe0f" for one, two in itertools.pairwise(row))
    spacing = by_character + sum(character in "\u093f\u0bc6\u0bbe\ud7b0\ud7cb" for character in row)
    return max(by_character, joined, by_character + selected, spacing)


def rows_on_screen(rows: list[str], columns: int) -> int:
    """Return how many rows of an emulated terminal these rows take."""
    screen = pyte.Screen(columns, 4 * len(rows) + 200)
    stream = pyte.Stream(screen)
    for row in rows:
        stream.feed(row)
        stream.feed("\r\n")
    return screen.cursor.y
