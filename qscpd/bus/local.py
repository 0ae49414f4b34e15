"""The bus of a daemon that is the only one on its store."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from qscpd.bus.base import Commit
from qscpd.domain.events import Event

S = TypeVar("S")
E = TypeVar("E", bound=Event)


class LocalBus(Generic[S]):
    """A `qscpd.bus.base.Bus` that calls its subscribers at once, in order of subscription.

    It belongs to the event loop. All subscribers have a commit before anything else happens there.
    """

    def __init__(self) -> None:
        self._on_event: defaultdict[type, list[Callable[[Any], None]]] = defaultdict(list)
        self._on_commit: list[Callable[[Commit[S]], None]] = []

    def publish(self, commit: Commit[S]) -> None:
        """See `Bus.publish`."""
        for event in commit.events:
            for on_event in self._on_event.get(type(event), ()):
                on_event(event)
        for on_commit in self._on_commit:
            on_commit(commit)

    def subscribe(self, kind: type[E], on_event: Callable[[E], None]) -> None:
        """See `Bus.subscribe`."""
        self._on_event[kind].append(on_event)

    def subscribe_to_commits(self, on_commit: Callable[[Commit[S]], None]) -> None:
        """See `Bus.subscribe_to_commits`."""
        self._on_commit.append(on_commit)
