"""Results as rows of a table in Markdown."""

from typing import Final

from tests.abuse.catalogue import ATTACKS
from tests.abuse.figures import Times
from tests.abuse.trial import Result

__all__ = ["HEAD", "explain", "row"]

_MIB: Final = 1 << 20

_COLUMNS: Final = (
    "attack",
    "ack, ms: p50 / p95 / p99",
    "delivery, ms",
    "good logins",
    "cut",
    "CPU",
    "memory, MiB",
    "log, KiB",
    "kept",
)

HEAD: Final = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"
"""Head of the table. Where a cell has an arrow, the first figure is without the attack."""


def row(result: Result) -> str:
    """Return the row of an attack."""
    without, during = result.without, result.during
    cells = (
        f"`{result.name}`",
        _times(without.acks, during.acks),
        _times(without.deliveries, during.deliveries),
        f"{during.logins.in_time} of {during.logins.count}",
        str(len(during.cut)),
        f"{result.cpu[0]:.2f} → {result.cpu[1]:.2f}",
        f"{result.memory[0] / _MIB:.0f} → {result.memory[1] / _MIB:.0f}",
        f"{result.log / 1024:.0f}",
        "no" if result.broken() else "yes",
    )
    return f"| {' | '.join(cells)} |"


def explain(result: Result) -> str:
    """Return the broken promises of an attack, and what it did."""
    did = ", ".join(f"{count} {what}" for what, count in result.did.items())
    lines = [f"{result.name}: {ATTACKS[result.name].what} ({did})"]
    lines += [f"  - {sentence}" for sentence in result.broken()]
    delay = result.during.own_delay
    lines.append(f"  - the group's own process was {delay.p95:.0f} ms late (p95)")
    return "\n".join(lines)


def _times(without: Times, during: Times) -> str:
    ratio = f", x{during.p95 / without.p95:.1f}" if without.p95 else ""
    missing = f", {during.missing} missing" if during.missing else ""
    return f"{without} → {during}{ratio}{missing}"
