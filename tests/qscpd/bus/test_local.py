"""The bus within a process."""

from qscpd.bus.base import Commit
from qscpd.bus.local import LocalBus
from qscpd.domain.events import AccountChanged, Event, PositionMoved
from qscpd.domain.model import Account, AccountState, Mark, PositionKind

ALICE = AccountChanged(Account(1, "alice", AccountState.ACTIVE, 0))
BOB = AccountChanged(Account(2, "bob", AccountState.LOCKED, 0))
MOVED = PositionMoved(Mark(1, 1, PositionKind.READ, 1), 2)


def test_subscribers_get_each_commit_at_once_and_in_order() -> None:
    """Each commit reaches all subscribers, in the order of subscription, before `publish` returns."""
    bus = LocalBus[str]()
    received: list[tuple[str, Commit[str]]] = []
    first, second = Commit[str](()), Commit[str](())
    bus.publish(first)  # without subscribers
    bus.subscribe_to_commits(lambda commit: received.append(("count", commit)))
    bus.subscribe_to_commits(lambda commit: received.append(("delivery", commit)))
    bus.publish(first)
    bus.publish(second)
    assert [name for name, _ in received] == ["count", "delivery", "count", "delivery"]
    assert [commit for _, commit in received] == [first, first, second, second]


def test_subscribers_of_an_event_come_before_those_of_the_commit() -> None:
    """Events go to the subscribers of their type in order, before subscribers of the commit."""
    bus = LocalBus[str]()
    received: list[tuple[str, Event | None]] = []
    bus.subscribe_to_commits(lambda _: received.append(("delivery", None)))
    bus.subscribe(AccountChanged, lambda event: received.append(("directory", event)))
    bus.subscribe(AccountChanged, lambda event: received.append(("sessions", event)))
    bus.publish(Commit((ALICE, MOVED, BOB)))
    assert received == [
        ("directory", ALICE),
        ("sessions", ALICE),
        ("directory", BOB),
        ("sessions", BOB),
        ("delivery", None),
    ]
