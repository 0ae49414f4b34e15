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
    lines: list[str] = []
    current = ""
    width = 0
    for character in text.expandtabs(4):
        columns = get_cwidth(character)
        if current and width + columns > (others if lines else first):
            line, current = _cut(current)
            lines.append(line)
            width = get_cwidth(current)
        current += character
        width += columns
    return [*lines, current]


def _cut(line: str) -> tuple[str, str]:
    """Cut a full line at its last blank; in the middle when it has none."""
    head, blank, tail = line.rpartition(" ")
    if blank and head.strip():
        return head, tail
    return line, ""
