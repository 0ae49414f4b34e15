"""Widths of grapheme clusters, such as an emoji with its modifiers.

Terminals disagree on them: a heart with a variation selector has one column or two, a family of emoji two or
six. So a row is measured by the most columns that any terminal gives it. Where a cursor has to be placed, a
cluster with a disputed width is shown by a stand-in.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from wcwidth import iter_graphemes, wcswidth, wcwidth

from qscp.characters import is_direction

_EMOJI_SELECTOR: Final = "\ufe0f"
_WIDE: Final = 2

_SELECTED: Final = re.compile(f"(.){_EMOJI_SELECTOR}", re.DOTALL)
"""A character that is to be shown as an emoji."""

_SPACING: Final = "Mc"
"""Category of marks that have no column of their own in some terminals, and one in others."""

_EXTENDED_JAMO: Final = ("\ud7b0", "\ud7ff")
"""Vowels and finals of Hangul that older terminals do not join to a syllable."""

_INDICATORS: Final = ("\U0001f1e6", "\U0001f1ff")
"""Regional indicators: two of them are a flag."""

_DISPUTED: Final = re.compile(
    f"[\u200d\ufe0e{_EMOJI_SELECTOR}\u20e3{'-'.join(_INDICATORS)}\U0001f3fb-\U0001f3ff]"
)
"""Parts of emoji; a cluster without one has the same width everywhere, or nearly so."""


def width(text: str) -> int:
    """Return the most columns that a terminal gives to a text."""
    if text.isascii():
        return sum(map(_character_width, text)) if not text.isprintable() else len(text)
    return sum(columns for _, columns in split(text))


def split(text: str) -> Iterator[tuple[str, int]]:
    """Yield the clusters of a text, each with the most columns that a terminal gives it."""
    for cluster in iter_graphemes(text):
        columns = sum(map(_character_width, cluster))
        if len(cluster) > 1:
            # A selector can widen what is before it, also where nothing else of the cluster is joined.
            wide = sum(_character_width(each) >= _WIDE for each in _SELECTED.findall(cluster))
            columns = max(columns - wide, wcswidth(cluster))
        yield cluster, columns


def has_zero_width(text: str) -> bool:
    """Return whether a text has characters without a column; some terminals wrap before such a one."""
    return not text.isascii() and any(wcwidth(character) == 0 for character in text)


def settle(text: str) -> str:
    """Return a text with stand-ins, so that all terminals give it the same width."""
    return text if text.isascii() else "".join(map(stand_in, iter_graphemes(text)))


def stand_in(cluster: str) -> str:
    """Return what to show for a cluster: itself if its width is certain, else its base or flag's letters.

    Marks of the direction are left out, as the line editor puts its own escapes between characters.
    """
    if is_direction(cluster):
        return ""
    if not _DISPUTED.search(cluster):
        return cluster
    if _is_indicator(cluster[0]):
        letters = filter(_is_indicator, cluster)
        return "".join(chr(ord("A") + ord(each) - ord(_INDICATORS[0])) for each in letters)
    columns = sum(max(wcwidth(character), 0) for character in cluster)
    base = max(wcwidth(cluster[0]), 0)
    if not base and _DISPUTED.match(cluster):
        return ""  # a part of an emoji without its base, which it might get from another stand-in
    if columns == wcswidth(cluster) and (base == _WIDE or _EMOJI_SELECTOR not in cluster):
        return cluster
    return cluster[0]


def _character_width(character: str) -> int:
    columns = max(wcwidth(character), 0)
    if columns or character.isascii():
        return columns
    if character == _EMOJI_SELECTOR:
        return 1
    first, last = _EXTENDED_JAMO
    return int(unicodedata.category(character) == _SPACING or first <= character <= last)


def _is_indicator(character: str) -> bool:
    first, last = _INDICATORS
    return first <= character <= last
