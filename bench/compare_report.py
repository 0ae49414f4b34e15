"""Print the ratios of `compare.sh`: new against old, and old against old, round by round."""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path


def read(path: Path) -> dict[str, list[float]]:
    """Return the deliveries per CPU-second of each round, by workload."""
    figures: defaultdict[str, list[float]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        figures[result["Workload"]].append(result["PerCPUSec"])
    return figures


def main() -> None:
    """Print a row for each workload: median, smallest and largest ratio."""
    folder = Path(sys.argv[1])
    old, new, again = (read(folder / f"{side}.jsonl") for side in ("old", "new", "again"))
    print("| workload | rounds | old per CPU-s | new / old (min-max) | old / old (min-max) |")
    print("|---|---|---|---|---|")
    for workload, before in old.items():
        cells = []
        for after in (new[workload], again[workload]):
            ratios = [b / a for a, b in zip(before, after, strict=True)]
            cells.append(f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})")
        print(f"| {workload} | {len(before)} | {statistics.median(before):.0f} | {cells[0]} | {cells[1]} |")


main()
