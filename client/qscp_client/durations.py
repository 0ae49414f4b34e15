"""How long something lasts, as people type and read it."""

import math
import re
from typing import Final

__all__ = ["describe_duration", "describe_wait", "parse_duration"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_S: Final = 100 * 365 * 86400
_NAMES: Final = ((86400, "day"), (3600, "hour"), (60, "minute"))
_TWO: Final = 2


def parse_duration(text: str) -> int | None:
    """Return the seconds of what was typed as `30s`, `10m`, `2h`, `7d` or `1w`; None if it is none."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text.lower())
    return min(int(found[1]) * _UNITS[found[2]], _LONGEST_S) if found else None


def describe_duration(seconds: int) -> str:
    """Say it exactly, in the largest unit that can."""
    for size, unit in _NAMES:
        if seconds >= size and seconds % size == 0:
            return _count(seconds // size, unit)
    return _count(seconds, "second")


def describe_wait(seconds: float) -> str:
    """Say about how long to wait, never too little."""
    for size, unit in _NAMES:
        if seconds >= _TWO * size:
            return _count(math.ceil(seconds / size), unit)
    return _count(max(math.ceil(seconds), 1), "second")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' if number != 1 else ''}"
