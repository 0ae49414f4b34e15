"""The identity of a session: which account on which device, and what its client supports."""

from dataclasses import dataclass, field

from qscpd.domain.allowance import Allowance


@dataclass(frozen=True, slots=True)
class Identity:
    """Result of a login; a session without one is not logged in."""

    account: int
    """The account's id."""
    name: str
    """The account's name."""
    device: str = ""
    """The device's id; empty for a client that keeps nothing between sessions."""
    features: frozenset[str] = frozenset()
    """The optional parts of the protocol that both sides support."""
    stored: Allowance = field(default_factory=Allowance, compare=False)
    """What the account has stored of its bytes per day, over all of its sessions."""
