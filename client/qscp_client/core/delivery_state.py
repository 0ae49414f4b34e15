"""Delivery of your own messages in one conversation: stored, delivered, read. Sans-I/O."""

import collections
from collections.abc import Callable
from typing import Final

from qscp_client.core.events import LineState
from qscp_client.core.messages import Message

CAPACITY: Final = 1000
"""Messages in each state whose next state is shown when it comes."""


class DeliveryTracker:
    """Delivery state of your own messages, by what the other member's devices have and have read.

    Attributes:
        delivered: The seq up to which a device of the other member has everything.
        read: The seq up to which the other member has read.
    """

    def __init__(self) -> None:
        self.delivered = 0
        self.read = 0
        self._stored: collections.deque[Message] = collections.deque(maxlen=CAPACITY)
        self._delivered: collections.deque[Message] = collections.deque(maxlen=CAPACITY)

    @property
    def text_size(self) -> int:
        """Characters of the texts that it has."""
        return sum(len(each.body) for each in (*self._stored, *self._delivered))

    def state_of(self, seq: int) -> LineState:
        """Return the state of a stored message."""
        if seq <= self.read:
            return LineState.READ
        return LineState.DELIVERED if seq <= self.delivered else LineState.STORED

    def track(self, message: Message) -> None:
        """Remember a message that was shown with its present state."""
        match self.state_of(message.seq):
            case LineState.STORED:
                self._stored.append(message)
            case LineState.DELIVERED:
                self._delivered.append(message)
            case _:
                pass

    def deliver(self, seq: int) -> list[Message]:
        """Advance `delivered`; return the tracked messages that are delivered now and were not before."""
        self.delivered = max(self.delivered, seq)
        delivered = _take(self._stored, lambda each: each.seq <= self.delivered)
        self._delivered.extend(delivered)
        return delivered

    def mark_read(self, seq: int) -> list[Message]:
        """Advance `read`; return the tracked messages that are read now and were not before."""
        self.read = max(self.read, seq)
        read = _take(self._delivered, lambda each: each.seq <= self.read)
        return read + _take(self._stored, lambda each: each.seq <= self.read)

    def forget(self, seq: int) -> None:
        """Track a message no more, as after its redaction."""
        _take(self._stored, lambda each: each.seq == seq)
        _take(self._delivered, lambda each: each.seq == seq)

    def drop_through(self, seq: int) -> None:
        """Track messages up to a seq no more."""
        _take(self._stored, lambda each: each.seq <= seq)
        _take(self._delivered, lambda each: each.seq <= seq)

    def rewind(self, seq: int) -> None:
        """Go back to a seq: the server has nothing after it."""
        self.delivered = min(self.delivered, seq)
        self.read = min(self.read, seq)


def _take(messages: collections.deque[Message], matches: Callable[[Message], bool]) -> list[Message]:
    """Remove the messages that match, and return them in order."""
    taken = [each for each in messages if matches(each)]
    kept = [each for each in messages if not matches(each)]
    messages.clear()
    messages.extend(kept)
    return taken
