"""Commands and environments for programs that a test runs as a process."""

import os
import sys
from collections.abc import Mapping

__all__ = ["print_line", "reports_imports", "unmeasured"]

_REPORTS_IMPORTS = """
import atexit, sys
sys.path.insert(0, "client")
atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))
from {module} import main
main()
"""


def unmeasured(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment in which neither coverage is measured nor asyncio's debug mode is relaxed.

    Both import modules before the program does anything; measuring also initializes OpenSSL.
    """
    left_out = ("COVERAGE_PROCESS", "PYTHONASYNCIODEBUG", "PYTHONPATH")
    return {name: value for name, value in environment.items() if not name.startswith(left_out)}


def reports_imports(module: str) -> list[str]:
    """Return a command, to be run in the checkout, whose last line on standard error lists its modules.

    Args:
        module: Module with the program's `main`.
    """
    return [sys.executable, "-c", _REPORTS_IMPORTS.format(module=module)]


def print_line(line: str) -> None:
    """Print a line at once, for a program that waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
