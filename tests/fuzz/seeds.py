"""Seeds for fuzzing: valid input of every kind, tokens, and known traps for parsers."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Final

__all__ = ["DICTIONARY", "SEEDS", "mutations", "seeds_of"]

_ROOT: Final = Path(__file__).parents[2]
_DOCUMENT: Final = (_ROOT / "docs/protocol.md").read_text(encoding="utf-8")
_LINES: Final = [line.encode() for line in re.findall(r"^(?:[CS]: )?(\{.*\})$", _DOCUMENT, re.MULTILINE)]

DICTIONARY: Final[tuple[bytes, ...]] = (
    *sorted({word for line in _LINES for word in re.findall(rb'"[a-z_]+":?', line)}),
    *(b'{ } [ ] : , " \\ true false null NaN Infinity -0 1e999 1.5 -1 9007199254740992'.split()),
    b"\n",
    b"\r\n",
    b'\\u0000"',
    b'"\\ud800"',
    b'"\\ud83d\\ude00"',
    b"\x00",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\xe2\x84\xaa",
    b"\xd0\xb0",
    b"#",
    b"@",
    b"@a",
    b"@a." * 200,
    b"[" * 300,
    b"9" * 400,
    b"x" * 4096,
)
"""Tokens of the protocol, and tokens that are hard to parse."""

SEEDS: Final[tuple[bytes, ...]] = (
    b"",
    *_LINES,
    b"\x05" + b"\n".join(_LINES) + b"\n",
    b'\x02{"type":"auth","user":"a","password":"b"}\n{"type":"ping"}\n{"type":"bye"}\n',
    b'\x00{"type":"auth","user":"","password":"b"}\n{"type":"auth","user":"a","password":"b"}\n{"type":"bye"}\n',
    b"\x03\x04abcde\nabcdef\nabc\n",
    b"alice.o-neill_2",
    b" #Dev.2_x-y",
    "@alice, (@Bob) «@carol» @dave. bob@example.org @@erin 你好@frank @b\u0430ob".encode(),
    "\U0001f469\u200d\U0001f4bb".encode(),
    "Grüße,\n\tbis später \U0001f600".encode(),
    b"019ab3d2c4e57a01b2c3d4e5f6071829",
)
"""The examples of the specification, alone and as streams, names and texts."""


_FOLDER: Final = Path(__file__).parent / "corpus"

_OTHER_INPUT: Final = frozenset(path.name for path in _FOLDER.iterdir())
"""Targets whose input is nothing of the protocol; each has a folder of seeds."""


_SAMPLES: Final = {
    "daemon_config": [_ROOT / "config/qscpd.sample.yaml"],
    "client_config": [_ROOT / "config/client.sample.yaml"],
}
"""Further seeds."""


def seeds_of(target: str) -> tuple[bytes, ...]:
    """Return the seeds of a target."""
    if target not in _OTHER_INPUT:
        return SEEDS
    paths = [*sorted((_FOLDER / target).iterdir()), *_SAMPLES.get(target, ())]
    return (b"", *(path.read_bytes() for path in paths))


def mutations(random: Random, seeds: Sequence[bytes] = SEEDS) -> Iterator[bytes]:
    """Yield mutated seeds without end; the same ones for the same state of `random`."""
    while True:
        data = bytearray(random.choice(seeds))
        for _ in range(random.randint(1, 3)):
            _mutate(data, random, seeds)
        yield bytes(data)


def _mutate(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    """Change bytes in one place: delete, repeat, flip, or insert a token or a part of another seed."""
    start = random.randint(0, len(data))
    end = min(len(data), start + random.choice((0, 1, 1, 2, 5, 40)))
    other = random.choice(seeds)
    data[start:end] = random.choice(
        (
            b"",
            bytes(data[start:end]) * random.randint(2, 40),
            bytes([random.randrange(256)]),
            random.choice(DICTIONARY),
            random.choice(DICTIONARY),
            other[random.randint(0, len(other)) :],
        )
    )
