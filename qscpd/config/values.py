"""Kinds of values: parsers of texts from the file, the environment or a flag, and formatters.

Each kind turns a text into a value or raises ValueError, whose text says what is wrong
and what is allowed. YAML's own scalar types are not used, because they read `010` as
8, `1:30` as 90 and `no` as false.
"""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

ValueT = TypeVar("ValueT")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_INTEGER = re.compile(r"-?[0-9]{1,12}")


class Kind(Protocol[ValueT]):
    """Parser and formatter of one kind of value."""

    def parse(self, text: str, base: Path) -> ValueT:
        """Parse a value.

        Args:
            text: The value as written.
            base: Base directory of a relative path.

        Raises:
            ValueError: The value is invalid; the text says why, and what is allowed.
        """

    def show(self, value: ValueT) -> str:
        """Return a text that `parse` reads to the same value."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Duration such as `500ms`, `30s`, `2m`, `1h` or `365d`, in seconds."""

    least: float
    most: float

    def parse(self, text: str, base: Path) -> float:
        """Return seconds within the range."""
        del base
        match = _DURATION.fullmatch(text)
        if match is None:
            hint = f" (did you mean {text}s?)" if text.isascii() and text.isdigit() else ""
            raise ValueError(
                f"{text!r} is not a duration{hint}; write a number and ms, s, m, h or d, such as 30s"
            )
        seconds = float(match[1]) * _SECONDS[match[2]]
        if not self.least <= seconds <= self.most:
            raise ValueError(
                f"{text} is out of range; allowed is {self.show(self.least)} to {self.show(self.most)}"
            )
        return seconds

    def show(self, value: float) -> str:
        """Return the value in the largest unit that makes it a whole number."""
        milliseconds = round(value * 1000)
        if not milliseconds:
            return "0s"
        for unit in ("d", "h", "m", "s"):
            size = round(_SECONDS[unit] * 1000)
            if milliseconds % size == 0:
                return f"{milliseconds // size}{unit}"
        return f"{milliseconds}ms"


@dataclass(frozen=True, slots=True)
class Size:
    """Size such as `64KiB`, as a number of `unit` bytes."""

    least: int
    most: int
    unit: int = 1

    def parse(self, text: str, base: Path) -> int:
        """Return the number of units, within the range."""
        del base
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not a size; write a whole number and B, KiB, MiB or GiB, such as 64KiB"
            )
        units, rest = divmod(int(match[1]) * _BYTES[match[2]], self.unit)
        if not self.least <= units <= self.most:
            raise ValueError(
                f"{text} is out of range; allowed is {self.show(self.least)} to {self.show(self.most)}"
            )
        if rest:
            raise ValueError(f"{text} is not a multiple of {Size(0, 0).show(self.unit)}")
        return units

    def show(self, value: int) -> str:
        """Return the value in the largest unit that makes it a whole number."""
        count = value * self.unit
        for unit in ("GiB", "MiB", "KiB"):
            if count and count % _BYTES[unit] == 0:
                return f"{count // _BYTES[unit]}{unit}"
        return f"{count}B"


@dataclass(frozen=True, slots=True)
class Integer:
    """Whole number in decimal digits."""

    least: int
    most: int

    def parse(self, text: str, base: Path) -> int:
        """Return a number within the range."""
        del base
        if _INTEGER.fullmatch(text) is None:
            raise ValueError(
                f"{text!r} is not a whole number; write decimal digits only, such as {self.least}"
            )
        number = int(text)
        if not self.least <= number <= self.most:
            raise ValueError(f"{text} is out of range; allowed is {self.least} to {self.most}")
        return number

    def show(self, value: int) -> str:
        """Return decimal digits."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def parse(self, text: str, base: Path) -> str:
        """Return the word; it must be one of the words, in lower case."""
        del base
        if text not in self.words:
            raise ValueError(f"{text!r} is not allowed; write one of {', '.join(self.words)}")
        return text

    def show(self, value: str) -> str:
        """Return the word."""
        return value


@dataclass(frozen=True, slots=True)
class FilePath:
    """Path of a file, made absolute."""

    longest: int = 4095
    """Longest path in bytes; the default is Linux's PATH_MAX without its final zero."""

    def parse(self, text: str, base: Path) -> Path:
        """Return the absolute path; `..` is resolved as text, without following symbolic links."""
        if not text.strip():
            raise ValueError("is empty; write a path")
        if any(character < " " or character == "\x7f" for character in text):
            raise ValueError(f"{text!r} contains control characters; write a path without them")
        if text.startswith("~"):
            raise ValueError(f"{text!r} begins with ~, which only a shell expands; write the full path")
        path = Path(os.path.normpath(base / text))
        if len(os.fsencode(path)) > self.longest:
            raise ValueError(f"{str(path)!r} is longer than {self.longest} bytes; choose a shorter path")
        return path

    def show(self, value: Path) -> str:
        """Return the absolute path."""
        return str(value)


@runtime_checkable
class ListKind(Protocol):
    """Kind of a list; in one text its items are separated by commas."""

    example: str
    """An item, as written."""
    can_be_empty: bool

    def parse_item(self, text: str) -> object:
        """Return one item.

        Raises:
            ValueError: It is invalid; the text says why, and what is allowed.
        """

    def show(self, value: Any) -> str:  # noqa: ANN401 - a tuple of what `parse_item` returns
        """Return the items, separated by commas."""


@dataclass(frozen=True, slots=True)
class Networks:
    """List of networks, possibly empty."""

    example: str = "192.0.2.0/24"
    can_be_empty: bool = True

    def parse_item(self, text: str) -> Network:
        """Return one network; an address is a network of its own."""
        try:
            return ipaddress.ip_network(text)
        except ValueError as error:
            hint = ""
            if "host bits set" in str(error):
                hint = f" (did you mean {ipaddress.ip_network(text, strict=False)}?)"
            raise ValueError(
                f"{text!r} is not a network{hint}; "
                "write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48, for example"
            ) from None

    def parse(self, text: str, base: Path) -> tuple[Network, ...]:
        """Return all networks; none for an empty text."""
        del base
        return tuple(self.parse_item(item.strip()) for item in text.split(",")) if text.strip() else ()

    def show(self, value: tuple[Network, ...]) -> str:
        """Return the networks, separated by commas."""
        return ", ".join(map(str, value))
