"""Long form of the crash test: `python -m tests.durability.crash_rounds --seconds 300`, or `make crash`.

The daemon is killed and restarted under the load of two processes; then all histories are checked.
Each round prints its seed and its counts.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from tests.support.authority import make_local_authority
from tests.support.crash_test import CrashTest
from tests.support.programs import print_line

ROUND_S = 60.0
"""Duration of a round, which has a store of its own: histories are compared in memory."""


def main() -> int:
    """Run rounds for the given time."""
    parser = argparse.ArgumentParser(description="Kill the daemon under load, again and again.")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=SystemRandom().getrandbits(32), help="of the first round")
    chosen = parser.parse_args()
    rounds = max(1, round(chosen.seconds / ROUND_S))
    for number in range(rounds):
        seed = chosen.seed + number
        print_line(f"round {number + 1} of {rounds}, seed {seed} ...")
        with tempfile.TemporaryDirectory() as name:
            authority = make_local_authority(Path(name))
            folder = Path(name, "daemon")
            folder.mkdir()
            print_line(f"  {CrashTest(folder, authority, seed).run(chosen.seconds / rounds, (0.2, 4.0))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
