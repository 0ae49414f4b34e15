"""Lines of a terminal: text cut to its width, so that the terminal never wraps by itself.

A line that the terminal wraps goes on in its first column, where a message could be made
to look like the beginning of somebody else's.
"""

from prompt_toolkit.utils import get_cwidth

from qscp_client.text import INDENT

__all__ = ["cut", "indent_for", "width", "wrap", "wrap_behind"]


def indent_for(columns: int) -> int:
    """Columns left free before all but the first row; fewer where the terminal is very narrow."""
    return min(len(INDENT), max(columns // 2, 1))


def width(text: str) -> int:
    """Columns that a text takes."""
    return get_cwidth(text)


def cut(text: str, columns: int) -> str:
    """As much of a text as fits into one row."""
    if get_cwidth(text) <= columns:
        return text
    part = text[: _fit(text, columns)]
    return part if get_cwidth(part) <= columns else ""


def wrap_behind(head: str, text: str, columns: int) -> tuple[list[str], list[str]]:
    """Cut a head, and a text that begins behind it.

    Args:
        head: What stands before the text; it may be wider than the terminal.
        text: The text, without newlines.
        columns: The width of the terminal.

    Returns:
        The rows of the head, and what stands behind the last of them with the further rows; all but the first
        row are for being indented by `indent_for`.
    """
    rest = max(columns - indent_for(columns), 1)
    heads = wrap(head, columns, rest) if head else []
    if not heads:
        return [], wrap(text, columns, rest)
    room = (columns if len(heads) == 1 else rest) - get_cwidth(heads[-1]) - 1
    word = text.split(" ", 1)[0]
    if room < max(get_cwidth(text[:1]), 1) or room < get_cwidth(word) <= rest:
        # A wide character needs two columns; the first word is not torn where it fits into a row of its own.
        return heads, ["", *wrap(text, rest, rest)]
    return heads, wrap(text, room, rest)


def wrap(text: str, first: int, others: int) -> list[str]:
    """Cut one line of text, between words where that is possible.

    Args:
        text: The text, without newlines.
        first: Columns that the first line may have.
        others: Columns that each further line may have.

    Returns:
        At least one line.
    """
    rest = text.expandtabs(4)
    lines: list[str] = []
    while (end := _fit(rest, others if lines else first)) < len(rest):
        blank = rest.rfind(" ", 0, end + 1)
        if rest[: max(blank, 0)].strip():
            lines.append(rest[:blank])
            rest = rest[blank + 1 :]
        else:
            lines.append(rest[:end])
            rest = rest[end:]
    return [*lines, rest]


def _fit(text: str, columns: int) -> int:
    """Return how many characters fit; one does in any case."""
    for index, character in enumerate(text):
        columns -= get_cwidth(character)
        if columns < 0:
            return max(index, 1)
    return len(text)
