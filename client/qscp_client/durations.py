"""Durations, as users type and read them."""

import math
import re
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_PART: Final = re.compile(
    r"([0-9]{1,9})\s*(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w)(?=[\s0-9]|$)",
    re.IGNORECASE,
)
_LONGEST_S: Final = 100 * 365 * 86400
_NAMES: Final = ((86400, "day"), (3600, "hour"), (60, "minute"))
_TWO: Final = 2


def parse_duration(text: str) -> int | None:
    """Return the seconds of a duration like `30s`, `10 minutes` or `1h30m`; None if it is not one."""
    found = split_duration(text)
    return None if found is None or found[1] else found[0]


def split_duration(text: str) -> tuple[int, str] | None:
    """Split a text that begins with a duration.

    Args:
        text: A number with its unit, or several of them, the larger units first.

    Returns:
        The seconds, and the text after them; None if it does not begin with a duration of at least a second,
        or with one whose end is not clear.
    """
    seconds, rest, last = 0, text.strip(), math.inf
    while found := _PART.match(rest):
        size = _UNITS[found[2][0].lower()]
        if size >= last:
            return None
        seconds, rest, last = seconds + int(found[1]) * size, rest[found.end() :].lstrip(), size
    return (min(seconds, _LONGEST_S), rest) if seconds else None


def describe_duration(seconds: int) -> str:
    """Return it exactly, in the largest unit that can."""
    for size, unit in _NAMES:
        if seconds >= size and seconds % size == 0:
            return _count(seconds // size, unit)
    return _count(seconds, "second")


def describe_wait(seconds: float) -> str:
    """Return about how long to wait, never too little; more than a century is a century."""
    seconds = min(seconds, _LONGEST_S)
    for size, unit in _NAMES:
        if seconds >= _TWO * size:
            return _count(math.ceil(seconds / size), unit)
    return _count(max(math.ceil(seconds), 1), "second")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' if number != 1 else ''}"
