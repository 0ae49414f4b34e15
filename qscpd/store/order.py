"""Order under refusals: what a session sends to one conversation is stored in the order sent.

When a message is refused for a temporary reason (a full disk), those that the session sent
behind it to the same recipient must not overtake it. They are refused too, as `out_of_order`, until
the first one is sent again or discarded.
"""

from typing import Generic, TypeVar

from qscpd.domain.model import NewMessage

S = TypeVar("S")


class Order(Generic[S]):
    """The refused messages that later ones wait for; empty unless the store has refused a message."""

    def __init__(self) -> None:
        self._first: dict[tuple[S, int], str] = {}
        """(session, recipient) -> id of the first message that was refused."""

    @property
    def empty(self) -> bool:
        """True if no message is blocked."""
        return not self._first

    def block(self, session: S, message: NewMessage) -> None:
        """Block what the session sends behind a refused message to the same recipient."""
        self._first.setdefault((session, message.recipient), message.id)

    def admits(self, session: S, message: NewMessage) -> bool:
        """Return whether a message can be stored now; the refused one itself ends the block."""
        key = session, message.recipient
        first = self._first.get(key)
        if first is None:
            return True
        if first != message.id:
            return False
        del self._first[key]
        return True

    def skip(self, session: S, message_id: str | None) -> None:
        """End the block of a discarded message; None: all blocks of a session that has ended."""
        if self._first:
            self._first = {
                key: first
                for key, first in self._first.items()
                if key[0] is not session or message_id not in (None, first)
            }
