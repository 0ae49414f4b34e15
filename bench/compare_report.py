"""Print the ratios of `compare.sh`: new against old, and old against old, round by round."""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

_SUSTAINED: Final = (
    ("Path", "path, us"),
    ("Deferred", "deferred, us"),
    ("Total", "total, us"),
    ("CaughtUp", "caught up after, s"),
    ("Disk", "bytes on disk"),
    ("Written", "bytes written"),
)
"""Fields of a sustained measurement, a message each, and their names in the table."""


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the measurements of each round, by workload."""
    figures: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        figures[result["Workload"]].append(result)
    return figures


def ratios(before: list[float], after: list[float]) -> str:
    """Return the median, smallest and largest ratio of the rounds."""
    each = [b / a for a, b in zip(before, after, strict=True) if a]
    if not each:
        return ""
    return f"{statistics.median(each):.3f} ({min(each):.3f}-{max(each):.3f})"


def print_ratios(sides: list[dict[str, list[dict[str, Any]]]]) -> None:
    """Print a row for each workload."""
    print("| workload | rounds | old per CPU-s | new / old (min-max) | old / old (min-max) |")
    print("|---|---|---|---|---|")
    for workload in sides[0]:
        old, new, again = ([result["PerCPUSec"] for result in side[workload]] for side in sides)
        row = (workload, len(old), f"{statistics.median(old):.0f}", ratios(old, new), ratios(old, again))
        print("|", " | ".join(map(str, row)), "|")


def print_sustained(sides: list[dict[str, list[dict[str, Any]]]]) -> None:
    """Print what a message cost in all, for each workload that says so."""
    workloads = [workload for workload, results in sides[0].items() if "Sustained" in results[0]]
    if not workloads:
        return
    print("\n| workload | a message | old | new | new / old (min-max) | old / old (min-max) |")
    print("|---|---|---|---|---|---|")
    for workload in workloads:
        for field, name in _SUSTAINED:
            old, new, again = (
                [result["Sustained"].get(field, 0.0) for result in side[workload]] for side in sides
            )
            medians = (f"{statistics.median(values):.2f}" for values in (old, new))
            print("|", " | ".join((workload, name, *medians, ratios(old, new), ratios(old, again))), "|")


def main() -> None:
    """Print the tables."""
    folder = Path(sys.argv[1])
    sides = [read(folder / f"{side}.jsonl") for side in ("old", "new", "again")]
    print_ratios(sides)
    print_sustained(sides)


main()
