"""What a value may look like: the text of the file, the environment or a flag, and back.

Each kind turns a text into a value or raises ValueError, whose text says what is wrong
and what is allowed. YAML's own idea of a scalar is not asked, because it reads `010` as
8, `1:30` as 90 and `no` as false.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

__all__ = ["Choice", "Duration", "FilePath", "Integer", "Kind", "ListenAddress", "Listeners", "Size"]

ValueT = TypeVar("ValueT")

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_INTEGER = re.compile(r"-?[0-9]{1,12}")
_PORT_LIMIT = 65535
# A host name, an IPv4 address, or an IPv6 address with an optional zone in brackets.
_LISTEN = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[^\s:\[\]/@]+)):(?P<port>[0-9]{1,5})"
)


class Kind(Protocol[ValueT]):
    """How one kind of value is read and shown."""

    def parse(self, text: str, base: Path) -> ValueT:
        """Read a value.

        Args:
            text: As it was written.
            base: The directory that a relative path starts from.

        Raises:
            ValueError: Its text says what is wrong, and what is allowed.
        """

    def show(self, value: ValueT) -> str:
        """The text that `parse` would read the same value from."""


@dataclass(frozen=True, slots=True, order=True)
class ListenAddress:
    """Where the daemon accepts connections."""

    host: str
    """An address, or a name that is looked up at start; IPv6 without brackets."""
    port: int
    """0 lets the system choose a free one."""

    def __str__(self) -> str:
        """As it is written in the configuration."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time such as `500ms`, `30s`, `2m`, `1h` or `365d`, as seconds."""

    least: float
    most: float

    def parse(self, text: str, base: Path) -> float:
        """Seconds within the range."""
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
        """In the largest unit that keeps it a whole number."""
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
    """An amount of memory such as `64KiB`, as a number of `unit` bytes."""

    least: int
    most: int
    unit: int = 1

    def parse(self, text: str, base: Path) -> int:
        """The amount within the range, which is in units too."""
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
        """In the largest unit that keeps it a whole number."""
        count = value * self.unit
        for unit in ("GiB", "MiB", "KiB"):
            if count and count % _BYTES[unit] == 0:
                return f"{count // _BYTES[unit]}{unit}"
        return f"{count}B"


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number in decimal digits."""

    least: int
    most: int

    def parse(self, text: str, base: Path) -> int:
        """The number within the range."""
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
        """In decimal digits."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def parse(self, text: str, base: Path) -> str:
        """The word, which must be one of them in lower case."""
        del base
        if text not in self.words:
            raise ValueError(f"{text!r} is not allowed; write one of {', '.join(self.words)}")
        return text

    def show(self, value: str) -> str:
        """The word."""
        return value


@dataclass(frozen=True, slots=True)
class FilePath:
    """A file's path, made absolute."""

    longest: int = 4095
    """Bytes; the default is Linux's PATH_MAX without its final zero."""

    def parse(self, text: str, base: Path) -> Path:
        """The path; `..` is taken off as written, without a look at symbolic links."""
        if not text.strip():
            raise ValueError("is empty; write a path")
        if any(character < " " or character == "\x7f" for character in text):
            raise ValueError(f"{text!r} has control characters in it; write a path without them")
        if text.startswith("~"):
            raise ValueError(f"{text!r} begins with ~, which only a shell expands; write the path in full")
        path = Path(os.path.normpath(base / text))
        if len(os.fsencode(path)) > self.longest:
            raise ValueError(
                f"{str(path)!r} is longer than the {self.longest} bytes that such a path may have"
            )
        return path

    def show(self, value: Path) -> str:
        """The absolute path."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Listeners:
    """A list of addresses; as one text, they are separated by commas."""

    def parse_item(self, text: str) -> ListenAddress:
        """One address with its port."""
        match = _LISTEN.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not an address and port; "
                "write such as 127.0.0.1:7727, [::1]:7727 or localhost:7727"
            )
        port = int(match["port"])
        if port > _PORT_LIMIT:
            raise ValueError(
                f"{text!r} has a port out of range; allowed is 0 (any free one) to {_PORT_LIMIT}"
            )
        return ListenAddress(match["ipv6"] or match["host"], port)

    def parse(self, text: str, base: Path) -> tuple[ListenAddress, ...]:
        """All of them, at least one."""
        del base
        return tuple(self.parse_item(item.strip()) for item in text.split(","))

    def show(self, value: tuple[ListenAddress, ...]) -> str:
        """Separated by commas."""
        return ", ".join(map(str, value))
