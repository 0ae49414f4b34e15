"""The bus within one process."""

from qscpd.bus.base import Commit
from qscpd.bus.local import LocalBus


def test_subscribers_get_each_commit_at_once_and_in_order() -> None:
    """In the order of subscription, all of them before the next commit; without a loop or a wait."""
    bus = LocalBus[str]()
    received: list[tuple[str, Commit[str]]] = []
    first, second = Commit[str](()), Commit[str](())
    bus.publish(first)  # no one subscribes yet
    bus.subscribe(lambda commit: received.append(("directory", commit)))
    bus.subscribe(lambda commit: received.append(("delivery", commit)))
    bus.publish(first)
    bus.publish(second)
    assert [name for name, _ in received] == ["directory", "delivery", "directory", "delivery"]
    assert [commit for _, commit in received] == [first, first, second, second]
