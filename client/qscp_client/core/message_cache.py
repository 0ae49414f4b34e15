"""Copies of messages of one conversation, kept in their current form for commands. Sans-I/O."""

import collections
from collections.abc import Iterator
from typing import Final

from qscp_client.core.messages import Amendment, Message, amended

CAPACITY: Final = 1000
"""Messages of a conversation that are kept."""

_AMENDMENTS: Final = 200
"""Amendments that are remembered for pages of history that were read before them."""


class MessageCache:
    """Messages that were applied or shown in this run, by seq; at most the last `CAPACITY`."""

    def __init__(self) -> None:
        self._by_seq: dict[int, Message] = {}
        self._amendments: collections.deque[Amendment] = collections.deque()
        self._forgotten = 0
        """The newest amendment that is not remembered any more."""
        self._outdated = 0
        """Messages up to this seq are kept only if they have the amendments up to it."""

    def __iter__(self) -> Iterator[Message]:
        """All messages, in the order in which they came."""
        return iter(self._by_seq.values())

    @property
    def text_size(self) -> int:
        """Characters of the texts that it has."""
        return sum(len(each.body) for each in self)

    def get(self, seq: int) -> Message | None:
        """Return the message with this seq; None if it is not here."""
        return self._by_seq.get(seq)

    def add(self, message: Message, me: str) -> None:
        """Keep a message, in place of an older form of it, with the amendments that came before it.

        One that is too old, as after `drop_outdated`, is not kept.

        Args:
            message: The message.
            me: Your name.
        """
        if self._is_outdated(message):
            return
        known = self._by_seq.pop(message.seq, None)
        if known is not None and known.as_of > message.as_of:
            message = known
        for amendment in self._amendments:
            if amendment.target == message.seq:
                message = amended(message, amendment, me)
        self._by_seq[message.seq] = message
        if len(self._by_seq) > CAPACITY:
            del self._by_seq[next(iter(self._by_seq))]

    def is_too_old(self, as_of: int) -> bool:
        """Whether a page of history lacks amendments that are not remembered any more.

        Args:
            as_of: The last seq of the page.
        """
        return as_of < self._forgotten

    def rewind(self, seq: int) -> None:
        """Drop what is after a seq, and what was amended after it: the server has lost it."""
        self._by_seq = {each.seq: each for each in self if max(each.seq, each.as_of) <= seq}
        self._amendments = collections.deque(each for each in self._amendments if each.seq <= seq)
        self._forgotten = min(self._forgotten, seq)
        self._outdated = min(self._outdated, seq)

    def drop_through(self, seq: int) -> None:
        """Drop messages up to a seq."""
        self._by_seq = {each.seq: each for each in self if each.seq > seq}

    def drop_outdated(self, seq: int) -> None:
        """Drop messages up to a seq that lack amendments up to it: this device does not get these."""
        self._outdated = seq
        self._by_seq = {each.seq: each for each in self if not self._is_outdated(each)}

    def amend(self, amendment: Amendment, me: str) -> None:
        """Apply an amendment to the message that it targets, now or when that comes in a page of history.

        Args:
            amendment: The edit, redaction or reaction.
            me: Your name.
        """
        self._amendments.append(amendment)
        if len(self._amendments) > _AMENDMENTS:
            self._forgotten = self._amendments.popleft().seq
        if (message := self._by_seq.get(amendment.target)) is not None:
            self._by_seq[amendment.target] = amended(message, amendment, me)

    def _is_outdated(self, message: Message) -> bool:
        return message.seq <= self._outdated and message.as_of < self._outdated
