"""Order under refusals: what a session sends to one conversation is stored in the order sent.

When a message is refused for a temporary reason (a full disk), those that the session sent
behind it to the same recipient must not overtake it. They are refused too, as `out_of_order`, until
the first one is sent again or discarded.

The recipient is the name that messages are sent to. Its holder can change while they wait.
"""

from typing import Final, Generic, TypeVar

from qscp.errors import InvalidNameError
from qscp.rooms import normalize_recipient
from qscpd.store.items import PendingChat

_RECIPIENTS: Final = 1000
"""Recipients that a session can be blocked for; behind that many it can send to no other one."""

S = TypeVar("S")


class Order(Generic[S]):
    """The refused messages that later ones wait for.

    Attributes:
        blocked: Session -> name of a recipient -> id of the first message that was refused; empty unless
            the store has refused a message.
    """

    def __init__(self) -> None:
        self.blocked: dict[S, dict[str, str]] = {}

    def block(self, chat: PendingChat[S]) -> None:
        """Block what the session sends behind a refused message to the same recipient."""
        name = _name(chat.to)
        if name:
            self.blocked.setdefault(chat.session, {}).setdefault(name, chat.message.id)

    def admits(self, chat: PendingChat[S]) -> bool:
        """Return whether a message can be stored now; the refused one itself ends the block."""
        blocks = self.blocked.get(chat.session)
        if blocks is None:
            return True
        name = _name(chat.to)
        first = blocks.get(name)
        if first is None:
            return len(blocks) < _RECIPIENTS
        if first != chat.message.id:
            return False
        del blocks[name]
        if not blocks:
            del self.blocked[chat.session]
        return True

    def skip(self, session: S, message_id: str | None) -> None:
        """End the block of a discarded message; None: all blocks of a session that has ended."""
        blocks = self.blocked.pop(session, {})
        kept = {name: first for name, first in blocks.items() if message_id not in (None, first)}
        if kept:
            self.blocked[session] = kept


def _name(to: str) -> str:
    """Return the name of a recipient; empty if it can't be one, so that nothing is ever stored for it."""
    try:
        return normalize_recipient(to)
    except InvalidNameError:
        return ""
