"""Lines in colours, in the rows of a terminal: none is wider than it, and all but the first are indented."""

from qscp_client.text import Kind, Line
from qscp_client.ui.wrap import cut, indent_for, width, wrap, wrap_behind

__all__ = ["draw", "draw_row", "draw_sentence"]


def draw_sentence(text: str, columns: int) -> str:
    """A sentence in rows, the further ones indented; with a newline at the end."""
    return "".join(text for _, text in draw(Line(Kind.NOTICE, "", text), columns))


def draw_row(line: Line, columns: int) -> list[tuple[str, str]]:
    """A line in one row, cut if need be."""
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
    """A line in colours and cut to the width of the terminal, with its newlines."""
    style = f"class:{line.kind.name.lower()}"
    is_message = line.kind in (Kind.MESSAGE, Kind.MENTION, Kind.OWN_MESSAGE)
    first, *others = line.text.split("\n")
    indent = indent_for(columns)
    rest = max(columns - indent, 1)
    heads, rows = wrap_behind(line.head, first, columns)
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
