"""Fuzz one target for some seconds: with atheris if installed, otherwise with our own mutations.

    python -m tests.fuzz.worker TARGET SECONDS FOLDER
    python -m tests.fuzz.worker TARGET FILE           # run a saved input again

FOLDER keeps the inputs that reached new code, and the failing input as `crash-*`.
"""

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

try:
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # has no types
except ImportError:  # it is optional: it has no wheels for some platforms
    atheris = None

from tests.fuzz.seeds import DICTIONARY, mutations, seeds_of

__all__ = ["main"]

Target = Callable[[bytes], None]


def main(arguments: list[str]) -> int:
    """Run a target; the exit code is not 0 if it failed."""
    name, *rest = arguments
    if len(rest) == 1:
        load(name)(Path(rest[0]).read_bytes())
        return 0
    seconds, folder = float(rest[0]), Path(rest[1])
    corpus = folder / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    if atheris is not None:
        for seed in seeds_of(name):
            (corpus / f"seed-{hashlib.sha256(seed).hexdigest()[:16]}").write_bytes(seed)
        fuzz_with_atheris(name, seconds, folder, corpus)
    return fuzz_by_ourselves(name, seconds, folder)


def load(name: str) -> Target:
    """Import the targets late, so that atheris can instrument their imports."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - see above

    return TARGETS[name]


def fuzz_with_atheris(name: str, seconds: float, folder: Path, corpus: Path) -> None:
    """Fuzz with guidance by coverage; ends the process with the result."""
    with atheris.instrument_imports(include=["qscp", "qscpd", "qscp_client"]):
        target = load(name)
    tokens = folder / "tokens"
    escaped = ("".join(f"\\x{byte:02x}" for byte in token[:60]) for token in DICTIONARY)
    tokens.write_text("".join(f'"{token}"\n' for token in escaped))
    options = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-artifact_prefix={folder}/{name}-",
        f"-dict={tokens}",
        "-max_len=20000",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target)
    atheris.Fuzz()


def fuzz_by_ourselves(name: str, seconds: float, folder: Path) -> int:
    """Run random mutations until the time is over or one of them fails."""
    target, seed = load(name), time.time_ns()
    sys.stdout.write(f"{name}: no atheris, random mutations with seed {seed}\n")
    end = time.monotonic() + seconds
    for count, data in enumerate(mutations(Random(seed), seeds_of(name))):  # noqa: B007, S311 - no secret; the count is printed below
        try:
            target(data)
        except BaseException:
            (folder / f"{name}-crash-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise
        if time.monotonic() >= end:
            break
    sys.stdout.write(f"{name}: {count} inputs\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
