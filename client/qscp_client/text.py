"""Lines of text on a screen or in a pipe, with everything that came over the wire made harmless."""

import dataclasses
import datetime as dt
import enum
from typing import Final

from qscp.characters import end_isolates, isolate, mark_forbidden

INDENT: Final = " " * 6
"""Before the further lines of a message: the width of its time."""

_NO_TIME: Final = "--:--"
"""For a time that no calendar has."""

_SHORT: Final = 40
"""Characters of a quotation."""


class Kind(enum.Enum):
    """Kind of a line, for its colour or its stream."""

    MESSAGE = enum.auto()
    MENTION = enum.auto()
    OWN_MESSAGE = enum.auto()
    NOTICE = enum.auto()
    PROBLEM = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line to print; `head` can get a colour, `text` can have newlines."""

    kind: Kind
    head: str
    text: str
    mark: str = ""
    """Delivery state of an own message."""
    note: str = ""
    """Changes of the message: that it was edited, reactions."""

    def __str__(self) -> str:
        """Head and text, with further lines of the text indented."""
        text = f"{self.head} {self.text}".strip().replace("\n", "\n" + INDENT)
        return "  ".join(part for part in (text, self.tail) if part)

    @property
    def tail(self) -> str:
        """What is shown after the text."""
        return "  ".join(part for part in (self.note, self.mark) if part)


def clean(sentence: str) -> str:
    """Return a text of the server as one line, with marks in place of forbidden characters.

    What is written from right to left does not reorder the sentence that it is put into.
    """
    return isolate(" ".join(mark_forbidden(sentence).split()))


def quote(body: str) -> str:
    """Return the beginning of a message, to show which one it is."""
    text = clean(body)
    return text if len(text) <= _SHORT else f"{end_isolates(text[:_SHORT])}..."


def local_time(time_ms: int, *, dated: bool) -> str:
    """Return the time of day; with the date if `dated` and it is of another day."""
    try:
        moment = dt.datetime.fromtimestamp(time_ms / 1000, tz=dt.UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        return _NO_TIME
    if dated and moment.date() != dt.datetime.now().astimezone().date():
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment:%H:%M}"


def describe_end(time_ms: int | None) -> str:
    """Return "until" and a time; empty for None, and for a time that no calendar has: both are for ever."""
    end = _NO_TIME if time_ms is None else local_time(time_ms, dated=True)
    return "" if end == _NO_TIME else f"until {end}"
