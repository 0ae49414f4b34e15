"""Messages of one conversation that commands can target, in their current form. Sans-I/O."""

from collections.abc import Iterator
from typing import Final

from qscp_client.core.messages import Amendment, Message, amended

CAPACITY: Final = 1000
"""Messages of a conversation that are kept."""


class MessageCache:
    """Messages that were applied or shown in this run, by seq; at most the last `CAPACITY`."""

    def __init__(self) -> None:
        self._by_seq: dict[int, Message] = {}

    def __iter__(self) -> Iterator[Message]:
        """All messages, in the order in which they came."""
        return iter(self._by_seq.values())

    def get(self, seq: int) -> Message | None:
        """Return the message with this seq; None if it is not here."""
        return self._by_seq.get(seq)

    def add(self, message: Message) -> None:
        """Keep a message, in place of an earlier form of it."""
        self._by_seq[message.seq] = message
        if len(self._by_seq) > CAPACITY:
            del self._by_seq[next(iter(self._by_seq))]

    def rewind(self, seq: int) -> None:
        """Drop what is after a seq: the server has lost it."""
        self._by_seq = {each.seq: each for each in self if each.seq <= seq}

    def amend(self, amendment: Amendment, me: str) -> None:
        """Apply an amendment to the message that it targets, if that is here.

        Args:
            amendment: The edit, redaction or reaction.
            me: Your name.
        """
        if (message := self._by_seq.get(amendment.target)) is not None:
            self._by_seq[amendment.target] = amended(message, amendment, me)
