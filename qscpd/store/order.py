"""Order under refusals: what a session sends to one conversation is stored in the order sent.

When a message is refused for a temporary reason (a full disk), those that the session sent
behind it to the same recipient must not overtake it. They are refused too, as `out_of_order`, until
the first one is sent again or discarded.

The recipient is the name that messages are sent to. Its holder can change while they wait.
"""

from typing import Generic, TypeVar

from qscp.errors import InvalidNameError
from qscp.rooms import normalize_recipient
from qscpd.store.items import PendingChat

S = TypeVar("S")


class Order(Generic[S]):
    """The refused messages that later ones wait for.

    Attributes:
        blocked: (session, name of the recipient) -> id of the first message that was refused; empty
            unless the store has refused a message.
    """

    def __init__(self) -> None:
        self.blocked: dict[tuple[S, str], str] = {}

    def block(self, chat: PendingChat[S]) -> None:
        """Block what the session sends behind a refused message to the same recipient."""
        self.blocked.setdefault((chat.session, _name(chat.to)), chat.message.id)

    def admits(self, chat: PendingChat[S]) -> bool:
        """Return whether a message can be stored now; the refused one itself ends the block."""
        key = chat.session, _name(chat.to)
        first = self.blocked.get(key)
        if first is None:
            return True
        if first != chat.message.id:
            return False
        del self.blocked[key]
        return True

    def skip(self, session: S, message_id: str | None) -> None:
        """End the block of a discarded message; None: all blocks of a session that has ended."""
        if self.blocked:
            self.blocked = {
                key: first
                for key, first in self.blocked.items()
                if key[0] is not session or message_id not in (None, first)
            }


def _name(to: str) -> str:
    try:
        return normalize_recipient(to)
    except InvalidNameError:
        return to
