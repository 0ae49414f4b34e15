"""Order under refusals: what a session sends to one conversation is stored in the order sent.

When a message is refused for a temporary reason (a full disk), those that the session sent
behind it to the same recipient must not overtake it. They are refused too, as `out_of_order`, until
the first one is sent again or discarded.

The recipient is the name that messages are sent to. Its holder can change while they wait.
"""

from functools import lru_cache
from typing import Final, Generic, TypeVar

from qscpd.domain.model import NewMessage, RefusedMessage
from qscpd.store.base import StoreReader
from qscpd.store.items import Batch

_RECIPIENTS: Final = 1000
"""Recipients that a session can be blocked for; behind that many it can send to no other one."""

_NAMES: Final = 1000
"""Names that are remembered; each belongs to one recipient for ever."""

S = TypeVar("S")


class Order(Generic[S]):
    """The refused messages that later ones wait for.

    Args:
        store: Where recipients have their names.

    Attributes:
        blocked: Session -> name of a recipient -> id of the first message that was refused; empty unless
            the store has refused a message.
    """

    def __init__(self, store: StoreReader) -> None:
        self.blocked: dict[S, dict[str, str]] = {}
        self._store = store
        self._name_of = lru_cache(_NAMES)(self._read_name)

    def block(self, session: S, message: NewMessage) -> None:
        """Block what the session sends behind a refused message to the same recipient."""
        name = self._name(message)
        if name:
            self.blocked.setdefault(session, {}).setdefault(name, message.id)

    def admits(self, session: S, message: NewMessage) -> bool:
        """Return whether a message can be stored now; the refused one itself ends the block."""
        blocks = self.blocked.get(session)
        if blocks is None:
            return True
        name = self._name(message)
        first = blocks.get(name)
        if first is None:
            return len(blocks) < _RECIPIENTS
        if first != message.id:
            return False
        del blocks[name]
        if not blocks:
            del self.blocked[session]
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
        blocks = self.blocked.pop(session, {})
        kept = {name: first for name, first in blocks.items() if message_id not in (None, first)}
        if kept:
            self.blocked[session] = kept

    def _name(self, message: NewMessage) -> str:
        """Return the name a message was sent to; empty if nothing can ever be stored for it."""
        return message.name if isinstance(message, RefusedMessage) else self._name_of(message.recipient)

    def _read_name(self, recipient: int) -> str:
        """Return the name of a user or a room, also of a deleted one."""
        if recipient > 0:
            return self._store.find_account("", recipient).name
        return self._store.room(-recipient).name
