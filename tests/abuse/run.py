"""What others get while one peer or account attacks: `python -m tests.abuse.run`, or `make abuse`.

Each attack runs against a daemon of its own on the loopback, beside a group of well-behaved accounts. The
result is a table in Markdown; the exit code is 1 if a promise was broken.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from qscpd.setup.pki import AuthorityFiles
from tests.abuse.catalogue import ATTACKS
from tests.abuse.table import HEAD, explain, row
from tests.abuse.trial import Result, run_trial
from tests.support.authority import make_local_authority
from tests.support.programs import print_line

_TRIALS: Final = 3
"""Times that an attack is tried until no promise is broken."""


def main() -> int:
    """Run the chosen attacks; print a row for each, and the broken promises."""
    parser = argparse.ArgumentParser(description="Attack a daemon, and measure what others get.")
    parser.add_argument("--seconds", type=float, default=8, help="duration of each attack")
    parser.add_argument(
        "--report-times", action="store_true", help="let times break no promise: other programs are busy"
    )
    parser.add_argument("--json", type=Path, help="also write all figures there")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"all of them: {' '.join(ATTACKS)}")
    chosen = parser.parse_args()
    if unknown := set(chosen.attacks) - set(ATTACKS):
        parser.error(f"no such attack: {' '.join(sorted(unknown))}; there are: {' '.join(ATTACKS)}")
    begin = time.monotonic()
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        authority = make_local_authority(Path(folder))
        print_line(HEAD)
        for name in chosen.attacks or ATTACKS:
            results.append(_try(name, authority, chosen.seconds, times=not chosen.report_times))
            print_line(row(results[-1]))
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    broken = [result for result in results if result.broken(times=not chosen.report_times)]
    print_line(
        f"\n{len(results)} attacks in {time.monotonic() - begin:.0f} s, {len(broken)} with broken promises"
    )
    for result in broken:
        print_line(explain(result))
    return 1 if broken else 0


def _try(name: str, authority: AuthorityFiles, seconds: float, *, times: bool) -> Result:
    """Run an attack; again if it broke a promise: what another program did is not there each time."""
    for _ in range(_TRIALS - 1):
        if not (result := run_trial(name, authority, seconds)).broken(times=times):
            return result
    return run_trial(name, authority, seconds)


if __name__ == "__main__":
    sys.exit(main())
