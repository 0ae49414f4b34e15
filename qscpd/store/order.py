"""Order under refusals: what a session sends to one conversation is stored in the order sent.

When a message is refused for a temporary reason (a full disk), those that the session sent
behind it to the same recipient must not overtake it. They are refused too, as `out_of_order`, until
the first one is sent again or discarded.
"""

from typing import Generic, TypeVar

from qscpd.domain.model import NewMessage
from qscpd.store.items import Batch

S = TypeVar("S")


class Order(Generic[S]):
    """The refused messages that later ones wait for.

    Attributes:
        blocked: (session, recipient) -> id of the first message that was refused; empty unless the
            store has refused a message.
    """

    def __init__(self) -> None:
        self.blocked: dict[tuple[S, int], str] = {}

    def block(self, session: S, message: NewMessage) -> None:
        """Block what the session sends behind a refused message to the same recipient."""
        self.blocked.setdefault((session, message.recipient), message.id)

    def admits(self, session: S, message: NewMessage) -> bool:
        """Return whether a message can be stored now; the refused one itself ends the block."""
        key = session, message.recipient
        first = self.blocked.get(key)
        if first is None:
            return True
        if first != message.id:
            return False
        del self.blocked[key]
        return True

    def admitted(self, batch: Batch[S]) -> Batch[S]:
        """Return a batch again; of its chats, those that would overtake a refused one are late."""
        if not self.blocked:
            return batch
        admitted: Batch[S] = Batch(marks=batch.marks)
        for chat in batch.chats:
            if self.admits(chat.session, chat.message):
                admitted.chats.append(chat)
                admitted.messages.append(chat.message)
            else:
                admitted.late.append(chat)
        return admitted

    def skip(self, session: S, message_id: str | None) -> None:
        """End the block of a discarded message; None: all blocks of a session that has ended."""
        if self.blocked:
            self.blocked = {
                key: first
                for key, first in self.blocked.items()
                if key[0] is not session or message_id not in (None, first)
            }
