"""Fuzz every parser of the protocol: `python tests/fuzz/run.py 60`, or `make fuzz SECONDS=60`.

All targets run one after the other and share the seconds; `--target NAME` selects one.
Inputs that reached new code stay in var/fuzz, where the next run starts.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run the targets and print those that failed."""
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
        show(f"{name} failed. The input is {chosen.folder}/{name}-*; this runs it once more:")
        show(f"  python -m tests.fuzz.worker {name} FILE")
    return 1 if failed else 0


def show(line: str) -> None:
    """Print a line at once, before the next process prints."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fuzz(name: str, seconds: float, folder: Path) -> bool:
    """Fuzz one target in its own process: atheris ends its process, and C code can crash."""
    show(f"{name}: {seconds:.0f} s")
    command = [sys.executable, "-m", "tests.fuzz.worker", name, str(seconds), str(folder)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
