"""Wrap styled lines to the terminal width with a hanging indent.

A line that the terminal wraps itself goes on in the first column. There, a message could be made to look like
the beginning of another user's.
"""

from typing import Final

from qscp.characters import end_isolates, isolate, open_isolates, split_marks
from qscp_client.text import INDENT, Kind, Line
from qscp_client.ui.clusters import has_zero_width, split, width

_DEEPEST: Final = 60
"""Nested isolates that go on in the next row; deeper ones change nothing on a screen (UAX #9, BD2)."""


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
    return _styled(f"class:{line.kind.name.lower()}", head) + _styled("", f"{isolate(text)}{tail}\n")


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
    if is_message:
        rows = [isolate(row) for row in rows]
    if tail := line.tail:
        before = (width(heads[-1]) + 1 if heads else 0) if len(rows) == 1 else 0
        is_first = len(rows) == 1 and len(heads) < 2  # noqa: PLR2004 - one row of head
        room = (columns if is_first else rest) - before - width(rows[-1])
        rows[-1:] = [f"{rows[-1]}  {tail}"] if room > width(tail) + 2 else [rows[-1], *wrap(tail, rest, rest)]
    new_row = f"\n{' ' * indent}"
    head = new_row.join(heads) + (" " if rows[0] else "") if heads else ""
    return _styled(style, head) + _styled("" if is_message else style, new_row.join(rows) + "\n")


def _styled(style: str, text: str) -> list[tuple[str, str]]:
    """Return a text as styled fragments; marks of the direction have their own, in a style that nobody sees.

    Some terminals drop what follows an invisible character, up to the next escape sequence.
    """
    parts = split_marks(text)
    return [
        (f"{style} class:direction".lstrip() if each % 2 else style, part) for each, part in enumerate(parts)
    ]


def indent_for(columns: int) -> int:
    """Return the columns of the hanging indent; fewer in a very narrow terminal."""
    return min(len(INDENT), max(columns // 2, 1))


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
    usable = room - _spare(text)
    word = text.split(" ", 1)[0]
    if usable < max(width(text[:1]), 1) or usable < width(word) <= rest:
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
    spare = _spare(text)
    first, others = max(first - spare, 1), max(others - spare, 1)
    lines: list[str] = []
    while (end := _fit(rest, others if lines else first)) < len(rest):
        blank = rest.rfind(" ", 0, end + 1)
        if rest[: max(blank, 0)].strip():
            lines.append(rest[:blank])
            rest = rest[blank + 1 :]
        else:
            lines.append(rest[:end])
            rest = rest[end:]
    return _balanced([*lines, rest])


def _spare(text: str) -> int:
    """Return the columns to leave free at the end of each row.

    Some terminals wrap before a character without a column if the row is full. `draw` adds isolates, too.
    """
    return int(has_zero_width(text) or isolate(text) != text)


def _balanced(rows: list[str]) -> list[str]:
    """Return rows of one line, with isolates that end in each row and go on in the next."""
    balanced = []
    opened = ""
    for row in rows:
        whole = opened + row
        balanced.append(end_isolates(whole))
        opened = open_isolates(whole)[:_DEEPEST]
    return balanced


def _fit(text: str, columns: int) -> int:
    """Return how many characters fit; at least one, and whole clusters unless one is wider than the row."""
    end = 0
    for cluster, taken in split(text):
        if taken > columns:
            return end or _fit_part(cluster, columns)
        columns -= taken
        end += len(cluster)
    return end


def _fit_part(cluster: str, columns: int) -> int:
    """Return how many characters of a cluster fit; at least one."""
    end = 1
    while end < len(cluster) and width(cluster[: end + 1]) <= columns:
        end += 1
    return end
