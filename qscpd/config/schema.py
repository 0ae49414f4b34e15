"""Flat table of the settings, derived from the model: `login.argon2.memory` and its kind."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, get_type_hints

from qscpd.config.model import Config
from qscpd.config.values import Kind

_FEW: Final = 8
"""Most alternatives that a sentence lists."""

_UNITS: Final = ("_s", "_bytes", "_kib")
"""Suffixes of field names that keys do not have."""


class Setting(NamedTuple):
    """One key of the configuration."""

    key: str
    """Key with its sections: `login.argon2.memory`."""
    fields: tuple[str, ...]
    """Path through the model: `("login", "argon2", "memory_kib")`."""
    kind: Kind[Any]
    """Parser and formatter; only the model knows the type of the values."""
    default: object

    @property
    def variable(self) -> str:
        """Environment variable of the setting."""
        return "QSCPD_" + self.key.replace(".", "__").upper()

    def get(self, config: Config) -> object:
        """Return the value in a configuration."""
        value: object = config
        for name in self.fields:
            value = getattr(value, name)
        return value

    def parse(self, text: str, base: Path) -> object:
        """Parse a value; see `Kind.parse`."""
        value: object = self.kind.parse(text, base)
        return value


def _key(field_name: str) -> str:
    for unit in _UNITS:
        field_name = field_name.removesuffix(unit)
    return field_name


def _walk(
    section: object, fields: tuple[str, ...], keys: tuple[str, ...]
) -> Iterable[Setting | tuple[str, ...]]:
    """Yield the settings of a section's defaults, and the keys of its sections."""
    if not dataclasses.is_dataclass(section) or isinstance(section, type):
        raise TypeError(f"{fields} is not a section")
    hints = get_type_hints(type(section), include_extras=True)
    for spec in dataclasses.fields(section):
        way, names = (*fields, spec.name), (*keys, _key(spec.name))
        default = getattr(section, spec.name)
        annotated = getattr(hints[spec.name], "__metadata__", ())
        if annotated:
            yield Setting(".".join(names), way, annotated[0], default)
        else:
            yield names
            yield from _walk(default, way, names)


_ALL: Final = tuple(_walk(Config(), (), ()))

SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {entry.key: entry for entry in _ALL if isinstance(entry, Setting)}
)
"""Every setting by its key, in the order of the model."""

SECTIONS: Final[frozenset[str]] = frozenset(
    ".".join(entry) for entry in _ALL if not isinstance(entry, Setting)
)
"""Every section by its key."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown word: the nearest known one, or all if they are few."""
    words = list(known)
    near = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"allowed are {', '.join(words)}" if len(words) <= _FEW else "`qscpd config show` prints all keys"
