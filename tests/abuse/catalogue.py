"""All attacks, each with what it may do to others."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from qscpd.store.base import Store
from tests.abuse.attacks import connections, logins, marks, messages, reads, rooms
from tests.abuse.group import Accounts
from tests.abuse.target import Target

__all__ = ["ATTACKS", "Attack", "Bounds"]


@dataclass(frozen=True)
class Bounds:
    """What an attack may do to others at most. That none of them is cut is not negotiable."""

    ratio: float = 1.2
    """Times of messages with the attack, as a multiple of those without it (95th percentile)."""
    slack_ms: float = 20.0
    """They may be so much longer in any case, and by what the group's own process was late."""
    logins: float = 0.95
    """Share of good logins in less than three seconds."""
    memory_mib: float = 128.0
    """Growth of the daemon's memory."""
    log_mib: float = 2.0
    """What the daemon's two logs grow by."""


@dataclass(frozen=True)
class Attack:
    """An attack.

    Attributes:
        run: Attacks until it is cancelled; sets `Target.begun` when it begins.
        prepare: Adds to the store what the attack needs.
        bounds: What it may do to others.
    """

    run: Callable[[Target], Awaitable[None]]
    prepare: Callable[[Store, Accounts], None] | None = None
    bounds: Bounds = Bounds()

    @property
    def what(self) -> str:
        """Sentence that describes it."""
        return (self.run.__doc__ or "").strip().splitlines()[0].rstrip(".")


ATTACKS: Final[dict[str, Attack]] = {
    attack.run.__name__: attack
    for attack in (
        Attack(messages.pair_flood),
        Attack(messages.wide_flood),
        Attack(messages.room_flood),
        Attack(messages.burst),
        Attack(messages.amendments, messages.store_emoji),
        Attack(messages.never_reading),
        Attack(marks.marks, marks.store_conversation),
        Attack(marks.pongs),
        Attack(marks.pings),
        Attack(marks.whois),
        Attack(marks.presence),
        Attack(marks.typing),
        Attack(rooms.joins, rooms.store_lobby),
        Attack(rooms.invitations, rooms.store_lobby),
        Attack(rooms.creations),
        Attack(reads.paging, reads.store_history),
        Attack(reads.searching, reads.store_history),
        Attack(logins.sessions),
        Attack(logins.bad_logins),
        Attack(logins.bad_logins_from_everywhere),
        Attack(logins.login_flood),
        Attack(connections.idle),
        Attack(connections.connects),
        Attack(connections.handshakes),
        Attack(connections.garbage),
        Attack(connections.half_open),
    )
}
"""Every attack by its name."""
