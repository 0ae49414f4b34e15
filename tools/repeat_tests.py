"""Run chosen tests again and again beside a load on every processor, until one fails.

    python tools/repeat_tests.py --times 100 tests/client/state -k killed

What `make test-repeat` does. The load has the lowest priority: it takes what is left, so that threads and
processes run in another order and later than usual. Exits with pytest's code.
"""

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

_LOAD: Final = "import os; os.nice(19)\nwhile True: pass"


@contextlib.contextmanager
def _load(processes: int) -> Iterator[None]:
    """Keep some processors busy."""
    running = [subprocess.Popen([sys.executable, "-c", _LOAD]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _main() -> int:
    parser = argparse.ArgumentParser(description="Run tests again and again beside a load, until one fails.")
    parser.add_argument("--times", type=int, default=100, metavar="N", help="how often at most (100)")
    parser.add_argument(
        "--load", type=int, default=os.cpu_count(), metavar="N", help="processes that compute"
    )
    options, chosen = parser.parse_known_args()
    if not chosen:
        parser.error("which tests? Name files, or give -k EXPRESSION")
    command = [sys.executable, "-m", "pytest", "-q", "-x", *chosen]
    with _load(options.load):
        for number in range(1, options.times + 1):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(done.stdout, done.stderr, f"run {number} of {options.times} failed", sep="\n")
                return done.returncode
            print(f"run {number} of {options.times}: {done.stdout.splitlines()[-1]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
