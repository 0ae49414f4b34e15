"""Own messages and amendments that were acknowledged before everything below them was replayed. Sans-I/O."""

import dataclasses

from qscp_client.core.conversation import Conversation
from qscp_client.core.messages import Amendment, Message

Acked = tuple[Conversation, Message | Amendment]
"""An acknowledged item, with its conversation."""


class EarlyAcks:
    """Acknowledged items that wait for their place, by id.

    The server replays an item under its id, or it sends something with a higher seq first.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Acked] = {}

    def add(self, conversation: Conversation, item: Message | Amendment) -> None:
        """Let an item wait."""
        self._by_id[item.id] = conversation, item

    def remove(self, message_id: str) -> bool:
        """Remove an item that was replayed; return whether it waited."""
        return self._by_id.pop(message_id, None) is not None

    def take(self, conversation: Conversation | None = None, below: int | None = None) -> list[Acked]:
        """Remove and return items in the order of seq.

        Args:
            conversation: Theirs; None for all.
            below: Only those with a lower seq; None for all.
        """
        taken = [
            (key, acked)
            for key, acked in self._by_id.items()
            if (conversation is None or acked[0] is conversation) and (below is None or acked[1].seq < below)
        ]
        for key, _ in taken:
            del self._by_id[key]
        return sorted((acked for _, acked in taken), key=lambda acked: acked[1].seq)

    def connected(self) -> None:
        """Wait again, over a new connection: what is not replayed now might have another form."""
        self._by_id = {
            key: (conversation, dataclasses.replace(item, repeated=True))
            for key, (conversation, item) in self._by_id.items()
        }
