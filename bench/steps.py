"""CPU time of the store's longest steps, with texts that cost it most: `python bench/steps.py`.

Half of the texts have 16 KB in which no word comes twice. They come faster than they are folded; then the
rest is folded, what one account wrote is erased, and the rest is pruned. A commit has the deadline that the
daemon's have.
"""

import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from qscpd.domain.model import Keep, NewMessage
from qscpd.store import open_store

SENDERS: Final = 4
RECEIVERS: Final = 20
COMMITS: Final = 100
MESSAGES: Final = 8
DEADLINE_S: Final = 0.01

T = TypeVar("T")

_rng = random.Random(1)  # noqa: S311 - no secret


class Times:
    """CPU times of steps, by name."""

    def __init__(self) -> None:
        self._taken: dict[str, list[float]] = defaultdict(list)

    def take(self, name: str, step: Callable[[], T]) -> T:
        """Do a step, and note its time."""
        begin = time.thread_time()
        result = step()
        self._taken[name].append(time.thread_time() - begin)
        return result

    def report(self) -> None:
        """Print number, median and longest of each kind of step."""
        for name, taken in self._taken.items():
            taken.sort()
            median, longest = taken[len(taken) // 2], taken[-1]
            print(
                f"{name:8} {len(taken):5} steps, ms: median {median * 1e3:6.2f}, longest {longest * 1e3:6.2f}"
            )


def text(number: int) -> str:
    """Return a short text or a long one of different words."""
    if number // MESSAGES % 2:
        return " ".join(f"{_rng.getrandbits(32):08x}" for _ in range(1_777))
    return f"short message {number}"


def main() -> None:
    """Run the command line."""
    times, keep = Times(), Keep()
    with tempfile.TemporaryDirectory(prefix="qscp-steps-") as folder:
        store = open_store(f"sqlite://{Path(folder) / 'q.db'}", edit_within_ms=3_600_000)
        for number in range(SENDERS + RECEIVERS):
            store.add_account(f"user{number}", "x")
        for commit in range(COMMITS):
            numbers = range(commit * MESSAGES, (commit + 1) * MESSAGES)
            left = [
                NewMessage(1 + each % SENDERS, 1 + SENDERS + each % RECEIVERS, f"{each:032x}", text(each))
                for each in numbers
            ]
            while left:
                outcomes, _ = times.take(
                    "commit",
                    lambda left=left: store.append(left, deadline_s=time.monotonic() + DEADLINE_S),  # type: ignore[misc]
                )
                left = left[len(outcomes) :]
            times.take("fold", lambda: store.housekeeping.step(keep))
        while times.take("erase", lambda: store.housekeeping.erase_step(1)):
            pass
        while times.take("prune", lambda: store.housekeeping.step(Keep(messages=1))):
            pass
        store.close()
    times.report()


if __name__ == "__main__":
    main()
