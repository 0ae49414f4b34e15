"""The bus of a daemon that is the only one on its store."""

from collections.abc import Callable
from typing import Generic, TypeVar

from qscpd.bus.base import Commit

S = TypeVar("S")


class LocalBus(Generic[S]):
    """A `qscpd.bus.base.Bus` that calls its subscribers at once, in order of subscription.

    It belongs to the event loop. All subscribers have a commit before anything else happens there.
    """

    def __init__(self) -> None:
        self._subscribers: list[Callable[[Commit[S]], None]] = []

    def publish(self, commit: Commit[S]) -> None:
        """See `Bus.publish`."""
        for on_commit in self._subscribers:
            on_commit(commit)

    def subscribe(self, on_commit: Callable[[Commit[S]], None]) -> None:
        """See `Bus.subscribe`."""
        self._subscribers.append(on_commit)
