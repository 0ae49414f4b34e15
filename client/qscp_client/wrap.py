"""Lines of a terminal: text cut to its width, so that the terminal never wraps by itself.

A line that the terminal wraps goes on in its first column, where a message could be made
to look like the beginning of somebody else's.
"""

from prompt_toolkit.utils import get_cwidth

__all__ = ["wrap"]


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
