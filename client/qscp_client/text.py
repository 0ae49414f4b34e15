"""What lines of text are made of, and how what came over the wire is made harmless in them."""

import dataclasses
import datetime as dt
import enum
from typing import Final

from qscp.text import strip_controls

__all__ = ["INDENT", "Kind", "Line", "clean", "describe_end", "local_time", "quote"]

INDENT: Final = " " * 6
"""In front of the further lines of a message: the width of its time."""

_SHORT: Final = 40
"""Characters shown of a message when it is enough to know which one it is."""


class Kind(enum.Enum):
    """What a line is about, for its colour or its stream."""

    MESSAGE = enum.auto()
    MENTION = enum.auto()
    OWN_MESSAGE = enum.auto()
    NOTICE = enum.auto()
    PROBLEM = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """Something to print; `head` may get a colour, `text` may have newlines."""

    kind: Kind
    head: str
    text: str
    mark: str = ""
    """How far an own line has come."""
    note: str = ""
    """What happened to the message: that it was edited, reactions."""

    def __str__(self) -> str:
        """Head and text, with further lines of the text indented."""
        text = f"{self.head} {self.text}".strip().replace("\n", "\n" + INDENT)
        return "  ".join(part for part in (text, self.tail) if part)

    @property
    def tail(self) -> str:
        """What stands behind the text."""
        return "  ".join(part for part in (self.note, self.mark) if part)


def clean(sentence: str) -> str:
    """Make one harmless line of a sentence or a name that the server sent."""
    return " ".join(strip_controls(sentence).split())


def quote(body: str) -> str:
    """A message of which it is enough to know which one it is."""
    text = clean(body)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}..."


def local_time(time_ms: int, *, dated: bool) -> str:
    """The time of day; with its date if it may be of another day, and is."""
    try:
        moment = dt.datetime.fromtimestamp(time_ms / 1000, tz=dt.UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        return "--:--"  # a time that no calendar has
    if dated and moment.date() != dt.datetime.now().astimezone().date():
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment:%H:%M}"


def describe_end(time_ms: int | None) -> str:
    """Until when something lasts; None is for ever."""
    end = "--:--" if time_ms is None else local_time(time_ms, dated=True)
    return "for ever" if end == "--:--" else f"until {end}"
