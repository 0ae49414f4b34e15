"""One dispatcher: the store's writer publishes each commit as typed events, and subscribers consume them.

Commits come in the order in which they were made, so a subscriber's state is always the state of one
commit, and what it sends is in that order, too.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from qscpd.domain.events import Event
from qscpd.domain.model import NewMessage, Outcome

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
E = TypeVar("E", bound=Event)


class Answers(NamedTuple, Generic[S_co]):
    """Outcomes of messages for the sessions that sent them, in the order in which they were sent.

    The new ones among them are those of the commit's `MessagesStored`. Retries and refusals are in none.
    """

    sessions: Sequence[S_co]
    messages: Sequence[NewMessage]
    """Of each of the sessions."""
    outcomes: Sequence[Outcome]
    """Of each of the messages."""


NO_ANSWERS: Final[Answers[Any]] = Answers((), (), ())
"""Of a commit in which no session of this node waits for anything."""


class Commit(NamedTuple, Generic[S_co]):
    """Result of one transaction."""

    events: Sequence[Event]
    """All of it, in order; nothing else is for other nodes."""
    answers: Answers[S_co] = NO_ANSWERS
    """For sessions of this node; empty in the commit of another node."""


class Bus(Protocol[S]):
    """Passes commits on to subscribers, in the order in which they were made."""

    def publish(self, commit: Commit[S]) -> None:
        """Pass a commit on: each event to the subscribers of its type, then all of it to those of commits."""

    def subscribe(self, kind: type[E], on_event: Callable[[E], None]) -> None:
        """Call a function on the loop with each event of a type, after the subscribers before it."""

    def subscribe_to_commits(self, on_commit: Callable[[Commit[S]], None]) -> None:
        """Call a function on the loop with each commit, after the subscribers of its events."""
