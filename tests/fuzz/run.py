"""Fuzz every parser of the protocol: `python tests/fuzz/run.py 60`, or `make fuzz SECONDS=60`.

The seconds are shared by all targets, one after the other. `--target NAME` takes one of them.
What was found stays in var/fuzz and is the start of the next run.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run the targets and say which of them failed."""
    sys.path.insert(0, str(ROOT))
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - a script's path is its own folder

    parser = argparse.ArgumentParser(description="Fuzz the parsers of the protocol.")
    parser.add_argument("seconds", nargs="?", type=float, default=60)
    parser.add_argument("--seconds", dest="option", type=float, help="the same")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only this one")
    parser.add_argument("--folder", type=Path, default=ROOT / "var/fuzz", help="where corpus and crashes go")
    chosen = parser.parse_args()
    targets: list[str] = chosen.target or list(TARGETS)
    seconds: float = (chosen.option or chosen.seconds) / len(targets)
    failed = [name for name in targets if not fuzz(name, seconds, chosen.folder.resolve())]
    for name in failed:
        tell(f"{name} failed. The input is {chosen.folder}/{name}-*; this runs it once more:")
        tell(f"  python -m tests.fuzz.worker {name} FILE")
    return 1 if failed else 0


def tell(line: str) -> None:
    """Say something on stdout, before the next process does."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fuzz(name: str, seconds: float, folder: Path) -> bool:
    """Fuzz one target in a process of its own: atheris ends its process, and a crash may be one of C."""
    tell(f"{name}: {seconds:.0f} s")
    command = [sys.executable, "-m", "tests.fuzz.worker", name, str(seconds), str(folder)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
