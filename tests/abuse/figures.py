"""Figures of a phase: what the well-behaved group got, and what it cost the daemon."""

from collections.abc import Iterable, Sequence

import msgspec

__all__ = ["Logins", "Sample", "Times", "percentile", "summarize"]


class Times(msgspec.Struct, frozen=True):
    """Percentiles of times, in milliseconds."""

    count: int = 0
    missing: int = 0
    """Those that never came; they count with the time until they were given up."""
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0

    def __str__(self) -> str:
        return f"{self.p50:.1f} / {self.p95:.1f} / {self.p99:.1f}"


class Logins(msgspec.Struct, frozen=True):
    """Logins of the group."""

    count: int = 0
    in_time: int = 0
    """Those that took less than three seconds, with everything that had to be tried again."""
    p50: float = 0.0
    """Milliseconds."""

    @property
    def share(self) -> float:
        """Share of those in time; 1 if there was none."""
        return self.in_time / self.count if self.count else 1.0


class Sample(msgspec.Struct, frozen=True):
    """What the group got in a phase.

    Times of messages are from sending to the `chat_ack` and to each recipient's `chat`.
    """

    acks: Times
    deliveries: Times
    logins: Logins
    cut: list[str]
    """Sessions of the group that ended, with the reason."""
    refused: int
    """Messages of the group that were refused."""
    own_delay: Times
    """How late the group's own process was: what the machine, not the daemon, adds to the times."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which a share of the ordered values is (nearest rank); 0 for none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summarize(seconds: Iterable[float], missing: Iterable[float] = ()) -> Times:
    """Summarize times, and the ages of what never came."""
    given_up = list(missing)
    ordered = sorted(1000 * each for each in (*seconds, *given_up))
    return Times(
        len(ordered),
        len(given_up),
        *(round(percentile(ordered, share), 2) for share in (0.5, 0.95, 0.99)),
    )
