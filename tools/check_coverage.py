"""Compare the coverage of each package with its floor; part of `make coverage` and of CI.

`make test COVERAGE=1` leaves the measurement in `.coverage`. The floors, in per cent of the lines, are
`[tool.qscp.coverage]` in pyproject.toml. Exits with 1 when a package is below its floor or has none.
"""

import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Final

import coverage

_ROOTS: Final = ("qscp", "qscpd", "client/qscp_client")
_DEPTH: Final = 2
"""`qscpd.store.sqlite` counts for `qscpd.store`."""


def _package(module: Path) -> str:
    """Name the package that a module counts for; a program's own modules count for the program."""
    root = next(root for root in map(Path, _ROOTS) if module.is_relative_to(root))
    folders = module.parent.relative_to(root.parent).parts
    return ".".join(folders[:_DEPTH] if root.name != "qscp" else folders[:1])


def _measured() -> dict[str, tuple[int, int]]:
    """Return covered lines and all lines of each package."""
    measurement = coverage.Coverage()
    measurement.load()
    lines: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for file in measurement.get_data().measured_files():
        _, statements, _, missing, _ = measurement.analysis2(file)
        counted = lines[_package(Path(file).relative_to(Path.cwd()))]
        counted[0] += len(statements) - len(missing)
        counted[1] += len(statements)
    return {package: (covered, total) for package, (covered, total) in lines.items() if total}


def _main() -> int:
    with Path("pyproject.toml").open("rb") as file:
        floors: dict[str, int] = tomllib.load(file)["tool"]["qscp"]["coverage"]
    measured = _measured()
    faults = [f"{package}: has a floor, and no lines were measured" for package in floors.keys() - measured]
    print(f"{'package':<20} {'lines':>6} {'covered':>8} {'floor':>6}")
    for package, (covered, total) in sorted(measured.items()):
        percent = 100 * covered / total
        floor = floors.get(package)
        print(f"{package:<20} {total:>6} {percent:>7.2f}% {'none' if floor is None else f'{floor}%':>6}")
        if floor is None:
            faults.append(f'{package}: add "{package}" = {int(percent)} to [tool.qscp.coverage]')
        elif percent < floor:
            faults.append(f"{package}: {percent:.2f}% of the lines are covered, {floor}% is the floor")
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(_main())
