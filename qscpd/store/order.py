"""Order under refusals: what a session sends to one conversation is stored in the order sent.

When a message is refused for a reason that may pass (a full disk), those that the session sent
behind it to the same person must not overtake it. They are refused too, as `out_of_order`, until
the first one is sent again or given up.
"""

from typing import Generic, TypeVar

from qscpd.domain.model import NewMessage

__all__ = ["Order"]

S = TypeVar("S")


class Order(Generic[S]):
    """The refused messages that others must wait for; empty but for bad days."""

    def __init__(self) -> None:
        self._first: dict[tuple[S, int], str] = {}
        """(session, recipient) -> id of the first message that was refused."""

    @property
    def empty(self) -> bool:
        """Whether nothing waits, as on nearly all days."""
        return not self._first

    def block(self, session: S, message: NewMessage) -> None:
        """A message was refused: those behind it have to wait."""
        self._first.setdefault((session, message.recipient), message.id)

    def admits(self, session: S, message: NewMessage) -> bool:
        """Whether a message may be stored now; when it is the one that was waited for, the way is free."""
        key = session, message.recipient
        first = self._first.get(key)
        if first is None:
            return True
        if first != message.id:
            return False
        del self._first[key]
        return True

    def skip(self, session: S, message_id: str | None) -> None:
        """A refused message is given up; None: the session has ended, and with it all that it waited for."""
        if self._first:
            self._first = {
                key: first
                for key, first in self._first.items()
                if key[0] is not session or message_id not in (None, first)
            }
