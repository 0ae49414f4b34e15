"""Wrap styled lines to the terminal width with a hanging indent.

A line that the terminal wraps itself goes on in the first column. There, a message could be made to look like
the beginning of another user's.
"""

from wcwidth import wcwidth

from qscp.characters import end_isolates
from qscp_client.text import INDENT, Kind, Line


def draw_sentence(text: str, columns: int) -> str:
    """Return a sentence in rows, the further ones indented; with a newline at the end."""
    return "".join(text for _, text in draw(Line(Kind.NOTICE, "", text), columns))


def draw_row(line: Line, columns: int) -> list[tuple[str, str]]:
    """Return a line in one row, cut if it is too long."""
    first, *others = line.text.split("\n")
    room = columns - 1
    head = cut(f"{line.head} ", room)
    room -= width(head)
    tail = cut(f"  {line.tail}", room)
    room -= width(tail)
    text = first.expandtabs(4)
    if others or width(text) > room:
        text = f"{cut(text, room - 3)}..." if room > len("...") else ""
    return [(f"class:{line.kind.name.lower()}", head), ("", f"{text}{tail}\n")]


def draw(line: Line, columns: int) -> list[tuple[str, str]]:
    """Return a line in rows, as styled fragments with newlines."""
    style = f"class:{line.kind.name.lower()}"
    is_message = line.kind in (Kind.MESSAGE, Kind.MENTION, Kind.OWN_MESSAGE)
    first, *others = line.text.split("\n")
    indent = indent_for(columns)
    rest = max(columns - indent, 1)
    heads, rows = wrap_after(line.head, first, columns)
    for other in others:
        rows += wrap(other, rest, rest)
    if tail := line.tail:
        before = (width(heads[-1]) + 1 if heads else 0) if len(rows) == 1 else 0
        is_first = len(rows) == 1 and len(heads) < 2  # noqa: PLR2004 - one row of head
        room = (columns if is_first else rest) - before - width(rows[-1])
        rows[-1:] = [f"{rows[-1]}  {tail}"] if room > width(tail) + 2 else [rows[-1], *wrap(tail, rest, rest)]
    new_row = f"\n{' ' * indent}"
    head = new_row.join(heads) + (" " if rows[0] else "") if heads else ""
    return [(style, head), ("" if is_message else style, new_row.join(rows) + "\n")]


def indent_for(columns: int) -> int:
    """Return the columns of the hanging indent; fewer in a very narrow terminal."""
    return min(len(INDENT), max(columns // 2, 1))


def width(text: str) -> int:
    """Return the columns that a text takes, counted as prompt_toolkit does: character by character."""
    return sum(max(wcwidth(character), 0) for character in text)


def cut(text: str, columns: int) -> str:
    """Return as much of a text as fits into one row."""
    if width(text) <= columns:
        return text
    part = end_isolates(text[: _fit(text, columns)])
    return part if width(part) <= columns else ""


def wrap_after(head: str, text: str, columns: int) -> tuple[list[str], list[str]]:
    """Wrap a head, and a text that begins after it.

    Args:
        head: The head; it can be wider than the terminal.
        text: The text, without newlines.
        columns: The width of the terminal.

    Returns:
        The rows of the head, and the text after the last of them with the further rows. All but the first row
        are to be indented by `indent_for`.
    """
    rest = max(columns - indent_for(columns), 1)
    heads = wrap(head, columns, rest) if head else []
    if not heads:
        return [], wrap(text, columns, rest)
    room = (columns if len(heads) == 1 else rest) - width(heads[-1]) - 1
    word = text.split(" ", 1)[0]
    if room < max(width(text[:1]), 1) or room < width(word) <= rest:
        # The first word is not cut if it fits into a row of its own.
        return heads, ["", *wrap(text, rest, rest)]
    return heads, wrap(text, room, rest)


def wrap(text: str, first: int, others: int) -> list[str]:
    """Wrap one line of text, between words where that is possible.

    Args:
        text: The text, without newlines.
        first: Columns of the first row.
        others: Columns of each further row.

    Returns:
        At least one row.
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
    return [end_isolates(line) for line in (*lines, rest)]


def _fit(text: str, columns: int) -> int:
    """Return how many characters fit; at least one."""
    for index, character in enumerate(text):
        columns -= width(character)
        if columns < 0:
            return max(index, 1)
    return len(text)
